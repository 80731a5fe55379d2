package logs

import (
	"errors"
	"fmt"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Writer appends to a log. It is not safe for concurrent use; a log has one
// writer at a time, which [Open] does not check.
//
// It has no threads, no timers, and no memory but one buffer that the first
// output makes.
type Writer struct {
	sink     sink
	buf      []byte
	grown    [2]bool // by stream: its pipe has got its capacity
	terminal [2]bool // by stream: it is none that splice takes
	lost     uint64  // bytes dropped since the last mark
	total    uint64  // bytes dropped ever
	lastErr  error
}

// Open opens the log of a container for writing, makes dir where the driver
// needs it, and continues after what an earlier writer left.
func Open(dir string, c *Config) (*Writer, error) {
	var s sink
	var err error
	switch c.Driver {
	case Local:
		s, err = openLocal(dir, c)
	case JSONFile:
		s, err = openLines(dir, c, &jsonFormat{attrs: attrsJSON(c.Attrs)})
	case K8sFile:
		s, err = openLines(dir, c, k8sFormat{})
	case Journald:
		s, err = openJournal(c)
	case None:
		s = discard{}
	default:
		err = fault.New(fault.Invalid, "log driver %q: there is none", c.Driver)
	}
	if err != nil {
		return nil, err
	}
	return &Writer{sink: s}, nil
}

// Write appends p, which was read from a stream at t. It does not fail: what
// cannot be kept is dropped and marked, and [Writer.Lost] counts it.
func (w *Writer) Write(stream byte, p []byte, t time.Time) {
	lost := len(p)
	if w.mark(t) {
		var err error
		if lost, err = w.sink.write(stream, p, t); err != nil {
			w.lastErr = err
		}
	}
	w.drop(lost)
}

// Take appends what is in a pipe (or whatever the container writes to) at this
// moment, without waiting for more: with one call, writes up to PIPE_BUF stay
// in one piece. It takes no more than most bytes, unless that is 0. It returns how
// much it took; 0 is the end of the stream, and an error concerns the pipe: EAGAIN
// when there was nothing. What the log cannot keep is dropped as by Write.
//
// A driver that can has the kernel move the bytes from the pipe to the file: at no
// moment are they in neither, so a keeper that is killed loses none.
//
// Precondition: fd is readable by poll, or O_NONBLOCK.
func (w *Writer) Take(stream byte, fd, most int, t time.Time) (int, error) {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ) // FIONREAD
	if grown := &w.grown[stream&1]; n >= bufSize && !*grown {
		*grown = true
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize) // a user may have no more
	}
	if most == 0 {
		most = max(n, bufSize)
	}
	n = min(n, most)
	if s, ok := w.sink.(splicer); ok && err == nil && n > 0 && !w.terminal[stream&1] && w.mark(t) {
		m, err := s.splice(stream, fd, n, t)
		if err == nil {
			return n, nil
		}
		if m == 0 && errors.Is(err, errCannotSplice) {
			w.terminal[stream&1] = true
			return w.copy(stream, fd, most, t)
		}
		w.lastErr = err
		rest, err := w.discard(fd, n-m)
		w.drop(rest)
		return m + rest, err
	}
	return w.copy(stream, fd, most, t)
}

// bufSize is what a default pipe holds.
const bufSize = 64 << 10

func (w *Writer) copy(stream byte, fd, most int, t time.Time) (int, error) {
	n, err := w.read(fd, min(most, bufSize))
	if n <= 0 {
		return 0, err
	}
	w.Write(stream, w.buf[:n], t)
	return n, nil
}

func (w *Writer) read(fd, n int) (int, error) {
	if w.buf == nil {
		w.buf = make([]byte, bufSize)
	}
	for {
		n, err := unix.Read(fd, w.buf[:n])
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// discard reads n bytes to nowhere.
func (w *Writer) discard(fd, n int) (int, error) {
	done := 0
	for done < n {
		m, err := w.read(fd, min(n-done, bufSize))
		if m <= 0 {
			return done, err
		}
		done += m
	}
	return done, nil
}

func (w *Writer) drop(n int) {
	w.lost += uint64(n)
	w.total += uint64(n)
}

// mark writes down what was lost before. Without room for that, there is none
// for anything else.
func (w *Writer) mark(t time.Time) bool {
	if w.lost == 0 {
		return true
	}
	if err := w.sink.gap(w.lost, t); err != nil {
		w.lastErr = err
		return false
	}
	w.lost, w.lastErr = 0, nil
	return true
}

// Lost returns how many bytes had to be dropped since Open, and why the last
// ones.
func (w *Writer) Lost() (uint64, error) { return w.total, w.lastErr }

// End marks that the container has ended and that everything it wrote has been
// given to the writer, which may then be closed, or go on with the next run.
func (w *Writer) End(t time.Time) error {
	if !w.mark(t) {
		return w.lastErr
	}
	lost, err := w.sink.end(t)
	w.drop(lost)
	return err
}

// Limit changes how much of the log is kept, from now on: files that are too
// many go, and a file that is too large is the last of its kind.
func (w *Writer) Limit(size int64, files int) { w.sink.limit(size, files) }

// Close closes the files. Without End before it, another writer goes on as if
// it were this one.
func (w *Writer) Close() error { return w.sink.close() }

// discard is the driver none.
type discard struct{}

func (discard) write(byte, []byte, time.Time) (int, error) { return 0, nil }
func (discard) gap(uint64, time.Time) error                { return nil }
func (discard) end(time.Time) (int, error)                 { return 0, nil }
func (discard) limit(int64, int)                           {}
func (discard) close() error                               { return nil }

func openFile(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o640)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("open log %s: %w", path, err)
		}
		return fd, nil
	}
}

// makeDir makes the directory of a log; its parents may be missing too.
func makeDir(dir string) error {
	err := unix.Mkdir(dir, 0o700)
	if err == unix.ENOENT {
		for i := 1; i < len(dir); i++ {
			if dir[i] == '/' {
				_ = unix.Mkdir(dir[:i], 0o700) // the last one tells
			}
		}
		err = unix.Mkdir(dir, 0o700)
	}
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("make log directory %s: %w", dir, err)
	}
	return nil
}

// writeAll writes p and returns how much of it was written.
func writeAll(fd int, p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Write(fd, p[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}
