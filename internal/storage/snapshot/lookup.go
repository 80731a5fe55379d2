package snapshot

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// maxLinks is how many links are followed, as by the kernel.
const maxLinks = 40

// OpenInLayers opens the regular file at path (slash separated, relative to
// the root) as an overlay of the layers, top first, would show it, without a
// mount. Whiteouts and opaque directories are honoured; links are followed and
// never lead out of the root. Anything that is no regular file is refused
// (Invalid). The error wraps ENOENT when there is none.
func OpenInLayers(layers []string, path string) (*os.File, error) {
	fd, err := lookup(layers, path, func(int) error { return fault.New(fault.Invalid, "is a directory") })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// StatDirInLayers is what an overlay of the layers would say of the directory at path,
// links followed as by [OpenInLayers]. The error wraps ENOENT or ENOTDIR when there is
// none.
func StatDirInLayers(layers []string, path string) (st unix.Stat_t, err error) {
	fd, err := lookup(layers, path, func(dir int) error { return unix.Fstat(dir, &st) })
	if fd >= 0 {
		_ = unix.Close(fd)
		err = fmt.Errorf("open %s: %w", path, unix.ENOTDIR)
	}
	return st, err
}

// lookup opens a file; for a directory it calls atDir with the topmost of those that
// are merged and returns -1.
func lookup(layers []string, path string, atDir func(fd int) error) (int, error) {
	parts := splitPath(path)
	for range maxLinks {
		fd, rest, err := walkLayers(layers, parts, atDir)
		if err != nil {
			return -1, fault.New(fault.KindOf(err), "open %s: %w", path, err)
		}
		if rest == nil {
			return fd, nil
		}
		parts = rest
	}
	return -1, fault.New(fault.Invalid, "open %s: %w", path, unix.ELOOP)
}

func splitPath(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(p string) bool { return p == "" || p == "." })
}

// walkLayers walks a path from the root. It returns the file, or -1 after atDir, or, at
// a link, the path without it, which begins at the root again.
func walkLayers(layers, parts []string, atDir func(fd int) error) (file int, rest []string, err error) {
	// trail are the directories on the way, each as those that the overlay merges.
	var trail [][]int
	defer func() {
		for _, dirs := range trail {
			closeAll(dirs)
		}
	}()
	top, err := openTops(layers)
	trail = append(trail, top)
	if err != nil {
		return -1, nil, err
	}
	names := []string{} // of the trail, without the root
	for i, part := range parts {
		if part == ".." {
			if n := len(names); n > 0 { // the root is above itself
				closeAll(trail[n])
				trail, names = trail[:n], names[:n-1]
			}
			continue
		}
		file, next, link, err := descend(trail[len(trail)-1], part)
		last := i == len(parts)-1
		switch {
		case err != nil:
			return -1, nil, err
		case link != "":
			rest := splitPath(link)
			if link[0] != '/' {
				rest = append(names, rest...)
			}
			return -1, append(append([]string{}, rest...), parts[i+1:]...), nil
		case file >= 0 && last:
			return file, nil, nil
		case file >= 0:
			_ = unix.Close(file)
			return -1, nil, unix.ENOTDIR
		}
		trail, names = append(trail, next), append(names, part)
	}
	dirs := trail[len(trail)-1]
	if len(dirs) == 0 {
		return -1, nil, unix.ENOENT // there is no layer
	}
	return -1, nil, atDir(dirs[0])
}

// openTops opens the roots of the layers, as far down as they are seen.
func openTops(layers []string) (dirs []int, err error) {
	for _, l := range layers {
		// The layer itself is the host's choice, and may be a link.
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return dirs, fmt.Errorf("open layer %s: %w", l, err)
		}
		dirs = append(dirs, fd)
		if opaque(fd) {
			break
		}
	}
	return dirs, nil
}

// descend looks name up in the merged directories. It returns the file, the
// directories that are merged below, or where a link leads.
func descend(dirs []int, name string) (file int, next []int, link string, err error) {
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
			return -1, next, "", err
		}
		kind := st.Mode & unix.S_IFMT
		whiteout := kind == unix.S_IFCHR && st.Rdev == 0
		switch {
		case kind == unix.S_IFDIR:
			fd, err := openAt(dir, name, unix.O_DIRECTORY)
			if err != nil {
				return -1, next, "", err
			}
			next = append(next, fd)
			if opaque(fd) {
				return -1, next, "", nil
			}
		case len(next) > 0:
			return -1, next, "", nil // hidden by a directory above it, or the end of one
		case whiteout:
			return -1, nil, "", unix.ENOENT
		case kind == unix.S_IFREG:
			file, err := openAt(dir, name, 0)
			return file, nil, "", err
		case kind == unix.S_IFLNK:
			link, err := readLink(dir, name)
			return -1, nil, link, err
		default:
			return -1, nil, "", fault.New(fault.Invalid, "%s is no regular file", name)
		}
	}
	if len(next) == 0 {
		return -1, nil, "", unix.ENOENT
	}
	return -1, next, "", nil
}

// readLink returns where a link leads, which is never empty.
func readLink(dir int, name string) (string, error) {
	var b [unix.PathMax]byte
	n, err := unix.Readlinkat(dir, name, b[:])
	if err == nil && (n == 0 || n == len(b)) {
		err = unix.ENAMETOOLONG
	}
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
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
