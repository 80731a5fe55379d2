package keepers

import (
	"errors"
	"strconv"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Fifo makes a fifo and opens both ends. Ours does not block.
func Fifo(path string, theirs, ours, uid int) (their, our int, err error) {
	fail := func(err error) (int, int, error) {
		return -1, -1, fault.New(fault.KindOf(err), "make %s: %w", path, err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fail(err)
	}
	if uid != 0 {
		// Another user than root could not open /dev/stdout as a file.
		if err := unix.Chown(path, uid, -1); err != nil && !errors.Is(err, unix.EPERM) {
			return fail(err)
		}
	}
	const common = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOFOLLOW
	if their, err = unix.Open(path, theirs|common, 0); err != nil {
		return fail(err)
	}
	if our, err = unix.Open(path, ours|common, 0); err == nil {
		err = unix.SetNonblock(their, false)
	}
	if err != nil {
		_ = unix.Close(their)
		return fail(err)
	}
	return their, our, nil
}

// Listen makes the keeper's socket.
func Listen(dir string) (int, error) {
	fd, err := BindSocket(dir, "sock", unix.SOCK_SEQPACKET)
	if err != nil {
		return -1, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		_ = unix.Close(fd)
		return -1, fault.New(fault.KindOf(err), "listen on %s/sock: %w", dir, err)
	}
	return fd, nil
}

// BindSocket makes a unix socket in dir, in the place of an earlier one. The
// address goes through /proc: a path has at most 108 bytes there.
func BindSocket(dir, name string, kind int) (int, error) {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(d) }()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.Unlinkat(d, name, 0)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(d) + "/" + name}); err != nil {
		_ = unix.Close(fd)
		return -1, fault.New(fault.KindOf(err), "bind %s/%s: %w", dir, name, err)
	}
	return fd, nil
}

func sockPath(dir int) string { return "/proc/self/fd/" + strconv.Itoa(dir) + "/sock" }
