package spec

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/fault"
)

// Sysctl sets a kernel parameter of one of the container's own namespaces.
// One that belongs to no namespace, or to one that is shared with the host,
// is refused: it would change the host. The namespace options come first.
func Sysctl(key, value string) Option {
	return func(s *specs.Spec) error {
		ns, ok := sysctlNamespace(key)
		if !ok {
			return fault.New(fault.Invalid, "sysctl %q is not in a namespace of the container", key)
		}
		if ns == specs.UTSNamespace {
			return fault.WithHint(fault.New(fault.Invalid, "sysctl %q has an option of its own", key), "use --hostname or --domainname")
		}
		if _, own := HasNamespace(s, ns); !own {
			return fault.New(fault.Invalid, "sysctl %q is not allowed in the host's %s namespace", key, ns)
		}
		if s.Linux.Sysctl == nil {
			s.Linux.Sysctl = make(map[string]string, 4)
		}
		s.Linux.Sysctl[key] = value
		return nil
	}
}

// sysctlNamespace names the namespace that a kernel parameter belongs to. The
// lists are those of ipc/ipc_sysctl.c, ipc/mq_sysctl.c and kernel/utsname_sysctl.c;
// everything below net/ that a network namespace has no copy of is absent there.
func sysctlNamespace(key string) (specs.LinuxNamespaceType, bool) {
	// Dots become slashes: nothing in a key may climb or name a file otherwise.
	if strings.Contains(key, "/") || strings.Contains(key, "..") || strings.HasSuffix(key, ".") {
		return "", false
	}
	switch key {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced":
		return specs.IPCNamespace, true
	case "kernel.hostname", "kernel.domainname":
		return specs.UTSNamespace, true
	}
	if rest, ok := strings.CutPrefix(key, "fs.mqueue."); ok && rest != "" {
		return specs.IPCNamespace, true
	}
	if rest, ok := strings.CutPrefix(key, "net."); ok && rest != "" {
		return specs.NetworkNamespace, true
	}
	return "", false
}
