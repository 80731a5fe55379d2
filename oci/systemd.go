package oci

import (
	"path"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/systemd"
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

// scopeOf reads the configuration's cgroupsPath as a systemd unit and puts
// the path of its cgroup in its place.
func (a *App) scopeOf(id string, s *specs.Spec, user bool) (*tareruntime.Systemd, error) {
	scope, err := systemd.ParseScope(s.Linux.CgroupsPath, id, user)
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
	s.Linux.CgroupsPath = scope.Path()
	return &tareruntime.Systemd{Scope: scope, Socket: socket, Description: "tare container " + id}, nil
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
	sd := tareruntime.Systemd{Scope: systemd.Scope{Unit: path.Base(r.Cgroup)}, Socket: socket}
	return sd.Update(l, g, set, res)
}
