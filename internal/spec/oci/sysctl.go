package oci

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Sysctl sets a kernel parameter of one of the container's own namespaces.
// One that belongs to no namespace, or to one that is shared with the host,
// is refused: it would change the host. The namespace options come first.
func Sysctl(key, value string) Option {
	return func(s *specs.Spec) error {
		ns, _, err := SysctlNamespace(key)
		if err != nil {
			return err
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

// SysctlNamespace names the namespace that a kernel parameter belongs to, and
// its path below /proc/sys. As sysctl(8) has it, the first separator of the
// key decides which of dot and slash separates; the other one is part of a
// name (net.ipv4.conf.eth0/1.forwarding). The lists are those of
// ipc/ipc_sysctl.c, ipc/mq_sysctl.c and kernel/utsname_sysctl.c; everything
// below net/ that a network namespace has no copy of is absent there.
func SysctlNamespace(key string) (ns specs.LinuxNamespaceType, path string, err error) {
	path = key
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		path = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, key)
	}
	if ns = namespaceOf(path); ns == "" {
		return "", "", fault.New(fault.Invalid, "sysctl %q is not in a namespace of the container", key)
	}
	return ns, path, nil
}

func namespaceOf(path string) specs.LinuxNamespaceType {
	for part := range strings.SplitSeq(path, "/") {
		// Nothing in a key may climb or name a file otherwise.
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			return ""
		}
	}
	switch path {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
		"kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced":
		return specs.IPCNamespace
	case "kernel/hostname", "kernel/domainname":
		return specs.UTSNamespace
	}
	if strings.HasPrefix(path, "fs/mqueue/") {
		return specs.IPCNamespace
	}
	if strings.HasPrefix(path, "net/") {
		return specs.NetworkNamespace
	}
	return ""
}
