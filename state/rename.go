package state

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// Rename gives a container another name.
//
// Precondition: the caller holds its lock, and r is what is on disk.
func (s *Store) Rename(r *Record, name string) error {
	if err := s.Reserve(name, r.ID); err != nil {
		return err
	}
	old := r.Name
	r.Name = name
	if err := s.Put(r); err != nil {
		r.Name = old
		_ = s.free(name, r.ID) // the first error counts
		return err
	}
	return s.free(old, r.ID)
}

// mark remembers which file the record is in: Put makes another one.
func (s *Store) mark(r *Record) {
	var st unix.Stat_t
	if unix.Stat(s.path(r.ID, r.Remove), &st) == nil {
		r.ino = st.Ino
	}
}

// Renamed brings r.Name up to date for a process that has kept the record in
// memory since Create, and reports whether the record is still there. It costs
// one stat when nobody has changed the record.
//
// Precondition: the caller holds the container's lock.
func (s *Store) Renamed(r *Record) (there bool, err error) {
	path := s.path(r.ID, r.Remove)
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err == nil && st.Ino == r.ino {
		return true, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return true, fault.New(fault.KindOf(err), "read %s: %w", path, err)
	}
	var now struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(b, &now); err != nil {
		return true, fault.New(fault.Internal, "container %s: damaged record: %w", short(r.ID), err)
	}
	if now.Name != "" {
		r.Name = now.Name
	}
	return true, nil
}
