package seccomp

import (
	"cmp"
	"slices"
)

// body is the code of one chain, shared by all calls with equal rules.
type body struct {
	chain uint16
	wide  bool
	at    target
}

// bodyOf returns the code for the rules of a chain. It expects nothing of the
// accumulator.
func (c *compiler) bodyOf(chain uint16, wide bool) target {
	for _, b := range c.bodies {
		if b.wide == wide && c.equal(b.chain, chain) {
			return b.at
		}
	}
	at := c.body(chain, wide)
	c.bodies = append(c.bodies, body{chain, wide, at})
	return at
}

// equal reports whether two chains hold the same rules.
func (c *compiler) equal(a, b uint16) bool {
	for a != 0 && b != 0 {
		x, y := &c.links[a], &c.links[b]
		if x.action != y.action || !slices.Equal(c.conds[x.from:x.to], c.conds[y.from:y.to]) {
			return false
		}
		a, b = x.next, y.next
	}
	return a == b
}

// body emits the rules of a chain, tried one after the other.
func (c *compiler) body(chain uint16, wide bool) target {
	rules := make([]bodyRule, 0, 32)
	mixed := false
	for i := chain; i != 0; i = c.links[i].next {
		r := bodyRule{action: c.links[i].action}
		for _, cd := range c.conds[c.links[i].from:c.links[i].to] {
			if cd = cd.on(wide); !cd.always() {
				r.conds[r.n] = cd
				r.n++
			}
		}
		// Stable, as specific looks at the first one only.
		slices.SortStableFunc(r.conds[:r.n], func(x, y cond) int { return cmp.Compare(x.arg, y.arg) })
		rules = append(rules, r)
		mixed = mixed || r.action != rules[0].action
	}
	if mixed {
		slices.SortStableFunc(rules, specific) // of two equal ones the profile's first counts
	}
	t := returns(0)
	for end := len(rules); end > 0; {
		start := groupStart(rules[:end])
		if g, ok := c.group(rules[start:end], wide, t); ok {
			t, end = g, start
			continue
		}
		end--
		no := t
		t = returns(int(rules[end].action))
		for i := rules[end].n - 1; i >= 0; i-- {
			t = c.test(rules[end].conds[i], wide, t, no)
		}
	}
	return t
}

// bodyRule is a rule as one architecture sees it: its conditions, one per
// argument, in the order of the arguments.
type bodyRule struct {
	action uint16
	n      int
	conds  [6]cond
}

// specific orders rules that differ in their actions as libseccomp's tree
// does: by their first argument, the highest first, then equality before upper
// bounds before lower bounds, then the tightest bound first.
func specific(x, y bodyRule) int {
	a, b := x.conds[0], y.conds[0]
	if d := cmp.Compare(b.arg, a.arg); d != 0 {
		return d
	}
	if d := cmp.Compare(b.op.class(), a.op.class()); d != 0 {
		return d
	}
	if a.op == opLT || a.op == opLE {
		return cmp.Compare(a.value, b.value)
	}
	return cmp.Compare(b.value, a.value)
}

func (o op) class() int {
	switch o {
	case opLT, opLE:
		return 2
	case opGE, opGT:
		return 1
	default:
		return 3
	}
}

// groupStart returns where the run of rules starts that ends rules and whose
// members do the same for a range of one and the same argument.
func groupStart(rules []bodyRule) int {
	i := len(rules) - 1
	last := &rules[i]
	if last.n != 1 {
		return i
	}
	for i > 0 && rules[i-1].n == 1 && rules[i-1].action == last.action && rules[i-1].conds[0].arg == last.conds[0].arg {
		i--
	}
	return i
}

// group emits a run of at least two rules as one search. It gives up where a
// condition is no range or the upper words of the ranges differ; the rules are
// then tried one by one.
func (c *compiler) group(rules []bodyRule, wide bool, no target) (target, bool) {
	if len(rules) < 2 {
		return 0, false
	}
	type span struct{ lo, hi uint64 }
	limit := ^uint64(0)
	if !wide {
		limit = 1<<32 - 1
	}
	spans := make([]span, 0, 32)
	for i := range rules {
		lo, hi, ok := rules[i].conds[0].span(limit)
		if !ok || lo>>32 != hi>>32 || i > 0 && lo>>32 != spans[0].lo>>32 {
			return 0, false
		}
		spans = append(spans, span{lo, hi})
	}
	slices.SortFunc(spans, func(x, y span) int { return cmp.Compare(x.lo, y.lo) })

	yes := returns(int(rules[0].action))
	segs := addSeg(make([]seg, 0, 64), 0, no)
	next := uint64(0) // the lowest value that no span covered yet
	for _, s := range spans {
		lo, hi := s.lo&(1<<32-1), s.hi&(1<<32-1)
		if hi < next {
			continue
		}
		segs = addSeg(segs, uint32(max(lo, next)), yes)
		if next = hi + 1; next > 1<<32-1 {
			break
		}
		segs = addSeg(segs, uint32(next), no)
	}
	cd := rules[0].conds[0]
	t := c.word(cd.arg, false, c.search(segs, 0))
	if wide {
		t = c.wordTest(opJeq, cd.arg, true, uint32(spans[0].lo>>32), t, no)
	}
	return t, true
}

// word loads one half of an argument and goes on with then, which is code
// unless it needs no accumulator.
func (c *compiler) word(arg uint8, high bool, then target) target {
	if then < 0 {
		return then
	}
	off := offArgs + 8*uint32(arg)
	if high {
		off += 4
	}
	return c.load(off, then)
}

// wordTest loads one half of an argument and branches on it.
func (c *compiler) wordTest(op uint16, arg uint8, high bool, k uint32, yes, no target) target {
	if yes == no {
		return yes
	}
	return c.word(arg, high, c.branch(op, k, yes, no))
}

// test emits one comparison.
func (c *compiler) test(cd cond, wide bool, yes, no target) target {
	switch cd.op {
	case opNE:
		cd.op, yes, no = opEQ, no, yes
	case opLT:
		cd.op, yes, no = opGE, no, yes
	case opLE:
		cd.op, yes, no = opGT, no, yes
	default:
	}
	lo, hi := uint32(cd.value), uint32(cd.value>>32)
	switch cd.op {
	case opEQ:
		t := c.wordTest(opJeq, cd.arg, false, lo, yes, no)
		if wide {
			t = c.wordTest(opJeq, cd.arg, true, hi, t, no)
		}
		return t
	case opMasked:
		t := c.maskTest(cd.arg, false, uint32(cd.mask), lo, yes, no)
		if wide {
			t = c.maskTest(cd.arg, true, uint32(cd.mask>>32), hi, t, no)
		}
		return t
	default:
		return c.orderTest(cd, wide, yes, no)
	}
}

// orderTest emits a comparison for greater, or greater or equal.
func (c *compiler) orderTest(cd cond, wide bool, yes, no target) target {
	lo, hi := uint32(cd.value), uint32(cd.value>>32)
	jump := uint16(opJgt)
	if cd.op == opGE {
		jump = opJge
	}
	t := c.wordTest(jump, cd.arg, false, lo, yes, no)
	if wide {
		// The upper word decides unless it is equal.
		t = c.branch(opJeq, hi, t, no)
		t = c.word(cd.arg, true, c.branch(opJgt, hi, yes, t))
	}
	return t
}

// maskTest compares the bits of mask in one half of an argument.
func (c *compiler) maskTest(arg uint8, high bool, mask, value uint32, yes, no target) target {
	switch {
	case mask == 0 || yes == no:
		return yes
	case value == 0:
		return c.wordTest(opJset, arg, high, mask, no, yes)
	}
	return c.word(arg, high, c.and(mask, c.branch(opJeq, value, yes, no)))
}
