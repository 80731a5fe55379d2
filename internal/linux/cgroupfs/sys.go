package cgroupfs

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

const dirFlags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// openat retries on EINTR; fd -1 goes with every error.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			if err != nil {
				return -1, err
			}
			return fd, nil
		}
	}
}

// closeFD closes *fd once.
func closeFD(fd *int) {
	if *fd >= 0 {
		_ = unix.Close(*fd) // nothing was buffered
		*fd = -1
	}
}

// write writes value in one call, as cgroup files want it. An empty value is
// a lone newline: the kernel does not see a write of nothing.
func write(fd int, value string) error {
	if value == "" {
		value = "\n"
	}
	for {
		_, err := unix.Write(fd, []byte(value))
		if err != unix.EINTR {
			return err
		}
	}
}

func writeAt(dir int, name, value string) error {
	fd, err := openat(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	err = write(fd, value)
	closeFD(&fd)
	return err
}

func readAt(dir int, name string) (string, error) { return readFile(dir, name, false) }

// readValue is readAt for a file whose text the kernel makes in one piece: what
// does not fill the buffer is all of it.
func readValue(dir int, name string) (string, error) { return readFile(dir, name, true) }

func readFile(dir int, name string, piece bool) (string, error) {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	s, err := read(fd, piece)
	closeFD(&fd)
	return s, err
}

// read reads fd from its start to the end, or with piece to the first read that
// is short.
func read(fd int, piece bool) (string, error) {
	buf := make([]byte, 4096)
	n := 0
	for {
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		m, err := unix.Pread(fd, buf[n:], int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case m == 0:
			return string(buf[:n]), nil
		default:
			if n += m; piece && n < len(buf) {
				return string(buf[:n]), nil
			}
		}
	}
}

// denied tells whether err says that this process may not change the file
// system, as opposed to something being wrong with the request.
func denied(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// absent tells whether err says that the kernel lacks the file or what is
// behind it. ENOTSUPP (524) is the kernel's own and leaks out of some files.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.Errno(524))
}

// fail builds "verb object: cause", where what the kernel calls out of range
// is the request's fault.
func fail(verb, object string, err error) error {
	kind := fault.KindOf(err)
	if errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EDOM) {
		kind = fault.Invalid
	}
	return fault.New(kind, "%s %s: %w", verb, object, err)
}

// backoff sleeps a growing while, 50 µs to 10 ms, until the deadline. The v1
// hierarchies have no event for what is waited for here.
type backoff struct {
	deadline time.Time
	pause    time.Duration
}

func newBackoff(timeout time.Duration) backoff {
	return backoff{time.Now().Add(timeout), 50 * time.Microsecond}
}

// wait returns false when the time is over.
func (b *backoff) wait() bool {
	left := time.Until(b.deadline)
	if left <= 0 {
		return false
	}
	time.Sleep(min(b.pause, left))
	b.pause = min(b.pause*2, 10*time.Millisecond)
	return true
}
