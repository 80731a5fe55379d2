package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// target is where a jump goes: the index of an instruction that is already
// there, or ^i for "return action i".
type target int32

func returns(action int) target { return ^target(action) }

// asm builds a program from its end. All BPF jumps go forward, so each target
// exists before the jumps to it: distances are known at once, there is no
// second pass, and whether a jump needs a long form is decided on the spot.
type asm struct {
	code    []unix.SockFilter // last instruction first
	actions []uint32          // SECCOMP_RET_* values; [0] is the default action
	rets    []target          // the nearest return of each action, or -1
}

// The opcodes in use.
const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opRet  = unix.BPF_RET | unix.BPF_K
	opJump = unix.BPF_JMP | unix.BPF_JA
	opJeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opJgt  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opJge  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opJset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
)

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// action returns the index of a SECCOMP_RET_* value.
func (a *asm) action(ret uint32) int {
	if i := slices.Index(a.actions, ret); i >= 0 {
		return i
	}
	a.actions = append(a.actions, ret)
	a.rets = append(a.rets, -1)
	return len(a.actions) - 1
}

func (a *asm) emit(op uint16, k uint32) target {
	a.code = append(a.code, unix.SockFilter{Code: op, K: k})
	return target(len(a.code) - 1)
}

// load puts the word at off into the accumulator and goes on with then.
func (a *asm) load(off uint32, then target) target {
	a.next(then)
	return a.emit(opLoad, off)
}

// and masks the accumulator and goes on with then.
func (a *asm) and(mask uint32, then target) target {
	a.next(then)
	return a.emit(opAnd, mask)
}

// next makes t the instruction that follows the one emitted after this call.
func (a *asm) next(t target) {
	switch {
	case t < 0:
		a.ret(int(^t))
	case int(t) != len(a.code)-1:
		a.emit(opJump, a.dist(t))
	}
}

func (a *asm) ret(action int) target {
	t := a.emit(opRet, a.actions[action])
	a.rets[action] = t
	return t
}

// dist is the jump offset from the next emitted instruction to t.
func (a *asm) dist(t target) uint32 { return uint32(len(a.code) - 1 - int(t)) }

// near returns a place at most 255 instructions from the next emitted one, or
// 255-slack, that leads to t: t itself, a return, or a long jump.
func (a *asm) near(t target, slack uint32) target {
	if t < 0 {
		action := int(^t)
		if r := a.rets[action]; r >= 0 && a.dist(r) <= 255-slack {
			return r
		}
		return a.ret(action)
	}
	if a.dist(t) <= 255-slack {
		return t
	}
	return a.emit(opJump, a.dist(t))
}

// branch emits a conditional jump. Both targets being the same, it emits
// nothing.
func (a *asm) branch(op uint16, k uint32, yes, no target) target {
	if yes == no {
		return yes
	}
	// Reaching no may cost one instruction more.
	yes = a.near(yes, 1)
	no = a.near(no, 0)
	a.code = append(a.code, unix.SockFilter{Code: op, Jt: uint8(a.dist(yes)), Jf: uint8(a.dist(no)), K: k})
	return target(len(a.code) - 1)
}

// seg is a range of numbers, from start up to the next seg's start, that all
// lead to one target.
type seg struct {
	start uint32
	to    target
}

// addSeg appends a range, or lets the last one grow. A range that starts where
// the last one does replaces it.
func addSeg(s []seg, start uint32, to target) []seg {
	if n := len(s); n > 0 && s[n-1].start == start {
		s = s[:n-1]
	}
	if n := len(s); n > 0 && s[n-1].to == to {
		return s
	}
	return append(s, seg{start, to})
}

// search emits a binary search for the accumulator over s, whose last range
// ends before end (0 for 1<<32).
func (a *asm) search(s []seg, end uint32) target {
	if len(s) == 1 {
		return s[0].to
	}
	if t, ok := a.singles(s, end); ok {
		return t
	}
	mid := len(s) / 2
	right := a.search(s[mid:], end)
	left := a.search(s[:mid], s[mid].start)
	return a.branch(opJge, s[mid].start, right, left)
}

// maxSingles bounds a run of comparisons for equality.
const maxSingles = 4

// singles emits comparisons for equality if s is nothing but a few single
// numbers in ranges that all lead to one target: half as many instructions as
// the search.
func (a *asm) singles(s []seg, end uint32) (target, bool) {
	if len(s) > 2*maxSingles+1 {
		return 0, false
	}
	rest, found, n := target(0), false, 0
	for i := range s {
		if single(s, i, end) {
			n++
		} else if !found {
			rest, found = s[i].to, true
		} else if s[i].to != rest {
			return 0, false
		}
	}
	if !found || n > maxSingles {
		return 0, false
	}
	t := rest
	for i := len(s) - 1; i >= 0; i-- {
		if single(s, i, end) {
			t = a.branch(opJeq, s[i].start, s[i].to, t)
		}
	}
	return t, true
}

func single(s []seg, i int, end uint32) bool {
	if i+1 < len(s) {
		end = s[i+1].start
	}
	return end-s[i].start == 1
}
