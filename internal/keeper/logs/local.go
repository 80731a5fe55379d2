package logs

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// local is the default driver.
type local struct {
	dir      string
	max      int64
	files    int
	seq      uint64
	raw, idx int
	size     int64 // of what the index knows of the raw file
	entries  int64
	lost     uint64 // bytes of the gap that the last entry is, or 0
}

func openLocal(dir string, c *Config) (*local, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	l := &local{dir: dir, max: c.MaxSize, files: c.MaxFile, raw: -1, idx: -1}
	seqs, err := listRaw(dir)
	if err != nil {
		return nil, err
	}
	l.seq = 1
	if len(seqs) > 0 {
		l.seq = seqs[len(seqs)-1]
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	if err := l.repair(); err != nil {
		_ = l.close()
		return nil, err
	}
	for _, s := range seqs {
		l.forget(s) // by a smaller limit than before
	}
	return l, nil
}

func rawName(dir string, seq uint64) string { return dir + "/" + strconv.FormatUint(seq, 10) + ".raw" }

func idxName(dir string, seq uint64) string { return dir + "/" + strconv.FormatUint(seq, 10) + ".idx" }

// listRaw returns the numbers of the raw files, in order.
func listRaw(dir string) ([]uint64, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close() // opened for reading
	var seqs []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".raw")
		seq, perr := strconv.ParseUint(digits, 10, 64)
		if !ok || perr != nil {
			continue
		}
		i := len(seqs)
		for seqs = append(seqs, seq); i > 0 && seqs[i-1] > seq; i-- {
			seqs[i] = seqs[i-1]
		}
		seqs[i] = seq
	}
	return seqs, err
}

// open opens the files of the current number. The index comes first: a raw
// file says to readers that both are there.
func (l *local) open() (err error) {
	if l.idx, err = openFile(idxName(l.dir, l.seq), unix.O_RDWR|unix.O_CREAT); err != nil {
		return err
	}
	if l.raw, err = openFile(rawName(l.dir, l.seq), unix.O_WRONLY|unix.O_CREAT); err != nil {
		_ = unix.Close(l.idx)
		l.idx = -1
	}
	return err
}

// repair corrects the end of the index and of the raw file.
func (l *local) repair() error {
	var st unix.Stat_t
	if err := unix.Fstat(l.raw, &st); err != nil {
		return err
	}
	e, n, err := lastEntry(l.idx, st.Size)
	if err != nil {
		return err
	}
	l.entries, l.size = n, e.end
	if n > 0 {
		if err := l.put(n-1, &e); err != nil {
			return err
		}
	}
	if err := unix.Ftruncate(l.idx, n*entrySize); err != nil {
		return err
	}
	if st.Size > l.size {
		if err := unix.Ftruncate(l.raw, l.size); err != nil {
			return err
		}
	}
	_, err = unix.Seek(l.raw, l.size, unix.SEEK_SET)
	return err
}

func (l *local) put(n int64, e *entry) error {
	var b [entrySize]byte
	e.encode(&b)
	for done := 0; done < entrySize; {
		m, err := unix.Pwrite(l.idx, b[done:], n*entrySize+int64(done))
		if err != nil && err != unix.EINTR {
			return err
		}
		done += max(m, 0)
	}
	return nil
}

// begin writes the entry for up to n bytes and returns for how many there is
// room. A chunk that does not fit is divided: the limit is one.
func (l *local) begin(stream byte, n int, t time.Time) (entry, int, error) {
	if l.max > 0 {
		room := l.max - l.size - (l.entries+1)*entrySize
		if room < int64(n) && l.entries > 0 || room <= 0 {
			if err := l.rotate(); err != nil {
				return entry{}, 0, err
			}
			room = l.max - entrySize
		}
		n = int(min(int64(n), room))
	}
	e := entry{time: t.UnixNano(), end: l.size + int64(n), kind: stream}
	if err := l.put(l.entries, &e); err != nil {
		return e, 0, err
	}
	l.entries++
	return e, n, nil
}

// finish corrects the entry when only n of its bytes came.
func (l *local) finish(e *entry, n int, err error) error {
	if n > 0 {
		l.lost = 0
	}
	if l.size+int64(n) == e.end {
		l.size = e.end
		return err
	}
	e.end = l.size + int64(n)
	l.size = e.end
	if n == 0 {
		l.entries-- // the next one takes its place
		return errors.Join(err, unix.Ftruncate(l.idx, l.entries*entrySize))
	}
	return errors.Join(err, l.put(l.entries-1, e))
}

func (l *local) write(stream byte, p []byte, t time.Time) (lost int, err error) {
	for len(p) > 0 {
		e, n, err := l.begin(stream, len(p), t)
		if err != nil {
			return len(p), err
		}
		m, err := writeAll(l.raw, p[:n])
		p = p[m:]
		if err := l.finish(&e, m, err); err != nil {
			return len(p), err
		}
	}
	return 0, nil
}

// errCannotSplice says that the descriptor is none that splice takes.
var errCannotSplice = errors.New("not a pipe")

func (l *local) splice(stream byte, fd, total int, t time.Time) (int, error) {
	done := 0
	for done < total {
		e, n, err := l.begin(stream, total-done, t)
		if err != nil {
			return done, err
		}
		m := 0
		for m < n && err == nil {
			var k int64
			k, err = unix.Splice(fd, nil, l.raw, nil, n-m, unix.SPLICE_F_MOVE)
			m += int(max(k, 0))
			switch {
			case errors.Is(err, unix.EINTR):
				err = nil
			case errors.Is(err, unix.EINVAL) && done+m == 0:
				err = errCannotSplice
			case err == nil && k == 0:
				err = unix.EIO // the pipe has less than it said: another reader
			}
		}
		done += m
		if err := l.finish(&e, m, err); err != nil {
			return done, err
		}
	}
	return done, nil
}

// gap adds to the gap before, when nothing has come since: a full disk is one.
func (l *local) gap(lost uint64, t time.Time) error {
	if l.lost > 0 {
		l.entries--
	}
	err := l.note(&entry{time: t.UnixNano(), kind: kindGap, lost: uint32(min(l.lost+lost, 1<<32-1))})
	switch {
	case err == nil:
		l.lost += lost
	case l.lost > 0:
		l.entries++
	}
	return err
}

func (l *local) end(t time.Time) (int, error) {
	l.lost = 0
	return 0, l.note(&entry{time: t.UnixNano(), kind: kindEnd})
}

// note writes an entry without bytes.
func (l *local) note(e *entry) error {
	e.end = l.size
	if err := l.put(l.entries, e); err != nil {
		return err
	}
	l.entries++
	return nil
}

// rotate goes on with the next number. Nothing is renamed: a reader of the old
// files finds the new ones by their number.
func (l *local) rotate() error {
	raw, idx := l.raw, l.idx
	l.seq++
	if err := l.open(); err != nil {
		l.seq--
		l.raw, l.idx = raw, idx
		return err
	}
	l.size, l.entries, l.lost = 0, 0, 0
	l.forget(l.seq - uint64(l.files))
	return errors.Join(unix.Close(raw), unix.Close(idx))
}

// forget removes the files of a number that is too old to be kept.
func (l *local) forget(seq uint64) {
	if seq+uint64(l.files) <= l.seq && seq > 0 && seq < l.seq {
		_ = unix.Unlink(rawName(l.dir, seq)) // removed by somebody else, or next time
		_ = unix.Unlink(idxName(l.dir, seq))
	}
}

func (l *local) limit(size int64, files int) {
	l.max, l.files = size, files
	seqs, _ := listRaw(l.dir) // what stays goes when the log is next opened
	for _, s := range seqs {
		l.forget(s)
	}
}

func (l *local) close() error {
	return errors.Join(closeFD(&l.raw), closeFD(&l.idx))
}

func closeFD(fd *int) error {
	if *fd < 0 {
		return nil
	}
	err := unix.Close(*fd)
	*fd = -1
	return err
}
