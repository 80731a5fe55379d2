package snapshot

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// OpenInLayers opens the regular file at path (slash separated, relative to
// the root) as an overlay of the layers, top first, would show it, without a
// mount. Whiteouts and opaque directories are honoured; a symbolic link in any
// component is refused (Invalid), as is anything that is no regular file. The
// error wraps ENOENT when there is none.
func OpenInLayers(layers []string, path string) (*os.File, error) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return nil, fault.New(fault.Invalid, "open %s: is a directory", path)
	}
	// dirs are those that the overlay merges at the current component.
	dirs := make([]int, 0, len(layers))
	defer func() { closeAll(dirs) }()
	for _, l := range layers {
		// The layer itself is the host's choice, and may be a link.
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open layer %s: %w", l, err)
		}
		dirs = append(dirs, fd)
		if opaque(fd) {
			break
		}
	}
	for i, part := range parts {
		if part == "." || part == ".." {
			return nil, fault.New(fault.Invalid, "open %s: not a clean path", path)
		}
		fd, next, err := descend(dirs, part)
		closeAll(dirs)
		dirs = next
		last := i == len(parts)-1
		switch {
		case err != nil:
			return nil, fmt.Errorf("open %s: %w", path, err)
		case fd >= 0 && last:
			return os.NewFile(uintptr(fd), path), nil
		case fd >= 0:
			_ = unix.Close(fd)
			return nil, fmt.Errorf("open %s: %w", path, unix.ENOTDIR)
		case last:
			return nil, fault.New(fault.Invalid, "open %s: is a directory", path)
		}
	}
	return nil, unix.ENOENT // not reached: the loop ends at the last part
}

// descend looks name up in the merged directories. It returns the file, or the
// directories that are merged below.
func descend(dirs []int, name string) (file int, next []int, err error) {
	defer func() {
		if err != nil {
			closeAll(next)
			next = nil
		}
	}()
	for _, dir := range dirs {
		var st unix.Stat_t
		err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return -1, next, err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			fd, err := openAt(dir, name, unix.O_DIRECTORY)
			if err != nil {
				return -1, next, err
			}
			next = append(next, fd)
			if opaque(fd) {
				return -1, next, nil
			}
			continue
		case unix.S_IFREG:
			if len(next) > 0 {
				return -1, next, nil // hidden by a directory above it
			}
			file, err := openAt(dir, name, 0)
			return file, nil, err
		case unix.S_IFCHR:
			if st.Rdev == 0 { // a whiteout
				if len(next) > 0 {
					return -1, next, nil
				}
				return -1, nil, unix.ENOENT
			}
		}
		if len(next) > 0 {
			return -1, next, nil
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return -1, nil, fault.New(fault.Invalid, "%s is a symbolic link", name)
		}
		return -1, nil, fault.New(fault.Invalid, "%s is no regular file", name)
	}
	if len(next) == 0 {
		return -1, nil, unix.ENOENT
	}
	return -1, next, nil
}

// openAt opens without following a link. Layers do not change, so that the
// kind that was seen is the kind that is opened; O_NONBLOCK is for those that
// do not keep to it.
func openAt(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func opaque(fd int) bool { return opaqueBy(fd, false) }

// opaqueBy reports whether a directory hides those of the layers below; user
// says that the mark is user.overlay.*. That is anybody's to set, so it must
// not count where overlay does not look at it.
func opaqueBy(fd int, user bool) bool {
	var v [2]byte
	n, err := unix.Fgetxattr(fd, layer.OpaqueXattr(user), v[:])
	return err == nil && n == 1 && v[0] == 'y'
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd) // read only
	}
}
