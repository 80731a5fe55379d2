package execs

import (
	"os"
	"strconv"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/fsatomic"

	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// compose computes the process from the container's configuration and the
// session's, and the passwd and group files that the container has now.
func (s *session) compose() (*container.ExecConfig, error) {
	e, c := s.e, s.processConfig()
	in, err := e.Inputs(s.record.ID, c)
	if err != nil {
		return nil, err
	}
	in.RootPath, in.FilesDir = "/", "/"
	in.Exec = &compose.Exec{Cgroup: s.record.Cgroup, AllCaps: s.cfg.Privileged}
	root, err := ground.OpenRoot(s.init)
	if err != nil {
		return nil, err
	}
	in.Accounts = ground.Accounts(func(name string) (*os.File, error) { return openRegular(root, name) })
	_ = unix.Close(root)
	if in.Image, err = e.ImageConfig(s.record); err != nil {
		return nil, err
	}
	f := e.CachedFilter(in)
	in.Filtered = f.Prog != nil
	composed, err := compose.Compose(in)
	if err != nil {
		return nil, err
	}
	spec := composed.Spec
	layout, err := e.Layout()
	if err != nil {
		return nil, err
	}
	return &container.ExecConfig{
		Init: s.init, Spec: spec, Process: spec.Process, Stdin: -1, Stdout: -1, Stderr: -1,
		Filter: f.Prog, FilterFlags: f.Flags, Compiled: f.Keep,
		Layout: layout, Facts: e.Host, Warn: s.warn, After: e.After,
	}, nil
}

// processConfig is the container's configuration as far as it concerns every
// process of it: what it was made of may be gone by now.
func (s *session) processConfig() *api.ContainerConfig {
	from, x := s.config, s.cfg
	h := &from.HostConfig
	host := func(mode string) string {
		if mode == "host" {
			return mode
		}
		return ""
	}
	c := &api.ContainerConfig{
		Config: api.Config{
			Hostname: from.Hostname, User: from.User, Env: append(from.Env[:len(from.Env):len(from.Env)], x.Env...),
			Tty: x.Tty, Cmd: x.Cmd, Entrypoint: []string{""}, WorkingDir: from.WorkingDir, Image: from.Image,
		},
		HostConfig: api.HostConfig{
			CapAdd: h.CapAdd, CapDrop: h.CapDrop, GroupAdd: h.GroupAdd, Privileged: h.Privileged,
			SecurityOpt: h.SecurityOpt, OomScoreAdj: h.OomScoreAdj, Resources: api.Resources{Ulimits: h.Ulimits},
			NetworkMode: host(h.NetworkMode), IpcMode: host(h.IpcMode), PidMode: host(h.PidMode), UTSMode: host(h.UTSMode),
			CgroupnsMode: host(h.CgroupnsMode),
		},
		RootFS: from.RootFS, Umask: from.Umask, Personality: from.Personality,
	}
	if x.User != "" {
		c.User = x.User
	}
	if x.WorkingDir != "" {
		c.WorkingDir = x.WorkingDir
	}
	c.HostConfig.ConsoleSize = x.ConsoleSize
	return c
}

// openRegular opens a regular file inside a root that a hostile container may
// be changing: nothing else is ever opened, for opening a fifo waits and
// opening a device does something.
func openRegular(root int, name string) (*os.File, error) {
	path, err := fsatomic.OpenIn(root, name, unix.O_PATH, plan.InRoot)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(path) }()
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fault.New(fault.Invalid, "%s: not a regular file", name)
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(path))
}

// give makes the container's user the owner of its pipes.
func (s *session) give(streams *stdio.Pipes, uid uint32) error {
	ids := ground.IDMapsOf(s.init.Pid)
	if uid = ground.HostID(ids.UIDs, uid); uid == 0 {
		return nil
	}
	return streams.Give(int(uid))
}
