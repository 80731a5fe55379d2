package container

import (
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

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
