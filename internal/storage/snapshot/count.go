package snapshot

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// Counts says how many files a container has added, changed and deleted, as
// against the layers below. A directory counts when it is new; one that was
// deleted counts once, whatever was in it.
type Counts struct {
	Added, Changed, Deleted int
	Bytes                   int64 // of the regular files that are there
	Truncated               bool  // there are more: counting was stopped
}

// Count counts the writable layer of id over the layers of its image, top
// first. It looks at limit entries at most.
func (s *Store) Count(id string, lower []string, limit int) (Counts, error) {
	if err := checkID(id); err != nil {
		return Counts{}, err
	}
	upper, err := unix.Open(s.dir+"/"+id+"/upper", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Counts{}, nil
	}
	if err != nil {
		return Counts{}, fmt.Errorf("count snapshot %s: %w", id, err)
	}
	defer func() { _ = unix.Close(upper) }()
	entries, err := fsatomic.Entries(upper)
	if err != nil || len(entries) == 0 {
		return Counts{}, err
	}
	c := count{left: limit}
	var dirs []int
	defer func() { closeAll(dirs) }()
	for _, l := range lower {
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return Counts{}, fmt.Errorf("open layer %s: %w", l, err)
		}
		dirs = append(dirs, fd)
	}
	if err := c.list(upper, entries, dirs, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Counts{}, fmt.Errorf("count snapshot %s: %w", id, err)
	}
	return c.Counts, nil
}

type count struct {
	Counts
	left int
}

// dir counts a directory of the writable layer, which is a container's:
// nothing in it is followed. lower are the directories that it covers.
func (c *count) dir(parent int, name string, lower []int, depth int) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if depth > 0 && opaque(fd) {
		if len(lower) > 0 {
			c.Deleted++ // and made anew
		}
		lower = nil
	}
	entries, err := fsatomic.Entries(fd)
	if err != nil {
		return err
	}
	return c.list(fd, entries, lower, depth)
}

// list counts what is in the directory fd.
func (c *count) list(fd int, entries []fsatomic.Entry, lower []int, depth int) error {
	for _, e := range entries {
		if c.left--; c.left < 0 || depth > maxUsageDepth {
			c.Truncated = true
			return nil
		}
		var st unix.Stat_t
		err := unix.Fstatat(fd, e.Name, &st, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue // just removed
		case err != nil:
			return err
		}
		below, isDir := covers(lower, e.Name)
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0: // a whiteout
			if below {
				c.Deleted++
			}
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			if !isDir {
				c.one(below)
			}
			if err := c.sub(fd, e.Name, lower, isDir, depth); err != nil {
				return err
			}
		default:
			c.one(below)
			if st.Mode&unix.S_IFMT == unix.S_IFREG {
				c.Bytes += st.Size
			}
		}
	}
	return nil
}

func (c *count) one(below bool) {
	if below {
		c.Changed++
	} else {
		c.Added++
	}
}

func (c *count) sub(fd int, name string, lower []int, isDir bool, depth int) error {
	var next []int
	if isDir {
		var err error
		if _, next, _, err = descend(lower, name); err != nil {
			return err
		}
		defer closeAll(next)
	}
	err := c.dir(fd, name, next, depth+1)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // changed meanwhile
	}
	return err
}

// covers tells whether merged directories have a name, and as a directory.
func covers(dirs []int, name string) (there, isDir bool) {
	for _, d := range dirs {
		var st unix.Stat_t
		if unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			whiteout := st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
			return !whiteout, st.Mode&unix.S_IFMT == unix.S_IFDIR
		}
	}
	return false, false
}
