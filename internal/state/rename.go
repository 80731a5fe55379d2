package state

import (
	"errors"

	"github.com/tare-engine/tare/internal/lib/fault"
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

// fileID tells one file of a record from the next: Put makes another one. The
// inode alone does not tell: ext4 gives the number of the first file to the third.
// The clock alone does not either: before Linux 6.13 it ticks every few ms.
type fileID struct {
	ino     uint64
	changed unix.Timespec
	size    int64
}

func idOf(st *unix.Stat_t) fileID { return fileID{st.Ino, st.Ctim, st.Size} }

// mark remembers which file the record is in.
func (s *Store) mark(r *Record) {
	var st unix.Stat_t
	if unix.Stat(s.path(r.ID, r.Remove), &st) == nil {
		r.file = idOf(&st)
	}
}

// Current brings r up to date for a process that has kept the record in memory
// since Create, and reports whether it is still there: it may have been
// renamed, updated or told to stop. It costs one stat when nobody has changed it.
//
// Precondition: the caller holds the container's lock.
func (s *Store) Current(r *Record) (there bool, err error) {
	path := s.path(r.ID, r.Remove)
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	if err == nil && idOf(&st) == r.file {
		return true, nil
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return true, fault.New(fault.KindOf(err), "stat %s: %w", path, err)
	}
	now, err := s.Get(r.ID)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	now.file = idOf(&st)
	*r = *now
	return true, nil
}
