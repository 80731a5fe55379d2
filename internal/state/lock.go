package state

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// A container's lock is one byte of RUN/locks: its offset is what the first
// 60 bits of the id say, and nothing is ever written there. So a lock makes no
// file, costs three system calls, and ends with its process, however that
// comes about.
//
// Who changes a record holds it; a reader does not need it, since a record is
// replaced whole. It is taken after a name is reserved, and before a sandbox's
// lock and before a layer is touched.

// Lock is a container, or some sandboxes, that nobody else changes.
type Lock struct{ fd int }

// lockTimeout is how long a command waits for another one.
const lockTimeout = 60 * time.Second

// Lock locks a container, which need not exist.
func (s *Store) Lock(id string) (*Lock, error) {
	return s.lock([]int64{lockOffset(id)}, "container "+short(id))
}

// sandboxLocks is where the bytes of sandboxes begin, behind those of containers.
const sandboxLocks = 1 << 60

// lock takes all the bytes, in their order: two commands that want the same ones
// do not wait for each other.
func (s *Store) lock(offsets []int64, what string) (*Lock, error) {
	fd, err := s.openLocks()
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "lock %s: %w", what, err)
	}
	slices.Sort(offsets)
	deadline := time.Now().Add(lockTimeout)
	for _, at := range offsets {
		if err := lockByte(fd, at, deadline); err != nil {
			_ = unix.Close(fd)
			return nil, fault.New(fault.KindOf(err), "lock %s: %w", what, err)
		}
	}
	return &Lock{fd}, nil
}

func lockByte(fd int, at int64, deadline time.Time) error {
	// The first tries are close together: most locks are held for microseconds.
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			return err
		case time.Now().After(deadline):
			return fault.New(fault.Unavailable, "another command has held it for a minute")
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
		if err := os.MkdirAll(s.run, 0o700); err != nil {
			return -1, err
		}
		fd, err = open()
	}
	return fd, err
}
