package container

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// maxBits bounds the numbers of CPUs and memory nodes: the kernel's largest
// configurations have 8192 and 1024.
const maxBits = 8192

// bitList reads "0-3,7" as the words of a bit mask. what is for the error.
func bitList(what, list string) ([]uint64, error) {
	var mask []uint64
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil || a > b || b >= maxBits {
			return nil, fault.New(fault.Invalid, "%s %q: not a list of numbers and ranges", what, list)
		}
		for ; a <= b; a++ {
			for uint64(len(mask)) <= a/64 {
				mask = append(mask, 0)
			}
			mask[a/64] |= 1 << (a % 64)
		}
	}
	return mask, nil
}

func maskBytes(mask []uint64) []byte {
	b := make([]byte, 0, 8*len(mask))
	for _, w := range mask {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

func hasAffinity(s *specs.Spec) bool { return s.Process.ExecCPUAffinity != nil }

// affinity is for further processes: the specification has it that the
// container's first one is not concerned.
func (e *env) affinity(list string) error {
	mask, err := bitList("exec cpu affinity", list)
	if err != nil {
		return err
	}
	e.p.Note("run on cpus " + list)
	b := maskBytes(mask)
	e.p.Call(plan.InChild, unix.SYS_SCHED_SETAFFINITY, []plan.Arg{plan.Int(0), plan.Int(len(b)), e.p.Bytes(b)})
	return nil
}

// initialAffinityChild comes before the join, finalAffinityChild after it.
func initialAffinityChild(e *env) error {
	if list := e.spec.Process.ExecCPUAffinity.Initial; list != "" {
		return e.affinity(list)
	}
	return nil
}

func finalAffinityChild(e *env) error {
	if list := e.spec.Process.ExecCPUAffinity.Final; list != "" {
		return e.affinity(list)
	}
	return nil
}

// unusedAffinityHost checks what a container's first process has no use for.
func unusedAffinityHost(e *env) error {
	a := e.spec.Process.ExecCPUAffinity
	for _, list := range []string{a.Initial, a.Final} {
		if list == "" {
			continue
		}
		if _, err := bitList("exec cpu affinity", list); err != nil {
			return err
		}
	}
	return nil
}

func hasMemoryPolicy(s *specs.Spec) bool { return s.Linux.MemoryPolicy != nil }

// memoryModes are the numbers of linux/mempolicy.h.
var memoryModes = []struct {
	name specs.MemoryPolicyModeType
	mode int
}{
	{specs.MpolDefault, 0},
	{specs.MpolPreferred, 1},
	{specs.MpolBind, 2},
	{specs.MpolInterleave, 3},
	{specs.MpolLocal, 4},
	{specs.MpolPreferredMany, 5},      // Linux 5.15
	{specs.MpolWeightedInterleave, 6}, // Linux 6.9
}

var memoryFlags = []struct {
	name specs.MemoryPolicyFlagType
	bit  int
}{
	{specs.MpolFStaticNodes, 1 << 15},
	{specs.MpolFRelativeNodes, 1 << 14},
	{specs.MpolFNumaBalancing, 1 << 13}, // Linux 5.12
}

// memoryPolicyChild sets the policy that the program inherits, inside its
// cpuset.
func memoryPolicyChild(e *env) error {
	m := e.spec.Linux.MemoryPolicy
	mode := -1
	for _, k := range memoryModes {
		if k.name == m.Mode {
			mode = k.mode
		}
	}
	if mode < 0 {
		return fault.New(fault.Invalid, "memory policy %q: unknown", m.Mode)
	}
	for _, f := range m.Flags {
		bit := 0
		for _, k := range memoryFlags {
			if k.name == f {
				bit = k.bit
			}
		}
		if bit == 0 {
			return fault.New(fault.Invalid, "memory policy flag %q: unknown", f)
		}
		mode |= bit
	}
	mask, bits := plan.Int(0), 0
	if m.Nodes != "" {
		words, err := bitList("memory policy nodes", m.Nodes)
		if err != nil {
			return err
		}
		// The kernel takes one bit less than it is told.
		mask, bits = e.p.Bytes(maskBytes(words)), 64*len(words)+1
	}
	e.p.Note("set memory policy " + string(m.Mode))
	e.p.Call(plan.InChild, unix.SYS_SET_MEMPOLICY, []plan.Arg{plan.Int(mode), mask, plan.Int(bits)})
	return nil
}
