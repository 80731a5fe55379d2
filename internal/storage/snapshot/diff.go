package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// ChangeKind says what has become of a file.
type ChangeKind byte

// The kinds, with Docker's letters.
const (
	Changed ChangeKind = 'C'
	Added   ChangeKind = 'A'
	Deleted ChangeKind = 'D'
)

// Change is a file that differs from the image's.
type Change struct {
	Path string // absolute, in the container
	Kind ChangeKind
}

// Diff compares the writable layer of id with the layers below it, top first,
// as Docker does with the two trees: mode, owner, device, capabilities, and of
// files size and time of change. A directory above a change is changed itself.
// Files and directories in skip that are new and empty are left out: mount
// points that a start makes. The list is sorted by path. What changes meanwhile
// may be listed or not.
func (s *Store) Diff(id string, lower []string, f Features, skip []string) ([]Change, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	list, err := DiffLayer(s.dir+"/"+id+"/upper", lower, f, skip)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compare snapshot %s: %w", id, err)
	}
	return list, nil
}

// DiffLayer is Diff for any layer: the directory upper with the layers below
// it, top first.
func DiffLayer(upper string, lower []string, f Features, skip []string) ([]Change, error) {
	top, err := unix.Open(upper, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(top) }() // read only
	d := differ{skip: skip, user: f.UserXattr}
	dirs := make([]int, 0, len(lower))
	defer func() { closeAll(dirs) }()
	for _, l := range lower {
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open layer %s: %s", l, err) //nolint:errorlint // ENOENT is upper's
		}
		dirs = append(dirs, fd)
		if opaqueBy(fd, d.user) {
			break
		}
	}
	if err := d.dir(top, dirs, "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(d.list, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return d.list, nil
}

type differ struct {
	list []Change
	skip []string
	user bool // Features.UserXattr
}

func (d *differ) add(path string, k ChangeKind) { d.list = append(d.list, Change{path, k}) }

// dir compares a directory of the upper layer, which is a container's: nothing
// in it is followed.
func (d *differ) dir(upper int, lower []int, path string, depth int) error {
	entries, err := fsatomic.Entries(upper)
	if err != nil {
		return err
	}
	if opaqueBy(upper, d.user) {
		if err := d.hidden(entries, lower, path); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := d.entry(upper, lower, path, e.Name, depth); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
	return nil
}

// hidden finds what an opaque directory does not have of those below it.
func (d *differ) hidden(have []fsatomic.Entry, lower []int, path string) error {
	seen := map[string]bool{}
	for _, e := range have {
		seen[e.Name] = true
	}
	for i, dir := range lower {
		names, err := fsatomic.Entries(dir)
		if err != nil {
			return err
		}
		if _, err := unix.Seek(dir, 0, 0); err != nil {
			return err
		}
		for _, e := range names {
			if seen[e.Name] {
				continue
			}
			seen[e.Name] = true
			if f, err := d.lookup(lower[i:], e.Name); err != nil {
				return err
			} else if f.found {
				closeAll(f.dirs)
				d.add(path+"/"+e.Name, Deleted)
			}
		}
	}
	return nil
}

func (d *differ) entry(upper int, lower []int, path, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(upper, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	below, err := d.lookup(lower, name)
	if err != nil {
		return err
	}
	defer closeAll(below.dirs)
	path += "/" + name
	kind := st.Mode & unix.S_IFMT
	change := ChangeKind(0)
	switch {
	case kind == unix.S_IFCHR && st.Rdev == 0: // a whiteout
		if below.found {
			d.add(path, Deleted)
		}
		return nil
	case !below.found:
		change = Added
	case differs(&st, &below.st) || capability(upper, name) != capability(below.at, name):
		change = Changed
	}
	spare := change == Added && slices.Contains(d.skip, path)
	if kind != unix.S_IFDIR {
		if change != 0 && (!spare || kind != unix.S_IFREG || st.Size != 0) {
			d.add(path, change)
		}
		return nil
	}
	before := len(d.list)
	if depth < maxUsageDepth {
		fd, err := openAt(upper, name, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := d.dir(fd, below.dirs, path, depth+1); err != nil {
			return err
		}
	}
	inside := len(d.list) > before
	switch {
	case change == 0 && inside:
		d.add(path, Changed)
	case change != 0 && (!spare || inside):
		d.add(path, change)
	}
	return nil
}

// differs compares what Docker compares.
func differs(a, b *unix.Stat_t) bool {
	return a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev ||
		a.Mode&unix.S_IFMT != unix.S_IFDIR && (a.Size != b.Size || a.Mtim != b.Mtim)
}

// capability returns the file capabilities, or "".
func capability(dir int, name string) string {
	var b [64]byte
	n, err := unix.Lgetxattr("/proc/self/fd/"+strconv.Itoa(dir)+"/"+name, "security.capability", b[:])
	if err != nil || n < 0 {
		return ""
	}
	return string(bytes.Clone(b[:n]))
}

// below is what the merged layers have of a name.
type below struct {
	found bool
	st    unix.Stat_t
	at    int   // the directory where it is
	dirs  []int // for a directory: those that are merged
}

// lookup finds a name in the merged directories.
func (d *differ) lookup(dirs []int, name string) (below, error) {
	var b below
	for _, dir := range dirs {
		var st unix.Stat_t
		err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			closeAll(b.dirs)
			return below{}, err
		}
		kind := st.Mode & unix.S_IFMT
		if b.found && kind != unix.S_IFDIR || kind == unix.S_IFCHR && st.Rdev == 0 {
			break // hidden, or the end of what is there
		}
		if !b.found {
			b.found, b.st, b.at = true, st, dir
		}
		if kind != unix.S_IFDIR {
			break
		}
		fd, err := openAt(dir, name, unix.O_DIRECTORY)
		if err != nil {
			closeAll(b.dirs)
			return below{}, err
		}
		b.dirs = append(b.dirs, fd)
		if opaqueBy(fd, d.user) {
			break
		}
	}
	return b, nil
}
