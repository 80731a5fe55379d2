package compose

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// notifySocket is where the container finds the socket of sd_notify(3).
const notifySocket = "/run/notify.sock"

// passed is what the container gets from the caller's service manager.
func passed(in *Inputs) []oci.Option {
	var opts []oci.Option
	if n := in.Passed.FDs; n > 0 {
		// Its first process is 1, unless it joins another pid namespace.
		env := []string{"LISTEN_FDS=" + strconv.Itoa(n), "LISTEN_PID=1"}
		if in.Passed.Names != "" {
			env = append(env, "LISTEN_FDNAMES="+in.Passed.Names)
		}
		opts = append(opts, addEnv(env...))
	}
	if in.Notify != "" {
		opts = append(opts, addEnv("NOTIFY_SOCKET="+notifySocket), func(s *specs.Spec) error {
			s.Mounts = append(s.Mounts, specs.Mount{
				Destination: notifySocket, Source: in.Notify, Type: "bind", Options: []string{"bind", "nosuid", "nodev", "noexec"},
			})
			return nil
		})
	}
	return opts
}

func addEnv(env ...string) oci.Option {
	return func(s *specs.Spec) error {
		s.Process.Env = SetEnv(s.Process.Env, env)
		return nil
	}
}

const pingGroups = "net.ipv4.ping_group_range"

// callers takes away what this caller cannot give: in a user namespace of its
// own it makes no device, has no group to hold their rules, and names no ids
// that are not mapped.
func callers(in *Inputs) []oci.Option {
	if !in.Host.UserNS {
		return nil
	}
	return []oci.Option{func(s *specs.Spec) error {
		s.Linux.Resources.Devices = nil
		if _, asked := in.Config.HostConfig.Sysctls[pingGroups]; !asked {
			delete(s.Linux.Sysctl, pingGroups)
		}
		return nil
	}}
}

// further is what a further process of a container has apart.
func further(in *Inputs) []oci.Option {
	if in.Exec == nil {
		return nil
	}
	opts := []oci.Option{oci.CgroupsPath(in.Exec.Cgroup)}
	if in.Exec.AllCaps {
		// As Docker: all capabilities; the filter stays the container's.
		opts = append(opts, func(s *specs.Spec) error {
			all := (in.Host.Bounding & capability.UpTo(in.Host.LastCap)).Names()
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
			if s.Process.ApparmorProfile != "" {
				s.Process.ApparmorProfile = "unconfined"
			}
			return nil
		})
	}
	return opts
}

// View turns the composition of a container into that of a look at its files:
// its mounts, in namespaces of their own, and a process that is never started.
func (c *Composition) View() *Composition {
	s, l := *c.Spec, *c.Spec.Linux
	v := *c
	v.Spec, s.Linux = &s, &l
	s.Hooks, s.Hostname, s.Domainname = nil, "", ""
	s.Process = &specs.Process{Args: []string{"/"}, Cwd: "/"}
	l.Seccomp, l.CgroupsPath, l.Sysctl, l.TimeOffsets, l.Resources = nil, "", nil, nil, nil
	l.MaskedPaths, l.ReadonlyPaths, l.Devices, l.Namespaces = nil, nil, nil, nil
	for _, n := range c.Spec.Linux.Namespaces {
		if n.Type == specs.MountNamespace || n.Type == specs.UserNamespace {
			l.Namespaces = append(l.Namespaces, n)
		}
	}
	s.Mounts = nil
	for _, m := range c.Spec.Mounts {
		if m.Type == "bind" && m.Destination != notifySocket || m.Destination == "/dev" {
			s.Mounts = append(s.Mounts, m)
		}
	}
	return &v
}
