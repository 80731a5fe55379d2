package container

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"golang.org/x/sys/unix"
)

// oomGroup is how package cgroup names Options.OOMGroup.
const oomGroup = "memory.oomGroup"

// groups are the container's cgroups, and how the child comes into them.
type groups struct {
	group   *cgroupfs.Group
	made    chan error  // makeGroup's result, until somebody has waited for it
	unified plan.Slot   // directory for CLONE_INTO_CGROUP
	tasks   []plan.Slot // v1 tasks files
	view    []plan.Slot // mounts of them, by hierarchy, where there is no cgroup namespace
}

func hasCgroup(s *specs.Spec) bool { return s.Linux.CgroupsPath != "" }

func lacksCgroup(s *specs.Spec) bool {
	return s.Linux.CgroupsPath == "" && s.Linux.Resources != nil
}

// noCgroupHost refuses limits for a container that has no group to set them
// on. Device rules are not limits: every configuration has some.
func noCgroupHost(e *env) error {
	set, err := cgroup.Compute(cgroup.Layout{}, "/none", e.spec.Linux.Resources, cgroup.Options{})
	if err != nil {
		return err
	}
	var missing []cgroup.Missing
	for _, m := range set.Missing {
		if m.Resource != "devices" {
			m.Cause = "the container has no cgroup"
			missing = append(missing, m)
		}
	}
	return e.checkMissing(missing)
}

// cgroupHost makes the groups and opens what the child joins by: `tasks` of
// each v1 hierarchy, the directory on v2.
func cgroupHost(e *env) error {
	res := e.spec.Linux.Resources
	if res == nil {
		res = &specs.LinuxResources{}
	}
	set, err := cgroup.Compute(e.cfg.Layout, e.spec.Linux.CgroupsPath, res, cgroup.Options{OOMGroup: e.cfg.OOMGroup && !e.cfg.Facts.UserNS, Lenient: e.cfg.Facts.UserNS})
	if err != nil {
		return err
	}
	if err := e.checkMissing(set.Missing); err != nil {
		return err
	}
	for _, a := range set.Actions {
		switch a.Kind { //nolint:exhaustive // only what opens a descriptor
		case cgroup.Tasks:
			e.cgroup.tasks = append(e.cgroup.tasks, e.p.HostSlot("tasks:"+a.Path))
		case cgroup.Unified:
			e.cgroup.unified = e.p.HostSlot("cgroup2")
		}
	}
	text := func() []string {
		lines := make([]string, len(set.Actions))
		for i, a := range set.Actions {
			lines[i] = a.String()
		}
		return lines
	}
	if e.beside.begin {
		e.makeGroup(set)
	}
	e.beside.last = append(e.beside.last, func() { e.p.Do(text, e.joinGroup) })
	return nil
}

// makeGroup makes the groups on another processor, while the rest of the plan
// is computed and the root is mounted: 0.4 ms of a start.
func (e *env) makeGroup(set *cgroup.Set) {
	var after func(int)
	if e.cfg.After != nil {
		after = func(i int) { e.cfg.After(fmt.Sprintf("cgroup %d", i)) }
	}
	e.cgroup.made = make(chan error, 1)
	go func() {
		var err error
		e.cgroup.group, err = cgroupfs.Create(set, after)
		e.cgroup.made <- err
	}()
}

// settleGroup waits for makeGroup, once.
func (e *env) settleGroup() error {
	if e.cgroup.made == nil {
		return nil
	}
	err := <-e.cgroup.made
	e.cgroup.made = nil
	return err
}

// joinGroup waits for the groups and hands their descriptors to the plan.
func (e *env) joinGroup(s plan.Slots) error {
	if err := e.settleGroup(); err != nil {
		return err
	}
	if err := e.checkMissing(e.cgroup.group.Missing()); err != nil {
		return err
	}
	fds := e.cgroup.group.TasksFDs()
	for i, t := range e.cgroup.tasks {
		s.Set(t, -1)
		if i < len(fds) {
			s.Set(t, fds[i])
		}
	}
	if e.cgroup.unified != 0 {
		s.Set(e.cgroup.unified, e.cgroup.group.UnifiedFD())
	}
	return nil
}

// checkMissing turns limits that the host cannot give into one error, or into
// warnings where nobody asked for them.
func (e *env) checkMissing(missing []cgroup.Missing) error {
	for _, m := range missing {
		if m.Resource == oomGroup {
			continue // our own wish, not the configuration's
		}
		if m.Resource == "memory.kernel" || e.cfg.Optional != nil && e.cfg.Optional(m.Resource) {
			e.warn(m.String())
			continue
		}
		return fault.New(fault.Unsupported, "%s", m.String())
	}
	return nil
}

// cgroupChild joins the v1 groups. A process that moves itself through
// `tasks` skips the kernel's global threadgroup lock; writing its pid to
// cgroup.procs from outside waits for an RCU grace period (measured over nine
// hierarchies: 0.1 ms against 11 ms). The descriptors are the engine's, so
// its rights count.
func cgroupChild(e *env) error {
	e.p.Note("join cgroup")
	for _, t := range e.cgroup.tasks {
		e.p.Write(plan.InChild, t.Arg(), "0", plan.When(plan.IfOK, t))
	}
	if isNew(e.spec, specs.CgroupNamespace) {
		// After the join: the namespace's root is the group one is in.
		e.p.Note("make cgroup namespace")
		e.p.Call(plan.InChild, unix.SYS_UNSHARE, []plan.Arg{plan.Int(unix.CLONE_NEWCGROUP)})
	}
	return nil
}
