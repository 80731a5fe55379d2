package engine

import (
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/capability"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/monitor"
	"github.com/tare-engine/tare/plan"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/seccomp"
	"golang.org/x/sys/unix"
)

// compose computes the process from the container's configuration and the
// session's, and the passwd and group files that the container has now.
func (s *session) compose() (*tareruntime.ExecConfig, error) {
	e, c := s.e, s.processConfig()
	facts, err := e.facts(c)
	if err != nil {
		return nil, err
	}
	d := &draft{id: s.record.ID, config: c}
	facts.Seccomp = func(h seccomp.Host) *specs.LinuxSeccomp { return e.cachedFilter(d, h) }
	root, err := openRoot(s.init)
	if err != nil {
		return nil, err
	}
	in := &ComposeInput{
		ID: s.record.ID, Config: c, Facts: facts, RootPath: "/", FilesDir: "/", Devices: hostDevices,
		Passwd: readSmall(openRegular(root, "etc/passwd")), Group: readSmall(openRegular(root, "etc/group")),
	}
	_ = unix.Close(root)
	if c.RootFS == "" {
		img, err := e.images.Resolve(s.record.ImageID, image.Platform{})
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "image of the container: %w", err)
		}
		in.Image = &img.Config
	}
	composed, err := Compose(in)
	if err != nil {
		return nil, err
	}
	spec := composed.Spec
	spec.Linux.CgroupsPath = s.record.Cgroup
	if s.cfg.Privileged {
		// As Docker: all capabilities; the filter stays the container's.
		all := (facts.Caps & capability.UpTo(facts.LastCap)).Names()
		spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		if spec.Process.ApparmorProfile != "" {
			spec.Process.ApparmorProfile = "unconfined"
		}
	}
	layout, err := e.layout()
	if err != nil {
		return nil, err
	}
	return &tareruntime.ExecConfig{
		Init: s.init, Spec: spec, Process: spec.Process, Stdin: -1, Stdout: -1, Stderr: -1,
		Filter: d.filter, FilterFlags: d.filterFlags, Compiled: d.compiled,
		Layout: layout, Facts: e.runtimeFacts(), Warn: s.warn, After: e.after,
	}, nil
}

// processConfig is the container's configuration as far as it concerns every
// process of it: what it was made of may be gone by now.
func (s *session) processConfig() *ContainerConfig {
	from, x := s.config, s.cfg
	h := &from.HostConfig
	host := func(mode string) string {
		if mode == "host" {
			return mode
		}
		return ""
	}
	c := &ContainerConfig{
		Config: Config{
			Hostname: from.Hostname, User: from.User, Env: append(from.Env[:len(from.Env):len(from.Env)], x.Env...),
			Tty: x.Tty, Cmd: x.Cmd, Entrypoint: []string{""}, WorkingDir: from.WorkingDir, Image: from.Image,
		},
		HostConfig: HostConfig{
			CapAdd: h.CapAdd, CapDrop: h.CapDrop, GroupAdd: h.GroupAdd, Privileged: h.Privileged,
			SecurityOpt: h.SecurityOpt, OomScoreAdj: h.OomScoreAdj, Resources: Resources{Ulimits: h.Ulimits},
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
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: plan.InRoot}
	path, err := unix.Openat2(root, name, &how)
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
func (s *session) give(streams *monitor.Streams, uid uint32) error {
	ids := idMapsOf(s.init.Pid)
	if uid = hostID(ids.uids, uid); uid == 0 {
		return nil
	}
	return streams.Give(int(uid))
}
