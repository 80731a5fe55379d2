package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"golang.org/x/sys/unix"
)

// Pending is a start under way. Its file is locked for as long as the process
// that does it lives; a file that nobody locks is a start that was cut off.
type Pending struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Cgroup string `json:"cgroup"`
	Remove bool   `json:"remove"`

	file *os.File
	path string
}

// Begin records that a start begins, before anything is made. The file gets
// its name when it is locked and whole.
func (s *Store) Begin(p Pending) (*Pending, error) {
	dir := filepath.Join(s.run, "pending")
	p.path = filepath.Join(dir, p.ID)
	tmp := filepath.Join(dir, fsatomic.Prefix+p.ID)
	b, err := json.Marshal(&p)
	if err != nil {
		return nil, err
	}
	p.file, err = os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(dir, 0o711); err == nil {
			p.file, err = os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(p.file.Fd()), unix.LOCK_EX); err == nil {
		if _, err = p.file.Write(b); err == nil {
			err = os.Rename(tmp, p.path)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		// Another process took the file for a leftover, between its making
		// and its locking.
		_ = p.file.Close()
		return s.Begin(p)
	}
	if err != nil {
		_ = os.Remove(tmp)
		_ = p.file.Close()
		return nil, err
	}
	return &p, nil
}

// End says that the start is complete, or undone.
func (p *Pending) End() {
	_ = os.Remove(p.path)
	_ = p.file.Close()
}

// CutOff calls undo for every start whose process has died, and forgets those
// for which it returns nil. When nothing is pending it reads one empty
// directory.
func (s *Store) CutOff(undo func(*Pending) error) error {
	dir := filepath.Join(s.run, "pending")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if err := cutOff(filepath.Join(dir, e.Name()), e.Name(), undo); err != nil {
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
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil //nolint:nilerr // somebody is at it
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err == nil && st.Nlink == 0 {
		return nil
	}
	if strings.HasPrefix(id, fsatomic.Prefix) {
		return os.Remove(path) // nothing was made yet
	}
	var p Pending
	if err := json.NewDecoder(f).Decode(&p); err != nil {
		return fault.New(fault.Internal, "pending start %s: %w", short(id), err)
	}
	if err := undo(&p); err != nil {
		return err
	}
	return os.Remove(path)
}
