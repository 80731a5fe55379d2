package logs

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// linesReader reads the files of a driver that writes records of lines.
type linesReader struct {
	dir   string
	path  string
	files int
	parse func(b, line []byte) (record, bool)
	fd    int
	off   int64  // of the file: where buf ends
	buf   []byte // read, from done on not given out
	done  int
	text  []byte
	final bool // the file has been rotated: nothing is added to it
}

func newLinesReader(dir string, c *Config, parse func(b, line []byte) (record, bool)) *linesReader {
	l := &linesReader{dir: dir, path: c.File, files: max(1, c.MaxFile), parse: parse, fd: -1}
	if strings.HasPrefix(c.File, "/") {
		l.dir = c.File[:max(1, strings.LastIndexByte(c.File, '/'))]
	} else {
		l.path = dir + "/" + c.File
	}
	return l
}

func (l *linesReader) name(i int) string {
	if i == 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(i)
}

// count is one more than the highest number of a file. In the middle of a
// rotation one below it is missing.
func (l *linesReader) count() int {
	for n := l.files; n > 0; n-- {
		if unix.Access(l.name(n-1), unix.F_OK) == nil {
			return n
		}
	}
	return 0
}

func (l *linesReader) use(i int) (bool, error) {
	fd, err := openFile(l.name(i), unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.begin(fd)
	return true, nil
}

// oldest opens the oldest file; one that was shifted meanwhile was not.
func (l *linesReader) oldest() (bool, error) {
	for {
		n := l.count()
		ok, err := l.use(max(0, n-1))
		if err != nil || l.count() == n {
			return ok, err
		}
	}
}

// begin goes on with a file, from its begin.
func (l *linesReader) begin(fd int) {
	l.close()
	l.fd, l.off, l.buf, l.done, l.final = fd, 0, l.buf[:0], 0, false
}

func (l *linesReader) close() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd) // opened for reading
		l.fd = -1
	}
}

func (l *linesReader) pending() bool { return false }

func (l *linesReader) next(c *chunk) (bool, error) {
	for {
		if l.fd < 0 {
			if ok, err := l.oldest(); !ok {
				return false, err
			}
		}
		line, err := l.line()
		if err != nil {
			return false, err
		}
		if line == nil {
			if ok, err := l.advance(); !ok {
				return false, err
			}
			continue
		}
		r, ok := l.parse(l.text[:0], line)
		if !ok {
			continue // not ours, or damaged
		}
		l.text = r.text[:0]
		*c = chunk{kind: r.stream, time: r.time, text: r.text, fd: -1, n: int64(len(r.text))}
		return true, nil
	}
}

// line returns the next record, or nil.
func (l *linesReader) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.done:], '\n'); i >= 0 {
			line := l.buf[l.done : l.done+i]
			l.done += i + 1
			return line, nil
		}
		l.buf = append(l.buf[:0], l.buf[l.done:]...)
		l.done = 0
		n := len(l.buf)
		if cap(l.buf)-n < bufSize {
			l.buf = append(make([]byte, 0, max(2*cap(l.buf), 2*bufSize)), l.buf...)
		}
		m, err := pread(l.fd, l.buf[n:n+bufSize], l.off)
		if err != nil || m == 0 {
			return nil, err
		}
		l.off += int64(m)
		l.buf = l.buf[:n+m]
	}
}

// advance goes on with the next newer file. It is found by the one that was
// read, which has been renamed.
func (l *linesReader) advance() (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return false, err
	}
	i := 0
	for i < l.files && !l.is(i, &st) {
		i++
	}
	switch {
	case i == 0:
		if st.Size >= l.off {
			return false, nil
		}
		l.off, l.buf, l.done = 0, l.buf[:0], 0 // max-file=1: it begins anew
		return true, nil
	case !l.final:
		l.final = true
		return true, nil // once more: something may have come before the rotation
	case i == l.files:
		return l.oldest() // it is gone
	}
	// The files are shifted from the oldest on, and a shift leaves a hole behind
	// the one that it moves. If ours is still where it was, and what lies between
	// still missing, the next one was the next when it was opened.
	for k := i - 1; k >= 0; k-- {
		fd, err := openFile(l.name(k), unix.O_RDONLY)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !l.is(i, &st) || k < i-1 && unix.Access(l.name(k+1), unix.F_OK) == nil {
			_ = unix.Close(fd) // opened for reading
			return true, nil   // look again
		}
		l.begin(fd)
		return true, nil
	}
	return false, nil // not made yet
}

// is tells whether file i is the one with these attributes.
func (l *linesReader) is(i int, st *unix.Stat_t) bool {
	var other unix.Stat_t
	return unix.Stat(l.name(i), &other) == nil && other.Ino == st.Ino && other.Dev == st.Dev
}

// tail looks for the begin of the last lines, record by record from the end.
func (l *linesReader) tail(n int) error {
	left := n
	seen := false
	for i := range l.count() {
		ok, err := l.use(i)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		begin, err := l.backwards(func(line []byte) bool {
			r, ok := l.parse(l.text[:0], line)
			if !ok {
				return true
			}
			l.text = r.text[:0]
			whole := bytes.HasSuffix(r.text, []byte("\n"))
			if whole || !seen {
				if left == 0 {
					return false
				}
				left--
			}
			seen = true
			return true
		})
		if err != nil {
			return err
		}
		if begin > 0 || left == 0 && n == 0 {
			l.off, l.buf, l.done = begin, l.buf[:0], 0
			return nil
		}
	}
	l.off, l.buf, l.done = 0, l.buf[:0], 0
	return nil
}

// backwards calls f with each record, the last one first, until it is false,
// and returns where the record begins that was the last to be true.
func (l *linesReader) backwards(f func(line []byte) bool) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return 0, err
	}
	from := st.Size
	var buf []byte // the file from from on, up to the record that is next
	for first := true; ; {
		i := bytes.LastIndexByte(buf, '\n')
		if i < 0 && from > 0 {
			n := min(from, bufSize)
			more := make([]byte, n, int(n)+len(buf))
			if m, err := pread(l.fd, more, from-n); err != nil || int64(m) < n {
				return 0, err
			}
			from -= n
			buf = append(more, buf...)
			continue
		}
		line := buf[i+1:]
		begin := from + int64(i) + 1
		if !first { // what follows the last line feed is no record
			if !f(line) {
				return begin + int64(len(line)) + 1, nil
			}
		}
		if first = false; i < 0 {
			return 0, nil
		}
		buf = buf[:i]
	}
}
