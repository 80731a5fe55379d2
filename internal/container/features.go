package container

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/seccomp"
)

// namespaceTypes are those of nsFlag.
var namespaceTypes = []specs.LinuxNamespaceType{
	specs.CgroupNamespace, specs.IPCNamespace, specs.MountNamespace, specs.NetworkNamespace,
	specs.PIDNamespace, specs.TimeNamespace, specs.UserNamespace, specs.UTSNamespace,
}

// Features is what a configuration may ask of this package, whatever the
// machine can do, in the form of the runtime-spec. It is read from the tables
// that the steps use; a feature that is a step is there when its step is.
func Features() *features.Features {
	has := func(step string) *bool {
		b := slices.Contains(Steps(), step)
		return &b
	}
	yes := true
	f := &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		MountOptions:  MountOptions(),
		Linux: &features.Linux{
			Capabilities:    capability.UpTo(capability.Last).Names(),
			Cgroup:          &features.Cgroup{V1: has("cgroup"), V2: has("cgroup"), Rdma: has("cgroup"), Systemd: has("scope"), SystemdUser: has("scope")},
			Seccomp:         &features.Seccomp{Enabled: has("seccomp")},
			Apparmor:        &features.Apparmor{Enabled: has("lsm")},
			Selinux:         &features.Selinux{Enabled: has("lsm")},
			IntelRdt:        &features.IntelRdt{Enabled: has("intel-rdt"), Schemata: has("intel-rdt"), Monitoring: has("intel-rdt")},
			MemoryPolicy:    &features.MemoryPolicy{},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: has("net-devices")},
		},
	}
	for i := range hookKinds {
		f.Hooks = append(f.Hooks, hookKinds[i].name)
	}
	for _, t := range namespaceTypes {
		f.Linux.Namespaces = append(f.Linux.Namespaces, string(t))
	}
	w := seccomp.Words()
	s := f.Linux.Seccomp
	s.Actions, s.Operators, s.Archs = text(w.Actions), text(w.Operators), text(w.Archs)
	s.KnownFlags = text(w.Flags)
	s.SupportedFlags = s.KnownFlags
	for i := range memoryModes {
		f.Linux.MemoryPolicy.Modes = append(f.Linux.MemoryPolicy.Modes, string(memoryModes[i].name))
	}
	for i := range memoryFlags {
		f.Linux.MemoryPolicy.Flags = append(f.Linux.MemoryPolicy.Flags, string(memoryFlags[i].name))
	}
	return f
}

func text[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
