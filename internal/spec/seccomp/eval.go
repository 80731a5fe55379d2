package seccomp

import (
	"golang.org/x/sys/unix"
)

// Eval runs prog on d as the kernel would and returns the SECCOMP_RET_* value.
// A malformed program, which the kernel would not have loaded, kills the
// process. It knows the instructions that this package and libseccomp emit.
func Eval(prog []unix.SockFilter, d Data) uint32 {
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		take := false
		switch in.Code {
		case opLoad:
			w, ok := d.word(in.K)
			if !ok {
				return unix.SECCOMP_RET_KILL_PROCESS
			}
			a = w
			continue
		case opAnd:
			a &= in.K
			continue
		case opRet:
			return in.K
		case opJump:
			pc += int(in.K)
			continue
		case opJeq:
			take = a == in.K
		case opJgt:
			take = a > in.K
		case opJge:
			take = a >= in.K
		case opJset:
			take = a&in.K != 0
		default:
			return unix.SECCOMP_RET_KILL_PROCESS
		}
		if take {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	return unix.SECCOMP_RET_KILL_PROCESS
}

// word returns the 32-bit word at an offset of the little-endian
// struct seccomp_data.
func (d *Data) word(off uint32) (uint32, bool) {
	var v uint64
	switch {
	case off%4 != 0 || off >= 64:
		return 0, false
	case off == offNr:
		return d.Nr, true
	case off == offArch:
		return d.Arch, true
	case off < offArgs:
		v = d.IP
	default:
		v = d.Args[(off-offArgs)/8]
	}
	if off%8 != 0 {
		v >>= 32
	}
	return uint32(v), true
}
