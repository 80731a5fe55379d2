package seccomp

// filter is what one architecture does with each call.
type filter struct {
	col  column
	last int // the highest ordinary slot that the profile names, 0 for none
	what [slots]uint16
}

// A slot's content is an action (0 is the default one: no rule), or isChain
// and the index of the first link of a chain of rules with arguments.
const isChain = 0x8000

// Indices of links and conds are 16 bits, less what one name can add.
const (
	maxLinks = isChain - 64
	maxConds = 1<<16 - 64
)

// rule is one rule of the profile.
type rule struct {
	action   uint16
	from, to uint16 // its part of compiler.conds
	twice    bool   // it compares one argument more than once
}

// link is one rule with arguments for one call.
type link struct {
	from, to uint16 // its part of compiler.conds
	action   uint16
	next     uint16 // the next link of the chain, 0 at its end
}

// addCall adds r for one call, an index of the tables, to each architecture
// that has it. It reports whether one does.
func (c *compiler) addCall(call int, r rule) bool {
	known := false
	for i := range c.filters {
		f := &c.filters[i]
		if slot := callSlots[call][f.col]; slot != noSlot {
			known = true
			c.addTo(f, slot, r)
		}
		if m := callMux[call]; m != 0 && f.col == col386 {
			known = true
			c.addMux(f, m, r)
		}
	}
	return known
}

// 386's numbers of the calls that carry others.
const (
	slotSocketcall = 102
	slotIPC        = 117
)

// addMux adds r to socketcall(2) or ipc(2). As in libseccomp the sub-call
// takes the place of the first argument, which the kernel reads from memory
// where no filter sees it.
func (c *compiler) addMux(f *filter, m uint8, r rule) {
	slot, n := uint16(slotSocketcall), uint64(m)
	if m > muxIPC {
		slot, n = slotIPC, uint64(m-muxIPC)
	}
	sub := cond{op: opEQ, value: n}
	if !r.twice {
		c.addTo(f, slot, c.muxRule(r.action, sub, r.from, r.to))
		return
	}
	for i := r.from; i < r.to; i++ {
		c.addTo(f, slot, c.muxRule(r.action, sub, i, i+1))
	}
}

func (c *compiler) muxRule(action uint16, sub cond, from, to uint16) rule {
	r := rule{action: action, from: uint16(len(c.conds))}
	c.conds = append(c.conds, sub)
	for _, cd := range c.conds[from:to] {
		if cd.arg != 0 {
			c.conds = append(c.conds, cd)
		}
	}
	r.to = uint16(len(c.conds))
	return r
}

// addTo adds r to a slot.
func (c *compiler) addTo(f *filter, slot uint16, r rule) {
	if slot < privateSlot {
		f.last = max(f.last, int(slot))
	}
	switch {
	case r.action == 0:
		// The default action: runc leaves such rules out.
	case !r.twice:
		c.addLink(f, slot, link{from: r.from, to: r.to, action: r.action})
	default:
		for i := r.from; i < r.to; i++ {
			c.addLink(f, slot, link{from: i, to: i + 1, action: r.action})
		}
	}
}

// addLink puts a rule into a slot. One without arguments ends the matter: it
// replaces rules with arguments, and nothing replaces it.
func (c *compiler) addLink(f *filter, slot uint16, l link) {
	cur := f.what[slot]
	switch {
	case cur != 0 && cur < isChain:
	case c.always(l, arches[f.col].wide):
		f.what[slot] = l.action
	case cur == 0:
		f.what[slot] = isChain | uint16(len(c.links))
		c.links = append(c.links, l)
	default:
		i := cur &^ isChain
		for c.links[i].next != 0 {
			i = c.links[i].next
		}
		c.links[i].next = uint16(len(c.links))
		c.links = append(c.links, l)
	}
}

// always reports whether a rule's arguments exclude nothing.
func (c *compiler) always(l link, wide bool) bool {
	for _, cd := range c.conds[l.from:l.to] {
		if !cd.on(wide).always() {
			return false
		}
	}
	return true
}
