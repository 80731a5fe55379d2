package container

import (
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// File is a small file that exists only as a mount of the container: its
// content lies in a tmpfs of its own and nowhere on the host.
type File struct {
	Source  string // as Mount.Source names it
	Content []byte
}

const hidden = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// stashChild makes the file systems that later mounts are copied from: an
// empty one that hides directories, and one with the files of the
// configuration. Before Linux 6.15 only attached mounts can be copied, so
// they are attached where nobody looks, below the old root, and go with it.
func stashChild(e *env) error {
	if len(e.spec.Linux.MaskedPaths) > 0 {
		e.p.Note("make an empty file system")
		e.masks.dir = e.stash("empty", hidden, []string{"nr_inodes", "2"})
	}
	if len(e.cfg.Files) == 0 {
		return nil
	}
	e.p.Note("make a file system for small files")
	e.mounts.files = e.stash("files", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, []string{"size", "1m"}, []string{"nr_inodes", "16"})
	for i := range e.cfg.Files {
		f := &e.cfg.Files[i]
		name := filepath.Base(f.Source)
		e.p.Note("write " + name)
		fd := e.p.Openat2(plan.InChild, name, e.mounts.files.Arg(), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644, unix.RESOLVE_BENEATH)
		if len(f.Content) > 0 {
			e.p.Write(plan.InChild, fd.Arg(), string(f.Content), plan.Want(int64(len(f.Content))))
		}
		e.p.Close(plan.InChild, fd.Arg())
	}
	return nil
}

func (e *env) stash(name string, attrs int, options ...[]string) plan.Slot {
	fs := e.p.Fsopen(plan.InChild, "tmpfs")
	e.p.FsString(plan.InChild, fs, "mode", "755")
	for _, o := range options {
		e.p.FsString(plan.InChild, fs, o[0], o[1])
	}
	e.p.FsCreate(plan.InChild, fs)
	mnt := e.p.Fsmount(plan.InChild, name, fs, attrs)
	at := e.hidden("old ")
	e.p.MoveMount(plan.InChild, mnt.Arg(), at.Arg())
	return mnt
}

// file returns the configuration's file that a bind mount names, or nil.
func (e *env) file(m *specs.Mount) *File {
	for i := range e.cfg.Files {
		if e.cfg.Files[i].Source == m.Source {
			return &e.cfg.Files[i]
		}
	}
	return nil
}

// bindFile mounts one of the configuration's files.
func (e *env) bindFile(m *specs.Mount, o *mountOptions) {
	mnt := e.p.OpenTree(plan.InChild, filepath.Base(m.Source), e.mounts.files.Arg(), filepath.Base(m.Source), false)
	if set, clear := o.set|o.recSet, o.clear|o.recClear; set|clear != 0 {
		e.p.MountSetattr(plan.InChild, mnt.Arg(), false, plan.Attrs{Set: set, Clear: clear})
	}
	t := e.target(m.Destination, false, 0o644)
	e.p.MoveMount(plan.InChild, mnt.Arg(), t.Arg())
	e.propagate(mnt, o)
}
