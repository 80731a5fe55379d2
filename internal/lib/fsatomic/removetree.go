package fsatomic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the fds that a removal holds; deeper directories are moved
// up to the root of the tree first. Containers can make trees of any depth.
const maxDepth = 64

// RemoveTree removes name below dirfd, and all below it, without following a
// symbolic link anywhere. It is no error if nothing is there. An empty
// directory costs one system call, a directory of files three and one for each
// file.
func RemoveTree(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.ENOTDIR):
		err = unix.Unlinkat(dirfd, name, 0)
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		r := remover{root: -1}
		err = r.dir(dirfd, name, 0)
	case errors.Is(err, unix.EROFS):
		// The kernel does not look for the name then.
		var st unix.Stat_t
		if unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT {
			return nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

type remover struct {
	root  int // fd of the topmost directory
	moved int // directories moved up to it
}

// dir empties and removes the directory name.
func (r *remover) dir(parent int, name string, depth int) error {
	fd, err := openDir(parent, name)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if depth == 0 {
		r.root = fd
	}
	for {
		moved := r.moved
		err := eachEntry(fd, func(name string, typ byte) error { return r.entry(fd, name, typ, depth+1) })
		if err != nil {
			return err
		}
		err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		// What was moved up may have landed behind the readdir cursor.
		if !errors.Is(err, unix.ENOTEMPTY) || depth > 0 || r.moved == moved {
			return err
		}
		if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
			return err
		}
	}
}

func (r *remover) entry(fd int, name string, typ byte, depth int) error {
	if typ != unix.DT_DIR {
		err := unix.Unlinkat(fd, name, 0)
		if !errors.Is(err, unix.EISDIR) {
			return err
		}
	}
	err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if depth < maxDepth {
		return r.dir(fd, name, depth)
	}
	for {
		r.moved++
		to := Prefix + strconv.Itoa(r.moved)
		err := unix.Renameat2(fd, name, r.root, to, unix.RENAME_NOREPLACE)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// eachEntry calls f with the name and the DT_ type of each directory entry.
func eachEntry(fd int, f func(name string, typ byte) error) error {
	const header = 19 // ino, off: 8 bytes each; reclen: 2; type: 1
	buf := make([]byte, 4096)
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil || n == 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > header; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if size <= header || size > len(rest) {
				return unix.EIO
			}
			name, _, _ := bytes.Cut(rest[header:size], []byte{0})
			typ := rest[18]
			rest = rest[size:]
			if s := string(name); s != "." && s != ".." {
				if err := f(s, typ); err != nil {
					return err
				}
			}
		}
	}
}

// Entries returns the names in the directory fd, in the kernel's order, with
// their DT_ types. The fd's position must be at the start.
func Entries(fd int) ([]Entry, error) {
	var out []Entry
	err := eachEntry(fd, func(name string, typ byte) error {
		out = append(out, Entry{name, typ})
		return nil
	})
	return out, err
}

// Entry is a name in a directory.
type Entry struct {
	Name string
	Type byte // DT_DIR, ...; DT_UNKNOWN on some file systems
}
