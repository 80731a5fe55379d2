package container

import (
	"fmt"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

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
