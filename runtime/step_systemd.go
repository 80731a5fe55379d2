package runtime

import (
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/systemd"
)

// systemdTimeout bounds what systemd takes for a unit.
const systemdTimeout = 30 * time.Second

// Systemd makes systemd the owner of a container's cgroup: a scope, whose
// path is the configuration's cgroupsPath (systemd.Scope.Path).
type Systemd struct {
	Scope       systemd.Scope
	Socket      string // systemd.SystemSocket, or a user's
	Description string
}

// systemdHost tells systemd of the groups that the step cgroup makes, when
// there is a process to put into the scope. systemd applies its own view of
// the limits then, so they are written once more behind it.
func systemdHost(e *env) error {
	sd := e.cfg.Systemd
	if sd == nil || !hasCgroup(e.spec) {
		return nil
	}
	res := e.spec.Linux.Resources
	if res == nil {
		res = &specs.LinuxResources{}
	}
	v2 := e.cfg.Layout.MemoryOnV2()
	props := append(sd.Scope.Properties(sd.Description, 0, v2), systemd.Resources(res, v2)...)
	again, err := cgroup.Compute(e.cfg.Layout, e.spec.Linux.CgroupsPath, res, cgroup.Options{Update: true, OOMGroup: e.cfg.OOMGroup})
	if err != nil {
		return err
	}
	e.scope = e.newGate("systemd", func(p spawn.Process) error {
		c, err := systemd.Dial(sd.Socket, systemdTimeout)
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range props {
			if props[i].Name == "PIDs" {
				props[i].Value = []uint32{uint32(p.Pid)}
			}
		}
		if err := c.StartScope(sd.Scope.Unit, props); err != nil {
			return err
		}
		return e.group.Update(again)
	})
	return nil
}

func systemdChild(e *env) error {
	if e.scope != 0 {
		e.p.Note("wait for systemd")
		e.p.Gate(e.scope)
	}
	return nil
}

// Update changes the limits of a container's group, systemd's view of them
// first.
func (sd *Systemd) Update(l cgroup.Layout, g *cgroupfs.Group, set *cgroup.Set, r *specs.LinuxResources) error {
	if props := systemd.Resources(r, l.MemoryOnV2()); len(props) > 0 {
		c, err := systemd.Dial(sd.Socket, systemdTimeout)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetProperties(sd.Scope.Unit, props); err != nil {
			return err
		}
	}
	return g.Update(set)
}
