package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// masks are what paths are hidden by.
type masks struct {
	dir  plan.Slot // an empty read-only tmpfs
	file plan.Slot // the container's /dev/null, O_PATH
}

func hasMasked(s *specs.Spec) bool { return len(s.Linux.MaskedPaths)+len(s.Linux.ReadonlyPaths) > 0 }

// maskedChild hides paths and makes others read-only. What a path is, is
// found out by opening it; one that does not exist is left alone.
func maskedChild(e *env) error {
	absent := plan.OK(unix.ENOENT, unix.ENOTDIR)
	for _, p := range e.spec.Linux.MaskedPaths {
		e.p.Note("mask " + p)
		dir := e.open(p, unix.O_PATH|unix.O_DIRECTORY, absent)
		ok := plan.When(plan.IfOK, dir)
		empty := e.p.OpenTree(plan.InChild, "empty", e.masks.dir.Arg(), "", false, ok)
		e.p.MoveMount(plan.InChild, empty.Arg(), dir.Arg(), ok)

		rel := clean(p)
		file := e.p.Openat2(plan.InChild, rel, e.root.dir.Arg(), rel, unix.O_PATH, 0, plan.InRoot, absent, plan.When(plan.IfErr, dir))
		ok = plan.When(plan.IfOK, file)
		null := e.p.OpenTree(plan.InChild, "null", e.masks.file.Arg(), "", false, ok)
		e.p.MoveMount(plan.InChild, null.Arg(), file.Arg(), ok)
	}
	for _, p := range e.spec.Linux.ReadonlyPaths {
		e.p.Note("make read-only " + p)
		at := e.open(p, unix.O_PATH, absent)
		ok := plan.When(plan.IfOK, at)
		mnt := e.p.OpenTree(plan.InChild, "copy", at.Arg(), "", true, ok)
		e.p.MountSetattr(plan.InChild, mnt.Arg(), true, plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY}, ok)
		e.p.MoveMount(plan.InChild, mnt.Arg(), at.Arg(), ok)
	}
	return nil
}
