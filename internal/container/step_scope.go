package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Scope makes somebody else the owner of a container's cgroup: systemd, which
// has it as a scope (Unit of package systemd). The configuration's cgroupsPath
// is the scope's.
type Scope interface {
	// Create makes the scope and puts a process into it, which waits for that.
	// The groups are there already.
	Create(pid int) error
}

// scopeHost tells the owner of the groups that the step cgroup makes, when
// there is a process to put into the scope. It applies its own view of the
// limits then, so they are written once more behind it.
func scopeHost(e *env) error {
	if e.cfg.Scope == nil || !hasCgroup(e.spec) {
		return nil
	}
	res := e.spec.Linux.Resources
	if res == nil {
		res = &specs.LinuxResources{}
	}
	again, err := cgroup.Compute(e.cfg.Layout, e.spec.Linux.CgroupsPath, res, cgroup.Options{Update: true, OOMGroup: e.cfg.OOMGroup})
	if err != nil {
		return err
	}
	e.newGate(Gate{Name: "scope", Work: func(p spawn.Process) error {
		if err := e.cfg.Scope.Create(p.Pid); err != nil {
			return err
		}
		return e.cgroup.group.Update(again)
	}})
	return nil
}

func scopeChild(e *env) error {
	e.p.Note("wait for the cgroup's owner")
	e.waitFor("scope")
	return nil
}
