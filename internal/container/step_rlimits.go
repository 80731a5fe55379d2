package container

import (
	"fmt"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// rlimitNumbers are the RLIMIT_* of asm-generic/resource.h, by number.
var rlimitNumbers = [...]string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS",
	"RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

func rlimitNumber(name string) (int, error) {
	for i, n := range rlimitNumbers {
		if n == name {
			return i, nil
		}
	}
	return 0, fault.New(fault.Invalid, "rlimit %q: unknown", name)
}

func (e *env) coreHard() uint64 { return e.cfg.Facts.Limit(unix.RLIMIT_CORE)[1] }

// rlimitsChild sets the container's limits, after the last op that opens a
// descriptor. RLIMIT_NOFILE is always set: Go raised the soft limit of the
// engine (Go 1.19), and the container must see what the engine was started
// with.
func rlimitsChild(e *env) error {
	seen := uint64(0)
	// The capability counts in the first user namespace only.
	canRaise := e.cfg.Facts.Bounding.Has(unix.CAP_SYS_RESOURCE) && !e.ns.user
	for _, l := range e.spec.Process.Rlimits {
		n, err := rlimitNumber(l.Type)
		if err != nil {
			return err
		}
		if seen&(1<<n) != 0 {
			return fault.New(fault.Invalid, "rlimit %s: given twice", l.Type)
		}
		seen |= 1 << n
		if l.Soft > l.Hard {
			return fault.New(fault.Invalid, "rlimit %s: soft limit %d above hard limit %d", l.Type, l.Soft, l.Hard)
		}
		if have := e.cfg.Facts.Limit(n)[1]; l.Hard > have && !canRaise {
			e.warn(fmt.Sprintf("rlimit %s: %d is above this process's hard limit, using %d", l.Type, l.Hard, have))
			l.Hard, l.Soft = have, min(l.Soft, have)
		}
		e.p.Note("set " + l.Type)
		e.p.Rlimit(plan.InChild, n, l.Soft, l.Hard)
	}
	for _, n := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_CORE} {
		if seen&(1<<n) == 0 {
			l := e.cfg.Facts.Limit(n)
			e.p.Note("restore " + rlimitNumbers[n])
			e.p.Rlimit(plan.InChild, n, l[0], l[1])
		}
	}
	umask := uint32(0o022)
	if u := e.spec.Process.User.Umask; u != nil {
		umask = *u
	}
	e.p.Note("set umask")
	e.p.Call(plan.InChild, unix.SYS_UMASK, []plan.Arg{plan.Int(umask)})
	return nil
}
