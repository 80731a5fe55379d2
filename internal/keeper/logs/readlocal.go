package logs

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// localReader reads the files of the default driver.
type localReader struct {
	dir     string
	seq     uint64 // of the open files
	open    bool
	raw     int
	idx     int
	pos     int64 // what has been given out of the raw file
	n       int64 // entries that have been
	buf     []byte
	first   int64 // the entry that buf begins with
	size    int64 // of the raw file, before buf was read
	final   int   // 1: there are newer files, nothing is added to these; 2: all of it is given out
	unready bool  // an entry waits for its bytes
	from    [3]place
}

// place is where a stream's output begins.
type place struct {
	seq uint64
	off int64
}

func (p place) after(q place) bool { return p.seq > q.seq || p.seq == q.seq && p.off > q.off }

func (l *localReader) close() {
	if l.open {
		_ = unix.Close(l.raw) // opened for reading
		_ = unix.Close(l.idx)
		l.open = false
	}
}

// use opens the files of a number. They may have been removed meanwhile.
func (l *localReader) use(seq uint64) (bool, error) {
	raw, err := openFile(rawName(l.dir, seq), unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	idx, err := openFile(idxName(l.dir, seq), unix.O_RDONLY)
	if err != nil {
		_ = unix.Close(raw)
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		return false, err
	}
	l.close()
	l.seq, l.open, l.raw, l.idx = seq, true, raw, idx
	l.pos, l.n, l.buf, l.first, l.size, l.final = 0, 0, l.buf[:0], 0, 0, 0
	return true, nil
}

// advance opens the next files, if there are any.
func (l *localReader) advance() (bool, error) {
	if l.open {
		if ok, err := l.use(l.seq + 1); ok || err != nil {
			return ok, err
		}
	}
	seqs, err := listRaw(l.dir)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
		return false, err
	}
	for _, seq := range seqs {
		if seq > l.seq {
			if ok, err := l.use(seq); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// newer tells whether there are newer files.
func (l *localReader) newer() bool {
	if unix.Access(rawName(l.dir, l.seq+1), unix.F_OK) == nil {
		return true
	}
	seqs, err := listRaw(l.dir)
	return err == nil && len(seqs) > 0 && seqs[len(seqs)-1] > l.seq
}

// indexBlock is how much of an index is read at once.
const indexBlock = 170 * entrySize

// entry returns entry n. The size of the raw file is taken before the index is
// read: an entry that ends within it is not corrected any more.
func (l *localReader) entry(n int64) (e entry, there bool, err error) {
	at := (n - l.first) * entrySize
	if at < 0 || at+entrySize > int64(len(l.buf)) {
		var st unix.Stat_t
		if err := unix.Fstat(l.raw, &st); err != nil {
			return e, false, err
		}
		l.size, l.first = st.Size, n
		if cap(l.buf) < indexBlock {
			l.buf = make([]byte, indexBlock)
		}
		m, err := pread(l.idx, l.buf[:indexBlock], n*entrySize)
		if err != nil {
			return e, false, err
		}
		l.buf = l.buf[:m-m%entrySize]
		if at = 0; len(l.buf) < entrySize {
			return e, false, nil
		}
	}
	if !e.decode(l.buf[at : at+entrySize]) {
		if at+2*entrySize <= int64(len(l.buf)) {
			// Damaged, and others follow: its bytes are the next one's.
			l.n++
			return l.entry(l.n)
		}
		return e, false, nil
	}
	return e, true, nil
}

// forget makes the next entry be read anew.
func (l *localReader) forget() { l.buf = l.buf[:0] }

func (l *localReader) next(c *chunk) (bool, error) {
	l.unready = false
	for {
		if !l.open {
			if ok, err := l.advance(); !ok {
				return false, err
			}
		}
		e, there, err := l.entry(l.n)
		if err != nil {
			return false, err
		}
		end := min(e.end, l.size)
		settled := there && e.end <= l.size
		if !settled {
			l.forget()
		}
		if !there || !settled && end <= l.pos {
			switch {
			case l.final == 0 && l.newer():
				l.final = 1 // once more: something may have come before the newer ones
				continue
			case l.final == 1:
				l.final = 2
				*c = chunk{} // before the files are closed
				return true, nil
			case l.final == 2:
				if ok, err := l.advance(); ok || err != nil {
					if err != nil {
						return false, err
					}
					continue
				}
			}
			l.unready = there
			return false, nil
		}
		*c = chunk{kind: e.kind, time: e.time, fd: l.raw, off: l.pos, n: max(0, end-l.pos)}
		if settled {
			l.n++
		}
		l.pos = max(l.pos, end)
		switch e.kind {
		case kindGap:
			c.n = int64(e.lost)
			return true, nil
		case kindEnd:
			return true, nil
		}
		if skip := l.skip(e.kind, c.off, c.n); skip < c.n {
			c.off, c.n = c.off+skip, c.n-skip
			return true, nil
		}
	}
}

func (l *localReader) pending() bool { return l.unready }

// skip is how much of a stream's chunk lies before the tail.
func (l *localReader) skip(stream byte, off, n int64) int64 {
	from := l.from[stream]
	switch {
	case l.seq > from.seq:
		return 0
	case l.seq < from.seq:
		return n
	}
	return max(0, min(n, from.off-off))
}

// tail looks for the begin of the last lines, from the end backwards. A line
// counts by where it ends; one that has not ended counts too. Of a stream that
// was in the middle of a line there, the begin of that line is further back.
func (l *localReader) tail(n int) error {
	seqs, err := listRaw(l.dir)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
		return err
	}
	t := tailScan{left: n}
	for i := len(seqs) - 1; i >= 0 && !t.done(); i-- {
		ok, err := l.use(seqs[i])
		if err != nil {
			return err
		}
		if !ok {
			break // rotated away: so are those before
		}
		if err := l.scan(&t); err != nil {
			return err
		}
	}
	l.from = t.from
	first := t.from[Stdout]
	if first.after(t.from[Stderr]) {
		first = t.from[Stderr]
	}
	l.close()
	if l.seq = 0; first.seq > 0 {
		l.seq = first.seq - 1
	}
	return nil
}

// tailScan is the state of a search for the last lines.
type tailScan struct {
	left int // lines whose end is yet to be seen
	seen [3]bool
	set  [3]bool
	from [3]place
}

func (t *tailScan) done() bool { return t.set[Stdout] && t.set[Stderr] }

// scan searches the open files from their end on.
func (l *localReader) scan(t *tailScan) error {
	var st unix.Stat_t
	if err := unix.Fstat(l.raw, &st); err != nil {
		return err
	}
	last, n, err := lastEntry(l.idx, st.Size)
	if err != nil {
		return err
	}
	index := make([]byte, n*entrySize)
	if m, err := pread(l.idx, index, 0); err != nil || m < len(index) {
		return err // cut short by the writer: nothing that was settled
	}
	buf := make([]byte, bufSize)
	for i := n - 1; i >= 0 && !t.done(); i-- {
		e, before := last, entry{}
		if i < n-1 && !e.decode(index[i*entrySize:]) {
			continue
		}
		if i > 0 && !before.decode(index[(i-1)*entrySize:]) {
			continue
		}
		if e.kind > Stderr || e.end <= before.end || t.set[e.kind] {
			continue
		}
		if err := l.scanChunk(t, e.kind, before.end, e.end, buf); err != nil {
			return err
		}
	}
	return nil
}

func (l *localReader) scanChunk(t *tailScan, s byte, begin, end int64, buf []byte) error {
	for end > begin && !t.set[s] {
		from := max(begin, end-int64(len(buf)))
		m, err := pread(l.raw, buf[:end-from], from)
		if err != nil || int64(m) < end-from {
			return err
		}
		b := buf[:m]
		if !t.seen[s] {
			t.seen[s] = true
			if b[m-1] != '\n' { // a line that has not ended
				if t.left == 0 {
					t.set[s], t.from[s] = true, place{l.seq, end}
					return nil
				}
				t.left--
			}
		}
		for {
			i := bytes.LastIndexByte(b, '\n')
			if i < 0 {
				break
			}
			if t.left == 0 {
				t.set[s], t.from[s] = true, place{l.seq, from + int64(i) + 1}
				return nil
			}
			t.left--
			b = b[:i]
		}
		end = from
	}
	return nil
}
