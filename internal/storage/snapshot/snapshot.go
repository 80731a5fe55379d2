// Package snapshot gives a container its root file system: the layers of an
// image below, a private writable layer above, as plain data for whoever does
// the mount.
//
// On disk, below the data root that the image store uses too:
//
//	overlay/ID/upper    the writable layer
//	overlay/ID/work     what overlay needs beside it
//	overlay/.new-ID     one being made; garbage after a crash
//	overlay/.spare      one ready for the next container
//	overlay/.old        what is left of one whose upper layer was empty
//
// The last two exist because making and removing six directories costs ext4
// 0.5 ms, and a run has time for it only while its container works: see
// [Store.Tidy]. A spare was never mounted, since whoever kept an fd of an old
// container's root could write into it.
//
// Nothing here is synced to disk: a container's layer that is lost with the
// machine's power is lost with the container's memory as well.
package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// Store makes and removes snapshots below a data root.
type Store struct {
	dir string
}

// Open returns the store below the data root, an absolute path, without I/O.
func Open(root string) *Store { return &Store{dir: root + "/overlay"} }

// Parent is what a snapshot stands on.
type Parent struct {
	Lower    []string // absolute layer directories, top first
	Mode     uint32   // of the top layer's root, 07777
	UID, GID uint32
}

// Snapshot is a root file system that can be mounted. Either Dir is set, and
// is the root as it stands, or the rest describes an overlay.
type Snapshot struct {
	ID       string
	Dir      string   // a directory used directly
	Lower    []string // absolute, top first
	Upper    string   // absolute; "" for a view
	Work     string
	Volatile bool // the overlay may skip every sync: the container is --rm
	ReadOnly bool
}

// Prepare makes the writable layer of container id on top of p. The root of
// the layer gets the attributes of the image's. The error is Exists when the
// id has one.
//
// The overlay of a volatile snapshot cannot be mounted a second time: the
// kernel refuses it, because nobody knows what of it reached the disk.
func (s *Store) Prepare(id string, p Parent, volatile bool) (Snapshot, error) {
	if err := checkID(id); err != nil {
		return Snapshot{}, err
	}
	dir := s.dir + "/" + id
	err := unix.Renameat2(unix.AT_FDCWD, s.dir+spare, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE)
	if err == nil {
		err = setRoot(dir+"/upper", p, spareMode)
	} else if !errors.Is(err, fs.ErrExist) {
		err = s.make(fsatomic.Prefix+id, "/"+id, p)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("prepare %s: %w", id, err)
	}
	return s.At(id, p, volatile), nil
}

const (
	spare     = "/.spare"
	old       = "/.old"
	spareMode = 0o755
)

// make makes a snapshot under the name temp and moves it to path.
func (s *Store) make(temp, path string, p Parent) error {
	temp = s.dir + "/" + temp
	err := unix.Mkdir(temp, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.makeDir(); err == nil {
			err = unix.Mkdir(temp, 0o700)
		}
	}
	if err != nil {
		return err
	}
	if err = fill(temp, p); err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, s.dir+path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		err = errors.Join(err, fsatomic.RemoveTree(unix.AT_FDCWD, temp))
	}
	return err
}

// fill makes the two directories of a snapshot in dir.
func fill(dir string, p Parent) error {
	upper := dir + "/upper"
	if err := unix.Mkdir(upper, 0o700); err != nil {
		return err
	}
	// Whatever the umask is, and with the bits that mkdir ignores.
	if err := setRoot(upper, p, 0o7777+1); err != nil {
		return err
	}
	return unix.Mkdir(dir+"/work", 0o700)
}

// setRoot gives the upper directory, which is root's and has mode now, the
// attributes that p asks for. chown comes first: it clears setuid bits.
func setRoot(upper string, p Parent, now uint32) error {
	if p.UID != 0 || p.GID != 0 {
		if err := unix.Lchown(upper, int(p.UID), int(p.GID)); err != nil {
			return err
		}
	}
	if mode := p.Mode & 0o7777; mode != now {
		return unix.Chmod(upper, mode)
	}
	return nil
}

func (s *Store) makeDir() error {
	for _, dir := range []string{filepath.Dir(s.dir), s.dir} {
		if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// At returns the snapshot that Prepare would make for id, without making it.
func (s *Store) At(id string, p Parent, volatile bool) Snapshot {
	dir := s.dir + "/" + id
	return Snapshot{ID: id, Lower: p.Lower, Upper: dir + "/upper", Work: dir + "/work", Volatile: volatile}
}

// Get returns the snapshot of id that Prepare made, for a container that
// starts again. The error is NotFound when there is none.
func (s *Store) Get(id string, p Parent, volatile bool) (Snapshot, error) {
	if err := checkID(id); err != nil {
		return Snapshot{}, err
	}
	snap := s.At(id, p, volatile)
	var st unix.Stat_t
	if err := unix.Lstat(snap.Upper, &st); err != nil {
		return Snapshot{}, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	return snap, nil
}

// Again lets the layer of id be mounted once more, for a container that starts
// again. The mark of a volatile mount says that its files may not have reached
// the disk; in the same boot they are in memory. Linux 5.10.
func (s *Store) Again(id string) error {
	var st unix.Stat_t
	dir := s.dir + "/" + id
	if err := unix.Lstat(dir+"/upper", &st); err != nil {
		return fmt.Errorf("open snapshot %s: %w", id, err)
	}
	if err := fsatomic.RemoveTree(unix.AT_FDCWD, dir+"/work/work/incompat"); err != nil {
		return fmt.Errorf("reuse snapshot %s: %w", id, err)
	}
	return nil
}

// Dir returns a snapshot that is the directory itself (--rootfs). Whether it
// exists is for the mount to find out.
func Dir(path string) (Snapshot, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Snapshot{}, fmt.Errorf("open rootfs %s: %w", path, err)
	}
	return Snapshot{Dir: abs}, nil
}

// Remove removes the writable layer of id; it is no error if there is none.
// The overlay must be unmounted.
func (s *Store) Remove(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	dir := s.dir + "/" + id
	if unix.Rmdir(dir+"/upper") == nil {
		// Empty, as most are: no space to give back, so the rest can wait.
		if unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, s.dir+old, unix.RENAME_NOREPLACE) == nil {
			return nil
		}
	}
	if err := fsatomic.RemoveTree(unix.AT_FDCWD, dir); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	return nil
}

// Tidy does what Prepare and Remove put off: it makes a spare and removes what
// is old. Call it while there is nothing to do but wait for the container id;
// it takes about 0.5 ms on ext4, or two system calls when all is tidy. Killed,
// it leaves what Sweep of the same id removes.
func (s *Store) Tidy(id string) error {
	// Under a name of its own nobody else removes it too.
	temp := fsatomic.Prefix + id
	var err error
	if unix.Rename(s.dir+old, s.dir+"/"+temp) == nil {
		err = removeOld(s.dir + "/" + temp)
	}
	var st unix.Stat_t
	if errors.Is(unix.Lstat(s.dir+spare, &st), fs.ErrNotExist) {
		made := s.make(temp, spare, Parent{Mode: spareMode})
		if !errors.Is(made, fs.ErrExist) { // else somebody was faster
			err = errors.Join(err, made)
		}
	}
	if err != nil {
		return fmt.Errorf("tidy snapshots: %w", err)
	}
	return nil
}

// removeOld removes a snapshot without an upper layer. What overlay leaves in
// the work directory is known (Linux 5.10: a mark for volatile mounts), so that
// six calls do where a walk needs thirty; anything else is left to the walk.
func removeOld(dir string) error {
	_ = unix.Unlink(dir + "/work/work/incompat/volatile/dirty")
	for _, p := range [...]string{"/work/work/incompat/volatile", "/work/work/incompat", "/work/work", "/work"} {
		_ = unix.Rmdir(dir + p)
	}
	if unix.Rmdir(dir) == nil {
		return nil
	}
	return fsatomic.RemoveTree(unix.AT_FDCWD, dir)
}

// Sweep removes what a Prepare or Tidy of id has left that was killed.
func (s *Store) Sweep(id string) error {
	if err := fsatomic.RemoveTree(unix.AT_FDCWD, s.dir+"/"+fsatomic.Prefix+id); err != nil {
		return fmt.Errorf("sweep snapshot %s: %w", id, err)
	}
	return nil
}

// Recover removes every snapshot that inUse denies, staged ones too. inUse
// must know the ids of containers that are being created.
func (s *Store) Recover(inUse func(id string) bool) error {
	fd, err := unix.Open(s.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover snapshots: %w", err)
	}
	entries, err := fsatomic.Entries(fd)
	for _, e := range entries {
		if "/"+e.Name != spare && !inUse(strings.TrimPrefix(e.Name, fsatomic.Prefix)) {
			err = errors.Join(err, fsatomic.RemoveTree(fd, e.Name))
		}
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("recover snapshots: %w", err)
	}
	return nil
}

func checkID(id string) error {
	if id == "" || id[0] == '.' || strings.Contains(id, "/") {
		return fault.New(fault.Invalid, "snapshot id %q is malformed", id)
	}
	return nil
}
