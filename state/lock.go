package state

import (
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// A container's lock is one byte of RUN/locks: its offset is what the first
// 60 bits of the id say, and nothing is ever written there. So a lock makes no
// file, costs three system calls, and ends with its process, however that
// comes about.
//
// Who changes a record holds it; a reader does not need it, since a record is
// replaced whole. It is taken after a name is reserved and before a layer is
// touched.

// Lock is a container that nobody else changes.
type Lock struct{ fd int }

// lockTimeout is how long a command waits for another one.
const lockTimeout = 60 * time.Second

// Lock locks a container, which need not exist.
func (s *Store) Lock(id string) (*Lock, error) {
	fd, err := s.openLocks()
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "lock container %s: %w", short(id), err)
	}
	deadline := time.Now().Add(lockTimeout)
	// The first tries are close together: most locks are held for microseconds.
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: lockOffset(id), Len: 1}
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
		switch {
		case err == nil:
			return &Lock{fd}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			_ = unix.Close(fd)
			return nil, fault.New(fault.KindOf(err), "lock container %s: %w", short(id), err)
		case time.Now().After(deadline):
			_ = unix.Close(fd)
			return nil, fault.New(fault.Unavailable, "lock container %s: another command has held it for a minute", short(id))
		}
		time.Sleep(wait)
	}
}

// Unlock gives the container back. Twice is no error.
func (l *Lock) Unlock() {
	if l != nil && l.fd >= 0 {
		_ = unix.Close(l.fd)
		l.fd = -1
	}
}

func lockOffset(id string) int64 {
	n, err := strconv.ParseUint(id[:min(15, len(id))], 16, 64)
	if err != nil {
		return 0 // not one of ours: shares a lock
	}
	return int64(n)
}

func (s *Store) openLocks() (int, error) {
	open := func() (int, error) {
		return unix.Open(s.run+"/locks", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	}
	fd, err := open()
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(s.run, 0o711); err != nil {
			return -1, err
		}
		fd, err = open()
	}
	return fd, err
}
