package state

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// Pending is a start under way. Its file is locked for as long as the process
// that does it lives; a file that nobody locks is a start that was cut off.
type Pending struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Cgroup string `json:"cgroup"`
	Remove bool   `json:"remove"`

	fd   int
	path string
}

// Begin records that a start begins, before anything is made. The directory's
// shared lock keeps a clean-up from seeing the file before it is locked.
func (s *Store) Begin(p Pending) (*Pending, error) {
	dir, err := s.lockPending(unix.LOCK_SH)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(s.run+"/pending", 0o711); err != nil {
			return nil, err
		}
		dir, err = s.lockPending(unix.LOCK_SH)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(dir) }()
	p.path = s.run + "/pending/" + p.ID
	p.fd, err = unix.Openat(dir, p.ID, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err = flock(p.fd, unix.LOCK_EX); err == nil {
		_, err = unix.Write(p.fd, appendPending(nil, &p))
	}
	if err != nil {
		p.End()
		return nil, err
	}
	return &p, nil
}

func (s *Store) lockPending(how int) (int, error) { return openLocked(s.run+"/pending", how) }

// openLocked opens a directory and locks it.
func openLocked(path string, how int) (int, error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := flock(dir, how); err != nil {
		_ = unix.Close(dir)
		return -1, err
	}
	return dir, nil
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}

// End says that the start is complete, or undone.
func (p *Pending) End() {
	_ = unix.Unlink(p.path)
	_ = unix.Close(p.fd)
}

// Leave says that the start was not undone: the next clean-up tries again.
func (p *Pending) Leave() { _ = unix.Close(p.fd) }

// CutOff calls undo for every start whose process has died, and forgets those
// for which it returns nil. When nothing is pending it reads one empty
// directory.
func (s *Store) CutOff(undo func(*Pending) error) error {
	path := s.run + "/pending"
	entries, err := os.ReadDir(path)
	if errors.Is(err, unix.ENOENT) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	// Whoever was just making a file has locked it when we get this.
	dir, err := s.lockPending(unix.LOCK_EX)
	if err != nil {
		return err
	}
	_ = unix.Close(dir)
	var errs []error
	for _, e := range entries {
		if err := cutOff(path+"/"+e.Name(), e.Name(), undo); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func cutOff(path, id string, undo func(*Pending) error) error {
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // it has just ended
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil //nolint:nilerr // its process lives
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err == nil && st.Nlink == 0 {
		return nil
	}
	p := Pending{ID: id}
	// An empty one was cut off before its first write: nothing else was made.
	if st.Size > 0 {
		if err := json.NewDecoder(f).Decode(&p); err != nil {
			return fault.New(fault.Internal, "pending start %s: %w", short(id), err)
		}
		p.ID = id
	}
	if err := undo(&p); err != nil {
		return err
	}
	return os.Remove(path)
}
