package seccomp

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// invalid is an error about one field of a profile.
func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "seccomp profile: "+format, args...)
}

// returnValue maps an action and its errno to a SECCOMP_RET_* value. The errno
// is EPERM where the profile has none, for trace too, as in runc. The caller
// names the field in front of the error.
func returnValue(act specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		if act != specs.ActErrno && act != specs.ActTrace {
			return 0, fmt.Errorf("action %q takes no errno", string(act))
		}
		if *errno > 0xffff {
			return 0, fmt.Errorf("errno %d is above 65535", *errno)
		}
		data = uint32(*errno)
	}
	switch act {
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF, nil
	}
	return 0, fmt.Errorf("unknown action %q", string(act))
}

// allows reports whether a call that falls to the default action runs: then
// unknown numbers need no ENOSYS. A tracer counts, it can tell by itself.
func allows(ret uint32) bool {
	switch ret & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE:
		return true
	}
	return false
}

// filterFlags maps the profile's flags to the bits of seccomp(2). A profile
// that says nothing, not even "none", gets SPEC_ALLOW as in runc and crun:
// before Linux 5.16 a filter otherwise turns off speculative store bypass, which
// is slow.
func filterFlags(flags []specs.LinuxSeccompFlag, notify bool) (uint32, error) {
	var bits uint32
	if flags == nil {
		bits = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for i, f := range flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC":
			bits |= unix.SECCOMP_FILTER_FLAG_TSYNC
		case specs.LinuxSeccompFlagLog:
			bits |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			bits |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			bits |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		default:
			return 0, invalid("flags[%d]: unknown flag %q", i, string(f))
		}
	}
	if !notify {
		// The kernel refuses it without a listener.
		return bits &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, nil
	}
	bits |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	if bits&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 {
		// Both return a number; TSYNC goes with a listener only since
		// Linux 5.7 and only this way.
		bits |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	return bits, nil
}

// cond is one argument comparison.
type cond struct {
	arg   uint8
	op    op
	value uint64
	mask  uint64 // for opMasked only; value is already masked
}

type op uint8

const (
	opMasked op = iota
	opEQ
	opNE
	opLT
	opLE
	opGE
	opGT
)

func parseCond(rule, i int, a *specs.LinuxSeccompArg) (cond, error) {
	if a.Index > 5 {
		return cond{}, invalid("syscalls[%d].args[%d].index: %d is above 5", rule, i, a.Index)
	}
	c := cond{arg: uint8(a.Index), value: a.Value}
	switch a.Op {
	case specs.OpEqualTo:
		c.op = opEQ
	case specs.OpNotEqual:
		c.op = opNE
	case specs.OpLessThan:
		c.op = opLT
	case specs.OpLessEqual:
		c.op = opLE
	case specs.OpGreaterEqual:
		c.op = opGE
	case specs.OpGreaterThan:
		c.op = opGT
	case specs.OpMaskedEqual:
		// The OCI names are off: value is the mask, valueTwo what must
		// be left.
		c.op, c.mask, c.value = opMasked, a.Value, a.ValueTwo&a.Value
	default:
		return cond{}, invalid("syscalls[%d].args[%d].op: unknown operator %q", rule, i, string(a.Op))
	}
	return c, nil
}

// on returns c as an architecture sees it: without 64-bit arguments the upper
// words count for nothing, as in libseccomp.
func (c cond) on(wide bool) cond {
	if !wide {
		c.value &= 1<<32 - 1
		c.mask &= 1<<32 - 1
	}
	return c
}

// always reports whether c holds for each value: a mask without bits.
func (c cond) always() bool { return c.op == opMasked && c.mask == 0 }

// span returns the values that meet c as one inclusive range, if they are one
// and not empty. limit is the largest value.
func (c cond) span(limit uint64) (lo, hi uint64, ok bool) {
	switch c.op {
	case opEQ:
		return c.value, c.value, true
	case opLT:
		return 0, c.value - 1, c.value > 0
	case opLE:
		return 0, c.value, true
	case opGE:
		return c.value, limit, true
	case opGT:
		return c.value + 1, limit, c.value < limit
	default:
		return 0, 0, false
	}
}
