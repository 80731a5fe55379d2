package oci

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Namespace asks for a namespace: a new one, or the one at path.
func Namespace(t specs.LinuxNamespaceType, path string) Option {
	return func(s *specs.Spec) error {
		ns := specs.LinuxNamespace{Type: t, Path: path}
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == t {
				s.Linux.Namespaces[i] = ns
				return nil
			}
		}
		s.Linux.Namespaces = append(s.Linux.Namespaces, ns)
		return nil
	}
}

// HostNamespace shares the host's namespace.
func HostNamespace(t specs.LinuxNamespaceType) Option {
	return func(s *specs.Spec) error {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == t })
		return nil
	}
}

// HasNamespace tells whether s has a namespace of its own or a joined one,
// and the path of the latter.
func HasNamespace(s *specs.Spec, t specs.LinuxNamespaceType) (path string, ok bool) {
	for i := range s.Linux.Namespaces {
		if s.Linux.Namespaces[i].Type == t {
			return s.Linux.Namespaces[i].Path, true
		}
	}
	return "", false
}

// UserNamespace makes a new user namespace with the given maps, which may not
// be empty.
func UserNamespace(uids, gids []specs.LinuxIDMapping) Option {
	return func(s *specs.Spec) error {
		s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
		return Namespace(specs.UserNamespace, "")(s)
	}
}

// Root sets the root: the host path of the directory and whether it is
// read-only.
func Root(path string, readonly bool) Option {
	return func(s *specs.Spec) error {
		s.Root = &specs.Root{Path: path, Readonly: readonly}
		return nil
	}
}

// Mounts adds the user's mounts, in order of depth. A mount over one of the
// defaults replaces it, and a mount over /dev also all the defaults below it,
// as in Docker.
func Mounts(mounts ...specs.Mount) Option {
	return func(s *specs.Spec) error {
		slices.SortStableFunc(mounts, func(a, b specs.Mount) int { return depth(a.Destination) - depth(b.Destination) })
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
			for i := range mounts {
				over := mounts[i].Destination
				if over == m.Destination || over == "/dev" && strings.HasPrefix(m.Destination, "/dev/") {
					return true
				}
			}
			return false
		})
		s.Mounts = append(s.Mounts, mounts...)
		for i := range mounts {
			if slices.Contains(mounts[i].Options, "idmap") || slices.Contains(mounts[i].Options, "ridmap") {
				s.Version = versionIDMap
			}
		}
		return nil
	}
}

func depth(p string) int {
	if p == "/" {
		return 0
	}
	return strings.Count(p, "/")
}

// NoMount removes the mount at a destination, if there is one.
func NoMount(destination string) Option {
	return func(s *specs.Spec) error {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == destination })
		return nil
	}
}

// ShmSize sets the size of the default /dev/shm, in bytes.
func ShmSize(bytes int64) Option {
	return func(s *specs.Spec) error {
		if m := mountAt(s, "/dev/shm"); m != nil && m.Type == "tmpfs" {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "size=") })
			m.Options = append(m.Options, "size="+strconv.FormatInt(bytes, 10))
		}
		return nil
	}
}

// BindMount replaces the mount at a destination with a recursive bind of the
// host's, in place.
func BindMount(destination, source string, options ...string) Option {
	return func(s *specs.Spec) error {
		if m := mountAt(s, destination); m != nil {
			*m = specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append([]string{"rbind", "rprivate"}, options...)}
		}
		return nil
	}
}

func mountAt(s *specs.Spec, destination string) *specs.Mount {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == destination {
			return &s.Mounts[i]
		}
	}
	return nil
}

// WritableMount removes the read-only option of the mount at a destination.
func WritableMount(destination string) Option {
	return func(s *specs.Spec) error {
		if m := mountAt(s, destination); m != nil {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
		}
		return nil
	}
}

// SystemPaths sets the masked and the read-only paths; nil leaves a list as
// it is, an empty one clears it.
func SystemPaths(masked, readonly []string) Option {
	return func(s *specs.Spec) error {
		if masked != nil {
			s.Linux.MaskedPaths = slices.Clone(masked)
		}
		if readonly != nil {
			s.Linux.ReadonlyPaths = slices.Clone(readonly)
		}
		return nil
	}
}

// Devices adds device nodes, and rules to those of the cgroup.
func Devices(nodes []specs.LinuxDevice, rules []specs.LinuxDeviceCgroup) Option {
	return func(s *specs.Spec) error {
		s.Linux.Devices = append(s.Linux.Devices, nodes...)
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, rules...)
		return nil
	}
}

// AllDevices replaces the device rules with one that allows everything.
func AllDevices() Option {
	return func(s *specs.Spec) error {
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		return nil
	}
}

// Resources sets the limits and keeps the device rules.
func Resources(r *specs.LinuxResources) Option {
	return func(s *specs.Spec) error {
		if s.Linux.Resources != nil {
			r.Devices = append(s.Linux.Resources.Devices, r.Devices...)
		}
		s.Linux.Resources = r
		return nil
	}
}

// CgroupsPath sets the path of the cgroup below each hierarchy's root.
func CgroupsPath(p string) Option {
	return func(s *specs.Spec) error {
		s.Linux.CgroupsPath = p
		return nil
	}
}

// Capabilities gives the set as bounding and, to a user who is root, as
// permitted and effective: execve would take the latter two from any other
// user. Inheritable and ambient stay empty (CVE-2022-24769). Process comes
// before it.
func Capabilities(names []string) Option {
	return func(s *specs.Spec) error {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names}
		if s.Process.User.UID == 0 {
			s.Process.Capabilities.Permitted, s.Process.Capabilities.Effective = names, names
		}
		return nil
	}
}

// Hostname sets the names of the UTS namespace, which must be new.
func Hostname(host, domain string) Option {
	return func(s *specs.Spec) error {
		if p, ok := HasNamespace(s, specs.UTSNamespace); (!ok || p != "") && (host != "" || domain != "") {
			return fault.New(fault.Invalid, "conflicting options: hostname and the UTS mode")
		}
		s.Hostname, s.Domainname = host, domain
		return nil
	}
}

// Process sets what is executed. Args may not be empty; cwd is absolute.
func Process(args, env []string, cwd string, user specs.User, terminal bool) Option {
	return func(s *specs.Spec) error {
		if len(args) == 0 {
			return fault.New(fault.Invalid, "no command specified")
		}
		if !path.IsAbs(cwd) {
			return fault.New(fault.Invalid, "the working directory %q is invalid: it must be an absolute path", cwd)
		}
		p := s.Process
		p.Args, p.Env, p.Cwd, p.User, p.Terminal = args, env, path.Clean(cwd), user, terminal
		return nil
	}
}

// Rlimits sets the resource limits of the process.
func Rlimits(limits []specs.POSIXRlimit) Option {
	return func(s *specs.Spec) error {
		s.Process.Rlimits = limits
		return nil
	}
}

// OOMScoreAdj sets the score of the process, -1000 to 1000; 0 leaves it as
// inherited.
func OOMScoreAdj(adj int) Option {
	return func(s *specs.Spec) error {
		if adj < -1000 || adj > 1000 {
			return fault.New(fault.Invalid, "invalid value %d, range for oom score adj is [-1000, 1000]", adj)
		}
		if adj != 0 {
			s.Process.OOMScoreAdj = &adj
		}
		return nil
	}
}

// Annotations adds annotations.
func Annotations(a map[string]string) Option {
	return func(s *specs.Spec) error {
		if len(a) == 0 {
			return nil
		}
		if s.Annotations == nil {
			s.Annotations = make(map[string]string, len(a))
		}
		for k, v := range a {
			if k == "" {
				return fault.New(fault.Invalid, "annotation %q: the name is empty", "="+v)
			}
			s.Annotations[k] = v
		}
		return nil
	}
}

// TimeOffset shifts a clock of a new time namespace, which it asks for.
func TimeOffset(clock string, secs int64, nanos uint32) Option {
	return func(s *specs.Spec) error {
		if clock != "monotonic" && clock != "boottime" {
			return fault.New(fault.Invalid, "time offset: no clock %q: it is monotonic or boottime", clock)
		}
		if s.Linux.TimeOffsets == nil {
			s.Linux.TimeOffsets = make(map[string]specs.LinuxTimeOffset, 2)
		}
		s.Linux.TimeOffsets[clock] = specs.LinuxTimeOffset{Secs: secs, Nanosecs: nanos}
		return Namespace(specs.TimeNamespace, "")(s)
	}
}

// Personality sets the execution domain.
func Personality(domain string) Option {
	return func(s *specs.Spec) error {
		switch d := specs.LinuxPersonalityDomain(domain); d {
		case specs.PerLinux, specs.PerLinux32:
			s.Linux.Personality = &specs.LinuxPersonality{Domain: d}
			return nil
		default:
			return fault.New(fault.Invalid, "personality %q: it is LINUX or LINUX32", domain)
		}
	}
}
