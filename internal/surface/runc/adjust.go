package runc

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// inputs is what adjust depends on besides the configuration.
type inputs struct {
	id     string
	bundle string // directory, absolute
	layout cgroup.Layout
	scope  string // path of the cgroup that systemd makes; "": the runtime makes one
	userNS bool   // the caller is in a user namespace that is not the first
	passwd string // etc/passwd of the root; read where the program has no HOME
	listen string // LISTEN_FDS, where its descriptors are for the container

	// uids and gids are the maps of the user namespace that this program has
	// entered by itself (enter): the configuration's ids are those outside.
	// nil: they are those of this namespace.
	uids, gids []idRange
}

// adjust completes a bundle's configuration by all that OCI runtimes add to
// one. It reads nothing of the machine and leaves what it is given as it is.
//
// Nobody edits a configuration behind it. What later commands have is no edit
// of this one: they read the bundle's text again, which was kept as it was,
// with the cgroup that the record names (container.config), and an exec
// composes a process of its own (execProcess).
func adjust(from *specs.Spec, in *inputs) (*specs.Spec, error) {
	s, p, l, r := *from, *from.Process, *from.Linux, specs.LinuxResources{}
	if l.Resources != nil {
		r = *l.Resources
	}
	s.Process, s.Linux, l.Resources = &p, &l, &r

	s.Mounts = slices.Clone(s.Mounts)
	for i := range s.Mounts {
		if m := &s.Mounts[i]; isBind(m) && m.Source != "" {
			m.Source = absolute(in.bundle, m.Source)
		}
	}
	p.Env = slices.Clone(p.Env)
	if in.listen != "" {
		p.Env = append(p.Env, "LISTEN_FDS="+in.listen, "LISTEN_PID=1")
	}
	p.Env = withHome(p.Env, in.passwd, p.User.UID)
	var err error
	if l.UIDMappings, err = insideIDs(l.UIDMappings, in.uids); err != nil {
		return nil, err
	}
	if l.GIDMappings, err = insideIDs(l.GIDMappings, in.gids); err != nil {
		return nil, err
	}
	l.CgroupsPath = cgroupPath(l.CgroupsPath, in)
	r.Devices = deviceRules(r.Devices, in.userNS)
	return &s, nil
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// withHome adds HOME to an environment that has none, as a passwd file has
// it: Docker leaves that to its runtime.
func withHome(env []string, passwd string, uid uint32) []string {
	if hasHome(env) {
		return env
	}
	return append(env, "HOME="+homeOf(passwd, uid))
}

func hasHome(env []string) bool {
	return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "HOME=") })
}

// insideIDs turns the host's ids of mappings into those of a user namespace
// with these maps.
func insideIDs(mappings []specs.LinuxIDMapping, ranges []idRange) ([]specs.LinuxIDMapping, error) {
	if ranges == nil {
		return mappings, nil
	}
	mappings = slices.Clone(mappings)
next:
	for i := range mappings {
		m := &mappings[i]
		for _, r := range ranges {
			if m.HostID >= r.outer && uint64(m.HostID)+uint64(m.Size) <= uint64(r.outer)+uint64(r.count) {
				m.HostID = r.inner + (m.HostID - r.outer)
				continue next
			}
		}
		return nil, fault.New(fault.Denied, "map ids %d to %d: not this user's", m.HostID, uint64(m.HostID)+uint64(m.Size)-1)
	}
	return mappings, nil
}

// cgroupPath gives a container that names no cgroup one of its own.
func cgroupPath(path string, in *inputs) string {
	switch {
	case in.scope != "":
		return in.scope
	case len(in.layout.Hierarchies) == 0:
		return path
	case path == "":
		return "/" + in.id
	case path[0] != '/':
		return "/" + path // relative to what the runtime says (runtime-spec)
	}
	return path
}

// deviceRules adds the devices that the runtime-spec wants in every container.
func deviceRules(rules []specs.LinuxDeviceCgroup, userNS bool) []specs.LinuxDeviceCgroup {
	if userNS {
		return nil // not a user's to decide
	}
	if len(rules) == 0 {
		rules = []specs.LinuxDeviceCgroup{{Access: "rwm"}} // nothing
	}
	return append(slices.Clip(rules), oci.DeviceRules()...)
}
