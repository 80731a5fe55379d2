package plan

import (
	"encoding/binary"
	"strings"
)

// MemKind says how a piece of memory prints.
type MemKind uint8

// The kinds of memory.
const (
	MemBytes MemKind = iota
	MemString
	MemOpenHow
	MemMountAttr
	MemProgram // sock_fprog
	MemVector  // NULL-terminated array of strings
	MemIDs     // array of uint32
	MemRlimit
	MemCloneArgs
)

// Mem is one piece of memory that calls point at: a string, a structure.
type Mem struct {
	Off, Len int32 // in Plan.Data
	Kind     MemKind
}

// Reloc is a pointer inside the memory: the address of Mem[To] belongs at
// offset At of Plan.Data.
type Reloc struct{ At, To int32 }

func (p *Plan) piece(off, length int, kind MemKind) Arg {
	p.Mem = append(p.Mem, Mem{int32(off), int32(length), kind})
	return Arg{uint64(len(p.Mem) - 1), memory}
}

func (p *Plan) align() {
	for len(p.Data)%8 != 0 {
		p.Data = append(p.Data, 0)
	}
}

func (p *Plan) add(b []byte, kind MemKind) Arg {
	p.align()
	off := len(p.Data)
	p.Data = append(p.Data, b...)
	return p.piece(off, len(b), kind)
}

// Str puts s, with its terminating NUL, into the plan's memory. A NUL inside
// would cut the string for the kernel: that makes the plan invalid.
func (p *Plan) Str(s string) Arg {
	if strings.IndexByte(s, 0) >= 0 {
		p.invalid("string %q: has a NUL byte", s)
	}
	off := len(p.Data)
	p.Data = append(p.Data, s...)
	p.Data = append(p.Data, 0)
	return p.piece(off, len(s), MemString)
}

// Bytes puts b into the plan's memory, 8-byte aligned.
func (p *Plan) Bytes(b []byte) Arg { return p.add(b, MemBytes) }

// Words puts little-endian 64-bit words into the plan's memory.
func (p *Plan) Words(kind MemKind, w ...uint64) Arg {
	p.align()
	off := len(p.Data)
	for _, x := range w {
		p.Data = binary.LittleEndian.AppendUint64(p.Data, x)
	}
	return p.piece(off, 8*len(w), kind)
}

// IDs puts an array of user or group ids into the plan's memory.
func (p *Plan) IDs(ids []uint32) Arg {
	p.align()
	off := len(p.Data)
	for _, id := range ids {
		p.Data = binary.LittleEndian.AppendUint32(p.Data, id)
	}
	return p.piece(off, 4*len(ids), MemIDs)
}

// Vector puts a NULL-terminated array of strings into the plan's memory, as
// execve wants its argument and environment lists.
func (p *Plan) Vector(list []string) Arg {
	first := len(p.Mem)
	for _, s := range list {
		p.Str(s)
	}
	p.align()
	off := len(p.Data)
	p.Data = append(p.Data, make([]byte, 8*(len(list)+1))...)
	for i := range list {
		p.Relocs = append(p.Relocs, Reloc{int32(off + 8*i), int32(first + i)})
	}
	return p.piece(off, 8*(len(list)+1), MemVector)
}

// Pointer makes the 8 bytes at offset off of the memory piece in hold the
// address of the piece to.
func (p *Plan) Pointer(in Arg, off int, to Arg) {
	p.Relocs = append(p.Relocs, Reloc{p.Mem[in.val].Off + int32(off), int32(to.val)})
}
