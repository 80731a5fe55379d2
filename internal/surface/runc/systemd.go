package runc

import (
	"path"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/systemd"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// systemdTimeout bounds a question to systemd.
const systemdTimeout = 30 * time.Second

// systemdSocket is where the manager listens that makes this caller's scopes.
func (a *App) systemdSocket(user bool) (string, error) {
	if !user {
		return systemd.SystemSocket, nil
	}
	dir := a.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return "", fault.New(fault.Unsupported, "--systemd-cgroup: XDG_RUNTIME_DIR does not say where the user's systemd is")
	}
	return dir + "/systemd/private", nil
}

// scopeOf reads a cgroupsPath as a systemd unit, and asks where systemd has its
// cgroups.
func (a *App) scopeOf(id, cgroupsPath string, user bool) (*systemd.Unit, error) {
	scope, err := systemd.ParseScope(cgroupsPath, id, user)
	if err != nil {
		return nil, err
	}
	socket, err := a.systemdSocket(user)
	if err != nil {
		return nil, err
	}
	c, err := systemd.Dial(socket, systemdTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if scope.Root, err = c.ControlGroup(); err != nil {
		return nil, err
	}
	return &systemd.Unit{Scope: scope, Socket: socket, Description: "tare container " + id}, nil
}

// updateGroup writes new limits, to systemd's unit too where that owns the
// group.
func (a *App) updateGroup(r *Record, l cgroup.Layout, g *cgroupfs.Group, set *cgroup.Set, res *specs.LinuxResources, user bool) error {
	if !r.Systemd { // Podman's update does not say so
		return g.Update(set)
	}
	socket, err := a.systemdSocket(user)
	if err != nil {
		return err
	}
	unit := systemd.Unit{Scope: systemd.Scope{Unit: path.Base(r.Cgroup)}, Socket: socket, V2: l.MemoryOnV2()}
	if err := unit.Update(res); err != nil { // its view first
		return err
	}
	return g.Update(set)
}
