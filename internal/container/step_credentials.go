package container

import (
	"fmt"

	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

// capSets are a process's capability sets as bit masks.
type capSets struct {
	bounding, effective, permitted, inheritable, ambient capability.Set
}

// capabilities reads the sets of the configuration. Names that nobody knows
// are warned about, as the runtime-spec has it, and nothing that the caller
// lacks itself can be given.
func (e *env) capabilities() capSets {
	var c capSets
	if e.spec.Process.Capabilities == nil {
		return c
	}
	have := e.cfg.Facts.Bounding
	if e.ns.user {
		have = capability.UpTo(e.cfg.Facts.LastCap)
	}
	from := e.spec.Process.Capabilities
	read := func(names []string) capability.Set {
		s, unknown := capability.ParseSet(names)
		for _, n := range unknown {
			e.warn("capability " + n + ": unknown")
		}
		return s & have
	}
	c.bounding = read(from.Bounding)
	c.effective = read(from.Effective)
	c.permitted = read(from.Permitted)
	c.inheritable = read(from.Inheritable)
	// The kernel raises only what is permitted and inheritable.
	c.ambient = read(from.Ambient) & c.permitted & c.inheritable
	return c
}

// boundingChild drops what the container may never have, while the process
// still has CAP_SETPCAP.
func boundingChild(e *env) error {
	c := e.capabilities()
	have := e.cfg.Facts.Bounding
	if e.ns.user {
		have = capability.UpTo(e.cfg.Facts.LastCap)
	}
	for n := 0; n <= int(e.cfg.Facts.LastCap); n++ {
		if bit := capability.Cap(n); have.Has(bit) && !c.bounding.Has(bit) {
			e.p.Note("drop " + bit.String())
			e.p.Prctl(plan.InChild, unix.PR_CAPBSET_DROP, uint64(n), 0)
		}
	}
	return nil
}

// credentialsChild switches to the container's user and keeps capabilities
// over the switch: what remains of them is set afterwards.
func credentialsChild(e *env) error {
	u := e.spec.Process.User
	if u.UID != 0 {
		e.p.Note("keep capabilities")
		e.p.Prctl(plan.InChild, unix.PR_SET_KEEPCAPS, 1, 0)
	}
	e.p.Note("set groups")
	switch {
	case e.cfg.Facts.NoSetgroups:
		// The caller's are worth nothing: the namespace maps none of them.
		for _, g := range u.AdditionalGids {
			if g != u.GID {
				e.warn(fmt.Sprintf("supplementary group %d: this user namespace forbids setgroups", g))
			}
		}
	case len(u.AdditionalGids) == 0:
		e.p.Call(plan.InChild, unix.SYS_SETGROUPS, []plan.Arg{plan.Int(0), plan.Int(0)})
	default:
		e.p.Call(plan.InChild, unix.SYS_SETGROUPS, []plan.Arg{plan.Int(len(u.AdditionalGids)), e.p.IDs(u.AdditionalGids)})
	}
	e.p.Note("set group id")
	e.p.Call(plan.InChild, unix.SYS_SETRESGID, []plan.Arg{plan.Int(u.GID), plan.Int(u.GID), plan.Int(u.GID)})
	e.p.Note("set user id")
	e.p.Call(plan.InChild, unix.SYS_SETRESUID, []plan.Arg{plan.Int(u.UID), plan.Int(u.UID), plan.Int(u.UID)})
	// setresuid sets what fs.suid_dumpable says, which may be 1.
	e.p.Note("stay unreadable until exec")
	e.p.Prctl(plan.InChild, unix.PR_SET_DUMPABLE, 0, 0)
	e.unblockSignals()
	return nil
}

func (e *env) unblockSignals() {
	e.p.Note("unblock signals")
	e.p.Call(plan.InChild, unix.SYS_RT_SIGPROCMASK, []plan.Arg{
		plan.Int(unix.SIG_SETMASK), e.p.Bytes(make([]byte, 8)), plan.Int(0), plan.Int(8),
	})
}

// capset adds the call that sets effective, permitted and inheritable.
func (e *env) capset(c capSets) {
	const version3 = 0x20080522
	header := e.p.Words(plan.MemBytes, version3)
	lo, hi := func(s capability.Set) uint64 { return uint64(s) & 0xffffffff }, func(s capability.Set) uint64 { return uint64(s) >> 32 }
	// Two structs {effective, permitted, inheritable} of 32 bits each.
	data := e.p.Words(plan.MemBytes,
		lo(c.effective)|lo(c.permitted)<<32,
		lo(c.inheritable)|hi(c.effective)<<32,
		hi(c.permitted)|hi(c.inheritable)<<32)
	e.p.Call(plan.InChild, unix.SYS_CAPSET, []plan.Arg{header, data})
}

func (e *env) finalCaps(c capSets) {
	e.p.Note("set capabilities")
	e.capset(c)
	e.p.Prctl(plan.InChild, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	for n := 0; n <= int(e.cfg.Facts.LastCap); n++ {
		if c.ambient.Has(capability.Cap(n)) {
			e.p.Prctl(plan.InChild, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(n))
		}
	}
}

// filter returns the seccomp program: one that was compiled before, or the
// profile's.
func (e *env) filter() ([]unix.SockFilter, uint32, error) {
	if e.cfg.Filter != nil {
		return e.cfg.Filter, e.cfg.FilterFlags, nil
	}
	prog, info, err := seccomp.Compile(e.spec.Linux.Seccomp, seccomp.Options{GOARCH: e.cfg.Facts.Arch})
	if err != nil {
		return nil, 0, err
	}
	if e.cfg.Compiled != nil {
		e.cfg.Compiled(prog, info.Flags)
	}
	return prog, info.Flags, nil
}

// seccompChild sets capabilities, no_new_privs and the filter. Without
// no_new_privs the kernel wants CAP_SYS_ADMIN for a filter, so it is loaded
// before the capabilities go, and the profile has to allow what follows;
// with it the filter is the last thing before execve.
func seccompChild(e *env) error {
	c := e.capabilities()
	prog, flags, err := e.filter()
	if err != nil {
		return err
	}
	load := func() {
		if len(prog) == 0 {
			return
		}
		e.loadFilter(prog, flags)
	}
	if e.spec.Process.NoNewPrivileges {
		e.finalCaps(c)
		e.p.Note("set no_new_privs")
		e.p.Prctl(plan.InChild, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
		load()
		return nil
	}
	if e.spec.Process.User.UID != 0 && len(prog) > 0 {
		// setresuid emptied the effective set.
		e.p.Note("regain CAP_SYS_ADMIN")
		admin := c
		admin.permitted |= capability.Of(unix.CAP_SYS_ADMIN)
		admin.effective = admin.permitted
		e.capset(admin)
	}
	load()
	e.finalCaps(c)
	return nil
}
