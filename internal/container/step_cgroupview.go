package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// cgroupViewHost makes copies of the mounts of the container's own v1 groups,
// for a container without a cgroup namespace: a fresh mount would show it the
// whole host's. Cgroup v2 has no other.
func (e *env) cgroupViewHost() error {
	if namespace(e.spec, specs.CgroupNamespace) != nil || !hasCgroup(e.spec) || e.cgroup.view != nil {
		return nil
	}
	dirs, err := e.cfg.Layout.Dirs(e.spec.Linux.CgroupsPath)
	if err != nil {
		return err
	}
	if len(dirs) == 1 && e.cfg.Layout.Hierarchies[0].Unified {
		return nil
	}
	e.cgroup.view = make([]plan.Slot, len(dirs))
	for i, h := range e.cfg.Layout.Hierarchies {
		e.cgroup.view[i] = e.p.HostSlot("cgroup:" + h.Mount)
	}
	e.beside.last = append(e.beside.last, func() { // the groups are there then
		for i, h := range e.cfg.Layout.Hierarchies {
			e.p.Note("copy mount " + h.Mount + "/" + dirs[i])
			e.p.Call(plan.OnHost, unix.SYS_OPEN_TREE, []plan.Arg{
				plan.CWD, e.p.Str(h.Mount + "/" + dirs[i]), plan.Int(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC),
			}, plan.Out(e.cgroup.view[i]), plan.OK(unix.ENOENT)) // rootless: a hierarchy that nobody needs is left out
		}
	})
	return nil
}

// attachCgroup adds the ops that attach the container's group of hierarchy i.
func (e *env) attachCgroup(i int, at plan.Slot, attrs uint64) {
	own := e.cgroup.view[i]
	ok := plan.When(plan.IfOK, own)
	e.p.MountSetattr(plan.InChild, own.Arg(), false, plan.Attrs{Set: attrs, Propagation: unix.MS_PRIVATE}, ok)
	e.p.MoveMount(plan.InChild, own.Arg(), at.Arg(), ok)
}
