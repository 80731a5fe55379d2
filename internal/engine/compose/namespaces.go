package compose

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// nsMode is where a namespace comes from.
type nsMode struct {
	host bool   // the host's
	path string // of one to join; empty with !host is a new one
	word string // the mode as a plain word: private, shareable, none
}

// namespaceMode reads a mode: one of words (the first is the default), host,
// or ns:PATH.
func namespaceMode(option, mode string, words ...string) (nsMode, error) {
	if mode == "" {
		mode = words[0]
	}
	if p, ok := strings.CutPrefix(mode, "ns:"); ok {
		if !path.IsAbs(p) {
			return nsMode{}, fault.New(fault.Invalid, "--%s %s: the path of a namespace must be absolute", option, mode)
		}
		return nsMode{path: path.Clean(p), word: "ns"}, nil
	}
	for _, w := range words {
		if mode == w {
			return nsMode{host: w == "host", word: w}, nil
		}
	}
	if strings.HasPrefix(mode, "container:") {
		return nsMode{}, fault.New(fault.Unsupported, "--%s %s: the namespace of a container cannot be shared", option, mode)
	}
	return nsMode{}, fault.New(fault.Invalid, "--%s: invalid mode %q", option, mode)
}

func (m nsMode) option(t specs.LinuxNamespaceType) oci.Option {
	if m.host {
		return oci.HostNamespace(t)
	}
	return oci.Namespace(t, m.path)
}

// modes are the namespace modes of one container.
type modes struct {
	net, ipc, pid, uts, cgroup, user nsMode
}

func namespaceModes(in *Inputs) (m modes, err error) {
	h := &in.Config.HostConfig
	for _, n := range [...]struct {
		to     *nsMode
		option string
		mode   string
		words  []string
	}{
		{&m.net, "network", h.NetworkMode, []string{"none", "host", "default"}},
		{&m.ipc, "ipc", h.IpcMode, []string{"private", "host", "shareable", "none"}},
		{&m.pid, "pid", h.PidMode, []string{"private", "host"}},
		{&m.uts, "uts", h.UTSMode, []string{"private", "host"}},
		{&m.cgroup, "cgroupns", h.CgroupnsMode, []string{"private", "host"}},
		{&m.user, "userns", h.UsernsMode, []string{"host", "private"}},
	} {
		if path, shared := in.Shared[n.option]; shared {
			*n.to = nsMode{path: path, word: "container"}
			continue
		}
		if n.option == "network" && in.Net && !networkKnown(n.mode) {
			*n.to = nsMode{word: "none"} // a namespace of its own, whatever is in it
			continue
		}
		if n.option == "network" && !networkKnown(n.mode) {
			return m, fault.WithHint(fault.New(fault.Unsupported, "network %s: networks are not supported yet", n.mode), "use --network none or host")
		}
		if *n.to, err = namespaceMode(n.option, n.mode, n.words...); err != nil {
			return m, err
		}
	}
	return m, nil
}

func networkKnown(mode string) bool {
	switch mode {
	case "", "none", "host", "default":
		return true
	}
	return strings.HasPrefix(mode, "ns:") || strings.HasPrefix(mode, "container:")
}

// namespaces gives the options for the modes.
func namespaces(in *Inputs, m *modes) ([]oci.Option, error) {
	opts := []oci.Option{
		m.net.option(specs.NetworkNamespace),
		m.ipc.option(specs.IPCNamespace),
		m.pid.option(specs.PIDNamespace),
		m.uts.option(specs.UTSNamespace),
		m.cgroup.option(specs.CgroupNamespace),
	}
	if m.user.word == "private" {
		if len(in.UIDMap) == 0 || len(in.GIDMap) == 0 {
			return nil, fault.WithHint(fault.New(fault.Unsupported, "--userns private: no ids are set aside for containers"),
				"add a range for tare to /etc/subuid and /etc/subgid")
		}
		if in.Config.HostConfig.Privileged {
			return nil, fault.New(fault.Invalid, "privileged mode is incompatible with user namespaces")
		}
		if m.pid.host {
			return nil, fault.New(fault.Invalid, "cannot share the host PID namespace when user namespaces are enabled")
		}
		opts = append(opts, oci.UserNamespace(in.UIDMap, in.GIDMap))
	} else if m.user.path != "" {
		opts = append(opts, oci.Namespace(specs.UserNamespace, m.user.path))
	}
	if m.user.word != "host" && m.net.host {
		// sysfs shows the network namespace that mounts it, and the kernel gives
		// the mount only to the owner of that namespace: bind the host's.
		opts = append(opts, oci.BindMount("/sys", "/sys", "ro", "nosuid", "noexec", "nodev"))
	}
	switch m.ipc.word {
	case "host":
		opts = append(opts, oci.BindMount("/dev/shm", "/dev/shm"))
	case "none":
		opts = append(opts, oci.NoMount("/dev/shm"))
	}
	for _, t := range in.Config.TimeOffsets {
		opts = append(opts, oci.TimeOffset(t.Clock, t.Secs, t.Nanosecs))
	}
	return opts, nil
}
