package container

import (
	"encoding/binary"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

func hasScheduler(s *specs.Spec) bool  { return s.Process.Scheduler != nil }
func hasIOPriority(s *specs.Spec) bool { return s.Process.IOPriority != nil }

// These are arrays, and no maps: a start pays for what is made before main.

// schedPolicies stand at their numbers of linux/sched.h.
var schedPolicies = [...]specs.LinuxSchedulerPolicy{
	specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline,
}

// schedFlags stand at their bits.
var schedFlags = [...]specs.LinuxSchedulerFlag{
	specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun,
	specs.SchedFlagKeepPolicy, specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
}

// schedulerChild sets the policy while the process may, after it has joined
// its cgroup, whose budget of real time counts.
func schedulerChild(e *env) error {
	attr, err := schedAttr(e.spec.Process.Scheduler)
	if err != nil {
		return err
	}
	e.p.Note("set scheduler " + string(e.spec.Process.Scheduler.Policy))
	e.p.Call(plan.InChild, unix.SYS_SCHED_SETATTR, []plan.Arg{plan.Int(0), e.p.Bytes(attr), plan.Int(0)})
	return nil
}

// schedAttr is struct sched_attr of sched_setattr(2).
func schedAttr(s *specs.Scheduler) ([]byte, error) {
	policy := slices.Index(schedPolicies[:], s.Policy)
	if s.Policy == specs.SchedISO {
		return nil, fault.New(fault.Unsupported, "scheduler policy SCHED_ISO: no Linux has it")
	}
	if policy < 0 {
		return nil, fault.New(fault.Invalid, "scheduler policy %q: unknown", s.Policy)
	}
	realtime, deadline := policy == 1 || policy == 2, policy == 6
	switch {
	case s.Nice < -20 || s.Nice > 19:
		return nil, fault.New(fault.Invalid, "scheduler nice %d: not from -20 to 19", s.Nice)
	case s.Nice != 0 && (realtime || deadline):
		return nil, fault.New(fault.Invalid, "scheduler nice %d: %s has no nice values", s.Nice, s.Policy)
	case s.Priority != 0 && !realtime:
		return nil, fault.New(fault.Invalid, "scheduler priority %d: %s has no priorities", s.Priority, s.Policy)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return nil, fault.New(fault.Invalid, "scheduler priority %d: not from 1 to 99", s.Priority)
	case (s.Runtime|s.Deadline|s.Period) != 0 && !deadline:
		return nil, fault.New(fault.Invalid, "scheduler runtime, deadline and period: of SCHED_DEADLINE only")
	}
	flags := uint64(0)
	for _, f := range s.Flags {
		bit := slices.Index(schedFlags[:], f)
		if bit < 0 {
			return nil, fault.New(fault.Invalid, "scheduler flag %q: unknown", f)
		}
		flags |= 1 << bit
	}
	b := make([]byte, 56) // SCHED_ATTR_SIZE_VER1, Linux 5.3
	le := binary.LittleEndian
	le.PutUint32(b[0:], 56)
	le.PutUint32(b[4:], uint32(policy))
	le.PutUint64(b[8:], flags)
	le.PutUint32(b[16:], uint32(s.Nice))
	le.PutUint32(b[20:], uint32(s.Priority))
	le.PutUint64(b[24:], s.Runtime)
	le.PutUint64(b[32:], s.Deadline)
	le.PutUint64(b[40:], s.Period)
	// The specification has flags for the clamps and no values: -1 is the
	// system's own (Linux 5.11).
	le.PutUint32(b[48:], ^uint32(0))
	le.PutUint32(b[52:], ^uint32(0))
	return b, nil
}

// ioClasses are those from 1 on.
var ioClasses = [...]specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}

// ioPriorityChild sets the priority of ioprio_set(2).
func ioPriorityChild(e *env) error {
	p := e.spec.Process.IOPriority
	class := slices.Index(ioClasses[:], p.Class) + 1
	switch {
	case class == 0:
		return fault.New(fault.Invalid, "io priority class %q: unknown", p.Class)
	case p.Priority < 0 || p.Priority > 7:
		return fault.New(fault.Invalid, "io priority %d: not from 0 to 7", p.Priority)
	}
	const whoProcess, classShift = 1, 13
	e.p.Note("set io priority " + string(p.Class))
	e.p.Call(plan.InChild, unix.SYS_IOPRIO_SET, []plan.Arg{plan.Int(whoProcess), plan.Int(0), plan.Int(class<<classShift | p.Priority)})
	return nil
}
