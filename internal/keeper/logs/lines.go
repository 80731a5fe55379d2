package logs

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// maxLine is where a line is divided: Docker's and CRI's limit.
const maxLine = 16 << 10

// format is how a driver that knows lines writes one.
type format interface {
	// record appends the record of a line, or of a part of one that is not its
	// last; line is without the line feed.
	record(b []byte, stream byte, line []byte, part bool, t time.Time) []byte
	// holds says that a line is written when it is complete. Otherwise it is
	// written in the parts that came.
	holds() bool
}

// cutter makes lines of chunks, for each stream.
type cutter struct {
	held [3][]byte // by stream: the begin of a line
	hold bool
}

// cut calls f for every line of p, and for parts of those that are too long.
func (c *cutter) cut(stream byte, p []byte, f func(line []byte, part bool)) {
	held := &c.held[stream&1]
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		n := i
		if i < 0 {
			n = len(p)
		}
		switch room := maxLine - len(*held); {
		case n > room || n == room && i < 0:
			f(c.join(held, p[:room]), true)
			p = p[room:]
		case i >= 0:
			f(c.join(held, p[:i]), false)
			p = p[i+1:]
		case c.hold:
			*held = append(*held, p...)
			return
		default:
			f(p, true)
			return
		}
	}
}

// join puts what is held before the rest of the line. The result is valid
// until more is held.
func (c *cutter) join(held *[]byte, rest []byte) []byte {
	if len(*held) == 0 {
		return rest
	}
	line := append(*held, rest...)
	*held = line[:0]
	return line
}

// flush gives out what is held.
func (c *cutter) flush(f func(stream byte, line []byte)) {
	for _, s := range [...]byte{Stdout, Stderr} {
		held := &c.held[s&1]
		if len(*held) > 0 {
			f(s, *held)
			*held = (*held)[:0]
		}
	}
}

// lines is a driver that writes records of lines to files which are rotated
// by renaming: FILE, FILE.1 (older), FILE.2, …
type lines struct {
	cutter
	format format
	path   string
	max    int64
	files  int
	fd     int
	size   int64
	out    []byte // records that are not written yet
	raw    int    // bytes of output in them
}

func openLines(dir string, c *Config, f format) (*lines, error) {
	path := c.File
	if path == "" {
		return nil, fault.New(fault.Invalid, "log driver %s: no file", c.Driver)
	}
	if path[0] != '/' {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
		path = dir + "/" + path
	}
	l := &lines{cutter: cutter{hold: f.holds()}, format: f, path: path, max: c.MaxSize, files: c.MaxFile}
	if err := l.open(0); err != nil {
		return nil, err
	}
	if err := l.repair(); err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

func (l *lines) open(flags int) (err error) {
	l.fd, err = openFile(l.path, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND|flags)
	l.size = 0
	return err
}

// repair cuts off the record that a crash has left unfinished.
func (l *lines) repair() error {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return err
	}
	l.size = st.Size
	buf := make([]byte, 4096)
	for l.size > 0 {
		from := max(0, l.size-int64(len(buf)))
		n, err := pread(l.fd, buf[:l.size-from], from)
		if err != nil {
			return err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			l.size = from + int64(i) + 1
			break
		}
		l.size = from
	}
	if l.size == st.Size {
		return nil
	}
	return unix.Ftruncate(l.fd, l.size)
}

func (l *lines) write(stream byte, p []byte, t time.Time) (lost int, err error) {
	l.cut(stream, p, func(line []byte, part bool) {
		n, ferr := l.add(stream, line, part, t)
		lost, err = lost+n, errors.Join(err, ferr)
	})
	n, ferr := l.flush()
	return lost + n, errors.Join(err, ferr)
}

// outSize is how much is written at once.
const outSize = 64 << 10

// add appends a record to those to be written, and writes them first when they
// are many, or when the file is full.
func (l *lines) add(stream byte, line []byte, part bool, t time.Time) (lost int, err error) {
	before := len(l.out)
	l.out = l.format.record(l.out, stream, line, part, t)
	full := l.max > 0 && l.size+int64(len(l.out)) > l.max && l.size+int64(before) > 0
	if full || len(l.out) > outSize && before > 0 {
		record := l.out[before:]
		l.out = l.out[:before]
		lost, err = l.flush()
		if full {
			err = errors.Join(err, l.rotate())
		}
		l.out = append(l.out[:0], record...) // moves it to the front
	}
	l.raw += len(line)
	if !part {
		l.raw++
	}
	return lost, err
}

// flush writes the records. One that is cut short by a full disk would spoil
// the next, so what did not fit goes altogether.
func (l *lines) flush() (lost int, err error) {
	n, err := writeAll(l.fd, l.out)
	if err != nil {
		lost = l.raw
		if terr := unix.Ftruncate(l.fd, l.size); terr != nil {
			l.size += int64(n)
			err = errors.Join(err, terr)
		}
	} else {
		l.size += int64(n)
	}
	l.out, l.raw = l.out[:0], 0
	return lost, err
}

// rotate shifts the files by one and begins a new one.
func (l *lines) rotate() error {
	old := l.fd
	for i := l.files - 1; i > 0; i-- {
		from := l.path
		if i > 1 {
			from = l.numbered(i - 1)
		}
		if err := unix.Rename(from, l.numbered(i)); err != nil && err != unix.ENOENT {
			return err
		}
	}
	flags := 0
	if l.files == 1 {
		flags = unix.O_TRUNC
	}
	if err := l.open(flags); err != nil {
		l.fd = old // it goes on in what is FILE.1 now
		return err
	}
	return unix.Close(old)
}

func (l *lines) numbered(i int) string { return l.path + "." + strconv.Itoa(i) }

func (l *lines) gap(lost uint64, t time.Time) error {
	if _, err := l.add(Stderr, gapText(nil, lost), false, t); err != nil {
		return err
	}
	_, err := l.flush()
	return err
}

// gapText is the line that stands for lost bytes in a format without a mark
// for them.
func gapText(b []byte, lost uint64) []byte {
	b = append(b, "[tare: "...)
	b = strconv.AppendUint(b, lost, 10)
	return append(b, " bytes of output lost: the log could not be written]"...)
}

func (l *lines) end(t time.Time) (lost int, err error) {
	l.cutter.flush(func(stream byte, line []byte) {
		n, ferr := l.add(stream, line, true, t)
		lost, err = lost+n, errors.Join(err, ferr)
	})
	n, ferr := l.flush()
	return lost + n, errors.Join(err, ferr)
}

func (l *lines) limit(size int64, files int) {
	for i := files; i < l.files; i++ {
		_ = unix.Unlink(l.numbered(i)) // there may be fewer
	}
	l.max, l.files = size, files
}

func (l *lines) close() error { return closeFD(&l.fd) }
