package snapshot

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// Usage returns the bytes of the regular files in the writable layer of id,
// those with several names once; 0 when there is none. What changes meanwhile
// may be counted or not, and what lies below more than maxUsageDepth
// directories is not.
func (s *Store) Usage(id string) (int64, error) {
	if err := checkID(id); err != nil {
		return 0, err
	}
	u := usage{seen: make(map[inode]bool)}
	err := u.dir(unix.AT_FDCWD, s.dir+"/"+id+"/upper", 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("measure snapshot %s: %w", id, err)
	}
	return u.bytes, nil
}

// maxUsageDepth bounds the descriptors: a container can make trees of any depth.
const maxUsageDepth = 250

type inode struct{ dev, ino uint64 }

type usage struct {
	bytes int64
	seen  map[inode]bool // files with several names
}

// dir adds a directory. It is a container's: nothing in it is followed.
func (u *usage) dir(parent int, name string, depth int) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	entries, err := fsatomic.Entries(fd)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var st unix.Stat_t
		err := unix.Fstatat(fd, e.Name, &st, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue // just removed
		case err != nil:
			return err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			if depth == maxUsageDepth {
				continue
			}
			if err := u.dir(fd, e.Name, depth+1); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
				return err
			}
		case unix.S_IFREG:
			if st.Nlink > 1 {
				key := inode{st.Dev, st.Ino}
				if u.seen[key] {
					continue
				}
				u.seen[key] = true
			}
			u.bytes += st.Size
		}
	}
	return nil
}
