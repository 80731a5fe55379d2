package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// Lease keeps every image from being removed until it is released: hold one
// from Resolve until the container that uses the image is on disk.
type Lease struct{ fd int }

// Lease takes a lease; it waits while another process removes images. It takes
// two system calls.
func (s *Store) Lease() (*Lease, error) {
	l, err := s.lock(unix.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lease{fd: -1}, nil // no store, so nothing that could go away
	}
	return l, err
}

// Release gives the lease back.
func (l *Lease) Release() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd) // ends the flock
		l.fd = -1
	}
}

func (s *Store) lock(how int) (*Lease, error) {
	fd, err := eintr(func() (int, error) { return unix.Open(s.root+"/lock", unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err == nil {
		if _, err = eintr(func() (int, error) { return 0, unix.Flock(fd, how) }); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	return &Lease{fd: fd}, nil
}

func eintr(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// stage makes a staging directory, and the store itself on first use.
func (s *Store) stage() (*fsatomic.Staging, error) {
	dir := s.root + "/staging"
	st, err := fsatomic.Stage(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return st, err
	}
	if err := os.MkdirAll(filepath.Dir(s.root), 0o755); err != nil { //nolint:gosec // not ours, if it is missing
		return nil, fmt.Errorf("make image store %s: %w", s.root, err)
	}
	for _, sub := range []string{"", "/blobs", "/blobs/sha256", "/layers", "/images", "/names", "/staging"} {
		if err := unix.Mkdir(s.root+sub, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make image store %s: %w", s.root+sub, err)
		}
	}
	fd, err := unix.Open(s.root+"/lock", unix.O_RDONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make image store %s: %w", s.root, err)
	}
	_ = unix.Close(fd) // nothing was written
	return fsatomic.Stage(dir)
}

// Recover removes what crashed imports left. It is one readdir of an empty
// directory when there is nothing.
func (s *Store) Recover() error { return fsatomic.Sweep(s.root + "/staging") }
