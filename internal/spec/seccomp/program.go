package seccomp

import "golang.org/x/sys/unix"

// program emits everything, from the end: one section per architecture, then
// the dispatch between them. The native architecture comes first in the
// program.
func (c *compiler) program() {
	kill := returns(c.action(unix.SECCOMP_RET_KILL_THREAD))
	at := make([]target, len(c.filters))
	for i := len(c.filters) - 1; i >= 0; i-- {
		if f := &c.filters[i]; !c.secondary(f) {
			at[i] = c.section(f, kill)
		}
	}
	t := kill
	for i := len(c.filters) - 1; i >= 0; i-- {
		if f := &c.filters[i]; !c.secondary(f) {
			t = c.branch(opJeq, arches[f.col].audit, at[i], t)
		}
	}
	c.load(offArch, t)
}

// find returns the filter of an architecture, or nil.
func (c *compiler) find(col column) *filter {
	for i := range c.filters {
		if c.filters[i].col == col {
			return &c.filters[i]
		}
	}
	return nil
}

// secondary reports whether f is part of another one's section: x32 shares
// the AUDIT_ARCH of x86-64.
func (c *compiler) secondary(f *filter) bool {
	return f.col == colX32 && c.find(colAMD64) != nil
}

// section emits what one AUDIT_ARCH does with each number.
func (c *compiler) section(f *filter, kill target) target {
	c.segs = c.segs[:0]
	tail := c.tail(f)
	switch f.col {
	case colX32:
		c.segs = addSeg(c.segs, 0, kill)
		c.calls(f, x32Bit, tail)
	case colAMD64:
		c.calls(f, 0, tail)
		c.x32(tail, kill)
	default:
		c.calls(f, 0, tail)
	}
	t := c.search(c.segs, 0)
	if t < 0 {
		return t
	}
	return c.load(offNr, t)
}

// tail returns what becomes of numbers above the last one that the profile
// names: unknown to its author, so ENOSYS as if the kernel were as old as the
// profile (runc's rule, and moby's reason for it).
func (c *compiler) tail(f *filter) target {
	if c.enosys && f.last > 0 {
		return returns(c.action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)))
	}
	return returns(0)
}

// x32 adds the numbers of the x86-64 section that no x86-64 call has.
func (c *compiler) x32(tail, kill target) {
	if f := c.find(colX32); f != nil {
		tail32 := c.tail(f)
		c.calls(f, x32Bit, tail32)
		c.segs = addSeg(c.segs, 2*x32Bit, tail)
		c.segs = addSeg(c.segs, 3*x32Bit, tail32)
		return
	}
	// x32 is an architecture of its own that the profile does not have.
	c.segs = addSeg(c.segs, x32Bit, kill)
	if tail != returns(0) {
		c.segs = addSeg(c.segs, 2*x32Bit, tail)
		c.segs = addSeg(c.segs, 3*x32Bit, kill)
	}
	// A tracer sets -1 to skip a call; the filter runs again after it
	// since Linux 4.8.
	c.segs = addSeg(c.segs, ^uint32(0), returns(0))
}

// calls adds the numbers of one architecture, starting at base.
func (c *compiler) calls(f *filter, base uint32, tail target) {
	prev := -1
	slot := func(i int, number uint32) {
		if w := f.what[i]; int(w) != prev {
			prev = int(w)
			c.segs = addSeg(c.segs, number, c.does(w, arches[f.col].wide))
		}
	}
	for i := 0; i <= f.last; i++ {
		slot(i, base+uint32(i))
	}
	c.segs = addSeg(c.segs, base+uint32(f.last)+1, tail)
	if f.col == colARM {
		prev = -1
		for i := privateSlot; i < slots; i++ {
			slot(i, uint32(privateBase+i-privateSlot))
		}
		c.segs = addSeg(c.segs, privateBase+slots-privateSlot, tail)
	}
}

// does returns the code for a slot's content.
func (c *compiler) does(w uint16, wide bool) target {
	if w >= isChain {
		return c.bodyOf(w&^isChain, wide)
	}
	return returns(int(w))
}
