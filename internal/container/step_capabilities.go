package container

import (
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/capability"
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
