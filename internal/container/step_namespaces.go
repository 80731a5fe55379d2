package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// namespaces are how the child comes into the container's.
type namespaces struct {
	clone uint64 // made by clone3
	later uint64 // unshared by the child, after it has joined a user namespace
	joins []namespaceFD
	net   *NetNS // in the making, beside the rest
	user  bool   // there is a user namespace that is not the engine's
	forks bool   // the pid namespace is entered by another process
}

// namespaceFD is a namespace that exists already.
type namespaceFD struct {
	kind string
	flag uint64
	fd   plan.Slot
}

// nsGetType is NS_GET_NSTYPE of ioctl_ns(2).
const nsGetType = 0xb703

func nsFlag(t specs.LinuxNamespaceType) (uint64, error) {
	switch t {
	case specs.PIDNamespace:
		return unix.CLONE_NEWPID, nil
	case specs.NetworkNamespace:
		return unix.CLONE_NEWNET, nil
	case specs.MountNamespace:
		return unix.CLONE_NEWNS, nil
	case specs.IPCNamespace:
		return unix.CLONE_NEWIPC, nil
	case specs.UTSNamespace:
		return unix.CLONE_NEWUTS, nil
	case specs.UserNamespace:
		return unix.CLONE_NEWUSER, nil
	case specs.CgroupNamespace:
		return unix.CLONE_NEWCGROUP, nil
	case specs.TimeNamespace:
		return unix.CLONE_NEWTIME, nil
	default:
		return 0, fault.New(fault.Invalid, "namespace %q: unknown type", t)
	}
}

// namespace returns the spec's entry of a type, or nil.
func namespace(s *specs.Spec, t specs.LinuxNamespaceType) *specs.LinuxNamespace {
	for i := range s.Linux.Namespaces {
		if s.Linux.Namespaces[i].Type == t {
			return &s.Linux.Namespaces[i]
		}
	}
	return nil
}

func isNew(s *specs.Spec, t specs.LinuxNamespaceType) bool {
	ns := namespace(s, t)
	return ns != nil && ns.Path == ""
}

func ownUserNS(s *specs.Spec) bool { return isNew(s, specs.UserNamespace) }
func newTimeNS(s *specs.Spec) bool { return isNew(s, specs.TimeNamespace) }
func newNetNS(s *specs.Spec) bool  { return isNew(s, specs.NetworkNamespace) }

// namespacesHost sorts the namespaces into those that clone3 makes, those
// that the child joins, and those that it must make itself: cgroup, after it
// has joined its cgroup, and time, which a process enters only through its
// children or setns.
func namespacesHost(e *env) error {
	seen := uint64(0)
	for i := range e.spec.Linux.Namespaces {
		ns := &e.spec.Linux.Namespaces[i]
		flag, err := nsFlag(ns.Type)
		if err != nil {
			return err
		}
		if seen&flag != 0 {
			return fault.New(fault.Invalid, "namespace %s: given twice", ns.Type)
		}
		seen |= flag
		if flag == unix.CLONE_NEWUSER {
			e.ns.user = true
		}
		switch {
		case ns.Path != "":
			e.p.Note("join " + string(ns.Type) + " namespace " + ns.Path)
			fd := e.p.Openat2(plan.OnHost, "ns:"+string(ns.Type), plan.CWD, ns.Path, unix.O_RDONLY, 0, 0)
			e.p.Call(plan.OnHost, unix.SYS_IOCTL, []plan.Arg{fd.Arg(), plan.Int(nsGetType), plan.Int(0)}, plan.Want(int64(flag)))
			e.ns.joins = append(e.ns.joins, namespaceFD{string(ns.Type), flag, fd})
		case flag == unix.CLONE_NEWNET && ownNetNS(e.spec):
			e.ns.joins = append(e.ns.joins, namespaceFD{string(ns.Type), flag, e.netnsHost()})
		case flag == unix.CLONE_NEWTIME || flag == unix.CLONE_NEWCGROUP:
		default:
			e.ns.clone |= flag
		}
	}
	if SharesMounts(e.spec) && e.rootPath() == "" {
		return fault.New(fault.Unsupported, "namespaces: a container without a mount namespace needs a root directory")
	}
	if e.ns.user && e.ns.clone&unix.CLONE_NEWUSER == 0 {
		// New namespaces must belong to the user namespace that is joined.
		e.ns.later, e.ns.clone = e.ns.clone, 0
	}
	return nil
}

// namespacesChild joins, the user namespace first: it gives the rights over
// what belongs to it. A pid namespace is entered by a fork.
func namespacesChild(e *env) error {
	e.p.Note("set umask")
	e.p.Call(plan.InChild, unix.SYS_UMASK, []plan.Arg{plan.Int(0)})
	e.p.Note("no core dump before exec")
	e.p.Rlimit(plan.InChild, unix.RLIMIT_CORE, 0, e.coreHard())
	for _, user := range []bool{true, false} {
		for _, j := range e.ns.joins {
			if (j.flag == unix.CLONE_NEWUSER) == user {
				e.p.Note("join " + j.kind + " namespace")
				e.p.Setns(plan.InChild, j.fd, int(j.flag))
			}
			if j.flag == unix.CLONE_NEWPID {
				e.ns.forks = true
			}
		}
		if user && e.ns.user && e.ns.clone&unix.CLONE_NEWUSER == 0 {
			e.becomeRoot()
		}
	}
	if e.ns.later != 0 {
		e.p.Note("make namespaces")
		e.p.Call(plan.InChild, unix.SYS_UNSHARE, []plan.Arg{plan.Int(e.ns.later)})
		e.ns.forks = e.ns.forks || e.ns.later&unix.CLONE_NEWPID != 0
	}
	if e.ns.forks {
		e.p.Note("enter the pid namespace")
		e.p.Fork()
	}
	return nil
}
