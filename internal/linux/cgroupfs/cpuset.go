package cgroupfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// inherit sees to it that a v1 cpuset file of the group is not empty. In the
// usual case the kernel has done it in mkdir, since the parent has
// cgroup.clone_children, and looking at one of the two files is enough.
func (x *executor) inherit(a *cgroup.Action, p *place) error {
	if x.cloned {
		return nil
	}
	dir := x.g.dir(a.Hierarchy)
	text, err := readAt(dir, a.File)
	if err != nil {
		return fail("read", a.Target(), err)
	}
	if strings.TrimSpace(text) != "" {
		x.cloned = p.made // both at once; who knows what an old group has
		return nil
	}
	v, err := inheritFrom(a.Mount, p.parentPath, a.File)
	if err != nil {
		return fail("inherit", a.Target(), err)
	}
	if err := writeAt(dir, a.File, v); err != nil {
		return fail("write", a.Target(), err)
	}
	return nil
}

// inheritFrom returns the value of a directory's file, after filling it from
// the directory above where it was empty. A directory that nobody has set up
// is one that tare made: from then on it fills its children by itself.
func inheritFrom(mount, path, file string) (string, error) {
	dir, err := openat(unix.AT_FDCWD, join(mount, path), unix.O_PATH|dirFlags)
	if err != nil {
		return "", err
	}
	defer closeFD(&dir)
	text, err := readAt(dir, file)
	v := strings.TrimSpace(text)
	if err != nil || v != "" || path == "" {
		return v, err
	}
	up := path[:max(0, strings.LastIndexByte(path, '/'))]
	if v, err = inheritFrom(mount, up, file); err != nil {
		return "", err
	}
	if err := writeAt(dir, file, v); err != nil {
		return "", err
	}
	if file == "cpuset.mems" { // the second of the two, so that neither is cloned alone
		return v, writeAt(dir, "cgroup.clone_children", "1")
	}
	return v, nil
}
