package cgroup

// insn encodes one eBPF instruction as its eight bytes on a little-endian
// machine (linux/bpf.h, struct bpf_insn).
func insn(op, dst, src uint8, off int16, imm int32) uint64 {
	return uint64(op) | uint64(dst&15)<<8 | uint64(src&15)<<12 | uint64(uint16(off))<<16 | uint64(uint32(imm))<<32
}

// The operations that a device program needs. Jumps are the 32-bit class
// (5.1): majors and minors are unsigned 32-bit numbers.
const (
	opLoadW = 0x61 // dst = *(u32 *)(src + off)
	opMovR  = 0xbf // dst = src
	opMovI  = 0xb7 // dst = imm
	opAndI  = 0x57 // dst &= imm
	opRshI  = 0x77 // dst >>= imm
	opJneI  = 0x56 // if (u32)dst != imm, skip off
	opJeqI  = 0x16 // if (u32)dst == imm, skip off
	opExit  = 0x95
)

// The registers: what is asked for, and the verdict.
const (
	regVerdict = 0
	regCtx     = 1
	regKind    = 2
	regAccess  = 3 // the bits that no rule has decided yet
	regMajor   = 4
	regMinor   = 5
)

// deviceProgram compiles rules to a BPF_PROG_TYPE_CGROUP_DEVICE program. It
// reads struct bpf_cgroup_dev_ctx {u32 access<<16 | kind, major, minor} and
// tries the rules from the last to the first, as the last one that covers a
// bit decides on it: a deny rule that covers an undecided bit ends in 0, an
// allow rule strikes its bits out, and when none is left ends in 1.
func deviceProgram(rules []rule) []uint64 {
	p := make([]uint64, 0, 8+6*len(rules))
	p = append(p,
		insn(opLoadW, regKind, regCtx, 0, 0),
		insn(opMovR, regAccess, regKind, 0, 0),
		insn(opRshI, regAccess, 0, 0, 16),
		insn(opAndI, regKind, 0, 0, 0xffff),
		insn(opLoadW, regMajor, regCtx, 4, 0),
		insn(opLoadW, regMinor, regCtx, 8, 0))
	for i := len(rules) - 1; i >= 0; i-- {
		p = appendRule(p, rules[i])
		if rules[i].isAll() {
			return p // nothing behind it can be reached
		}
	}
	return appendVerdict(p, false)
}

func appendRule(p []uint64, r rule) []uint64 {
	// Offsets count from the next instruction to the end of this rule, which
	// is known once the body's length is.
	body := 2 // verdict, exit
	switch {
	case r.access == accAll:
	case r.allow:
		body += 2
	default:
		body += 3
	}
	tests := 0
	for _, t := range [...]bool{r.kind != 'a', r.major != anyNumber, r.minor != anyNumber} {
		if t {
			tests++
		}
	}
	skip := func(reg uint8, value int64) {
		tests--
		p = append(p, insn(opJneI, reg, 0, int16(tests+body), int32(uint32(value))))
	}
	switch r.kind { // BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
	case 'b':
		skip(regKind, 1)
	case 'c':
		skip(regKind, 2)
	}
	if r.major != anyNumber {
		skip(regMajor, r.major)
	}
	if r.minor != anyNumber {
		skip(regMinor, r.minor)
	}
	switch {
	case r.access == accAll:
	case r.allow:
		p = append(p,
			insn(opAndI, regAccess, 0, 0, int32(accAll&^r.access)),
			insn(opJneI, regAccess, 0, 2, 0))
	default:
		p = append(p,
			insn(opMovR, regVerdict, regAccess, 0, 0),
			insn(opAndI, regVerdict, 0, 0, int32(r.access)),
			insn(opJeqI, regVerdict, 0, 2, 0))
	}
	return appendVerdict(p, r.allow)
}

func appendVerdict(p []uint64, allow bool) []uint64 {
	verdict := int32(0)
	if allow {
		verdict = 1
	}
	return append(p, insn(opMovI, regVerdict, 0, 0, verdict), insn(opExit, 0, 0, 0, 0))
}
