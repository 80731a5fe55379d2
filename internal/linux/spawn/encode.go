package spawn

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// The arena is one MAP_SHARED mapping that parent and child both see:
//
//	0    progress: the index of the op that the child runs
//	8    errno of the op that failed, else 0
//	16   number of ops
//	24   address of the first op
//	32   address of the slot values
//	40   pidfd, written by clone3
//	48   zeros: the default struct sigaction
//	80   slot values, 8 bytes each
//	     ops, opSize bytes each
//	     memory that ops point at
//
// One op, little-endian:
//
//	0    number of the system call          u32
//	4    slot that takes the result, or 0   u16
//	6    bit i: operand i is a slot         u8
//	7    1 IfOK, 2 IfErr, 4 want, 8 fork    u8
//	8    slot that the condition looks at   u16
//	12   low half of the result             i32
//	16   four tolerated errnos              4 × u16
//	24   wanted result                      i64
//	32   operands                           6 × u64
const (
	hdrProgress = 0
	hdrErrno    = 8
	hdrCount    = 16
	hdrOps      = 24
	hdrSlots    = 32
	hdrPidfd    = 40
	hdrZeros    = 48
	hdrSize     = 80
	opSize      = 80

	flagIfOK  = 1
	flagIfErr = 2
	flagWant  = 4
	flagFork  = 8
)

type arena struct {
	mem  []byte
	base uintptr
	ops  int // offset of the first op
	data int // offset of the plan's memory
}

// newArena maps an arena for p with room for more ops in front of the
// plan's, and copies the plan's memory into it with its pointers resolved. It
// lies in file, or with -1 in memory that only children see.
func newArena(p *plan.Plan, more, file int) (*arena, error) {
	a := &arena{ops: hdrSize + 8*p.Slots()}
	a.data = a.ops + opSize*(len(p.Child)+more)
	size := a.data + len(p.Data)
	// Populating is one fault instead of one a page.
	flags := unix.MAP_SHARED | unix.MAP_POPULATE
	if file < 0 {
		flags |= unix.MAP_ANONYMOUS
	} else if err := unix.Ftruncate(file, int64(size)); err != nil {
		return nil, fmt.Errorf("make room for the plan: %w", err)
	}
	mem, err := unix.Mmap(file, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, fmt.Errorf("map the plan: %w", err)
	}
	a.mem = mem
	a.base = uintptr(unsafe.Pointer(&mem[0]))
	copy(mem[a.data:], p.Data)
	for _, r := range p.Relocs {
		a.put64(a.data+int(r.At), uint64(a.addr(p, int(r.To))))
	}
	for s := 1; s < p.Slots(); s++ {
		a.set(plan.Slot(s), int64(p.Initial(plan.Slot(s))))
	}
	return a, nil
}

func (a *arena) unmap() {
	if a.mem != nil {
		_ = unix.Munmap(a.mem) // nothing can be done about it
		a.mem = nil
	}
}

func (a *arena) addr(p *plan.Plan, mem int) uintptr {
	return a.base + uintptr(a.data) + uintptr(p.Mem[mem].Off)
}

func (a *arena) put64(off int, v uint64)  { binary.LittleEndian.PutUint64(a.mem[off:], v) }
func (a *arena) get64(off int) uint64     { return binary.LittleEndian.Uint64(a.mem[off:]) }
func (a *arena) slot(s plan.Slot) int64   { return int64(a.get64(hdrSize + 8*int(s))) }
func (a *arena) set(s plan.Slot, v int64) { a.put64(hdrSize+8*int(s), uint64(v)) }

// store does a plan.Store op: at is an address inside the arena.
func (a *arena) store(at uintptr, v uint32) {
	binary.LittleEndian.PutUint32(a.mem[at-a.base:], v)
}

// load does a plan.Load op.
func (a *arena) load(at uintptr) uint32 { return binary.LittleEndian.Uint32(a.mem[at-a.base:]) }

// ret returns the result of op i as the child saw it, -errno included.
func (a *arena) ret(i int) int32 {
	return int32(binary.LittleEndian.Uint32(a.mem[a.ops+opSize*i+12:]))
}

// operand returns the number that stands for arg in a system call, and
// whether it is a slot's index rather than a value.
func (a *arena) operand(p *plan.Plan, arg plan.Arg) (v uint64, slot bool) {
	if s, ok := arg.Slot(); ok {
		return uint64(s), true
	}
	if m, ok := arg.Memory(); ok {
		return uint64(a.addr(p, m)), false
	}
	return arg.Value(), false
}

// encode writes the ops into the arena, first those of first.
func (a *arena) encode(p *plan.Plan, first []plan.Op) {
	off := a.ops
	for _, list := range [2][]plan.Op{first, p.Child} {
		for i := range list {
			a.encodeOp(p, off, &list[i])
			off += opSize
		}
	}
	a.put64(hdrProgress, 0)
	a.put64(hdrErrno, 0)
	a.put64(hdrCount, uint64((off-a.ops)/opSize))
	a.put64(hdrOps, uint64(a.base)+uint64(a.ops))
	a.put64(hdrSlots, uint64(a.base)+hdrSize)
}

func (a *arena) encodeOp(p *plan.Plan, off int, op *plan.Op) {
	var mask, flags byte
	for i := range int(op.N) {
		v, slot := a.operand(p, op.Arg(i))
		if slot {
			mask |= 1 << i
		}
		a.put64(off+32+8*i, v)
	}
	switch op.Cond {
	case plan.Always:
	case plan.IfOK:
		flags |= flagIfOK
	case plan.IfErr:
		flags |= flagIfErr
	}
	if want, ok := op.Want(); ok {
		flags |= flagWant
		a.put64(off+24, uint64(want))
	}
	if op.Fork {
		flags |= flagFork
	}
	le := binary.LittleEndian
	le.PutUint32(a.mem[off:], op.Nr)
	le.PutUint16(a.mem[off+4:], uint16(op.Out))
	a.mem[off+6], a.mem[off+7] = mask, flags
	le.PutUint16(a.mem[off+8:], uint16(op.On))
	for i, no := range op.OK {
		le.PutUint16(a.mem[off+16+2*i:], no)
	}
}
