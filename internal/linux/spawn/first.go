package spawn

import (
	"slices"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// leftIgnored are the signals that Go leaves ignored when the engine was
// started so (nohup, a script's background job): it installs its own handler
// for all others. CLONE_CLEAR_SIGHAND does not touch what is ignored, and a
// shell in the container could never trap it again. 32 and 33 are the C
// library's own, which make(1) leaves ignored in its children.
var leftIgnored = [...]unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, 32, 33,
}

// maxFirst bounds the number of ops that firstOps returns when kept
// descriptors of the plan survive, and the three standard ones and the status
// pipe.
func maxFirst(kept int) int { return kept + 4 + 1 + 1 + len(leftIgnored) }

// firstOps computes what the child does before the plan. Op 0 closes every
// descriptor but those of keep: O_CLOEXEC does not help before exec, and a
// copy of another child's status pipe or gate, held while this child waits,
// would hide that one's end. Whatever the engine was given without O_CLOEXEC
// gets it now (CVE-2024-21626 was a leaked descriptor). Zeros is the address
// of an empty struct sigaction.
func firstOps(keep []uint32, zeros uintptr) []plan.Op {
	slices.Sort(keep)
	keep = slices.Compact(keep)
	p := plan.Plan{Child: make([]plan.Op, 0, len(keep)+2+len(leftIgnored))}
	closeRange := func(first, last uint32, flags int) {
		p.Call(plan.InChild, unix.SYS_CLOSE_RANGE, []plan.Arg{plan.Int(first), plan.Int(last), plan.Int(flags)})
	}
	from := uint32(0)
	for _, fd := range keep {
		if fd > from {
			closeRange(from, fd-1, 0)
		}
		from = fd + 1
	}
	closeRange(from, ^uint32(0), 0)
	closeRange(3, ^uint32(0), unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11
	for _, sig := range leftIgnored {
		p.Call(plan.InChild, unix.SYS_RT_SIGACTION, []plan.Arg{
			plan.Int(int(sig)), plan.Int(zeros), plan.Int(0), plan.Int(8),
		})
	}
	return p.Child
}
