// Package plan describes what a container start does, as data.
//
// A [Plan] is two flat lists of system calls: those that the engine makes
// before it clones (Host) and those that the child makes between clone3 and
// execve (Child). An operand is a number, a piece of memory that the plan
// owns, or a slot: a value that is known only when an earlier call has
// returned, such as a file descriptor. Nothing here touches the kernel;
// package spawn executes plans and [Plan.Format] prints them.
package plan

import (
	"encoding/binary"
	"strings"
	"syscall"
)

// Slot names a value that a call of the plan produces. The zero Slot is none.
type Slot uint16

// argKind tells how an operand's value is to be read.
type argKind uint8

const (
	immediate argKind = iota
	memory            // val is an index into Plan.Mem
	slotValue         // val is a Slot
)

// Arg is one operand of a system call.
type Arg struct {
	kind argKind
	val  uint64
}

// Int is an operand that is a plain number: a flag set, a length, a constant
// descriptor such as AT_FDCWD.
func Int[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr | ~uint16 | ~uint8](n T) Arg {
	return Arg{immediate, uint64(n)}
}

// Arg makes s usable as an operand.
func (s Slot) Arg() Arg { return Arg{slotValue, uint64(s)} }

// Slot returns the slot that a refers to, if it is one.
func (a Arg) Slot() (Slot, bool) { return Slot(a.val), a.kind == slotValue }

// Memory returns the index in Plan.Mem that a refers to, if it points there.
func (a Arg) Memory() (int, bool) { return int(a.val), a.kind == memory }

// Value returns the number of an immediate operand.
func (a Arg) Value() uint64 { return a.val }

// Cond makes an operation depend on a slot.
type Cond uint8

// The conditions. A slot that no call has set meets neither.
const (
	Always Cond = iota
	IfOK        // only when the slot holds a descriptor (> 0)
	IfErr       // only when the slot holds a negative errno
)

// AnyErrno in Op.OK tolerates every errno.
const AnyErrno = syscall.Errno(0xffff)

// Store is a pseudo system call of the child: it writes the low 32 bits of
// operand 1 to the memory that operand 0 points at. It fills a descriptor
// into a structure, for instance a control message.
const Store = 0xffff0001

// Op is one system call.
type Op struct {
	Nr   uint32           // the call's number on this architecture, or Store
	Step uint8            // index into Plan.Steps
	Out  Slot             // receives the result, also a tolerated -errno
	Cond Cond             // whether the op runs at all
	On   Slot             // what Cond looks at
	Want int64            // the one result that is success, if ≥ 0
	Fork bool             // the call forks: its new process goes on with the ops, the caller ends
	OK   [4]syscall.Errno // errnos that count as success
	Args [6]Arg
	N    uint8  // operands in use, for printing
	Note string // what the user would call this: "mount /data"

	// Do, in a host op, is done instead of a system call, where a loop or a
	// text known only at run time is inherent (Nr is unused). Text prints
	// what it does, one line for each call.
	Do   func(Slots) error
	Text []string
}

// Slots gives the functions of host ops access to slot values.
type Slots interface {
	Get(Slot) int
	Set(Slot, int)
}

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
)

// Mem is one piece of memory that calls point at: a string, a structure.
type Mem struct {
	Off, Len int // in Plan.Data
	Kind     MemKind
}

// Reloc is a pointer inside the memory: the address of Mem[To] belongs at
// offset At of Plan.Data.
type Reloc struct{ At, To int }

type slotInfo struct {
	name  string
	host  bool // set by a host op, or given
	fd    bool
	given int // value of a given slot, else -1
}

// Plan is the whole of a start. Build it with its methods, in order.
type Plan struct {
	Steps  []string
	Host   []Op
	Child  []Op
	Data   []byte
	Mem    []Mem
	Relocs []Reloc

	slots []slotInfo
	note  string
}

// New returns an empty plan.
func New() *Plan {
	return &Plan{
		slots: make([]slotInfo, 1, 96),
		Child: make([]Op, 0, 256),
		Host:  make([]Op, 0, 96),
		Data:  make([]byte, 0, 16<<10),
		Mem:   make([]Mem, 0, 256),
	}
}

// Begin names the step that the following ops belong to.
func (p *Plan) Begin(step string) {
	p.Steps = append(p.Steps, step)
	p.note = ""
}

// Note says in the user's words what the following ops of the step do:
// "mount /data". Errors start with it.
func (p *Plan) Note(text string) { p.note = text }

func (p *Plan) step() uint8 {
	if len(p.Steps) == 0 {
		p.Begin("")
	}
	return uint8(len(p.Steps) - 1)
}

// Given makes a slot for a descriptor or number that exists already, such as
// standard input. In a plan that is only printed, value may be -1.
func (p *Plan) Given(name string, value int) Slot {
	p.slots = append(p.slots, slotInfo{name: name, host: true, fd: true, given: value})
	return Slot(len(p.slots) - 1)
}

// HostSlot makes a slot that a host op fills by Slots.Set.
func (p *Plan) HostSlot(name string) Slot {
	p.slots = append(p.slots, slotInfo{name: name, host: true, fd: true, given: -1})
	return Slot(len(p.slots) - 1)
}

func (p *Plan) newSlot(name string, host bool) Slot {
	p.slots = append(p.slots, slotInfo{name: name, host: host, fd: true, given: -1})
	return Slot(len(p.slots) - 1)
}

// Slots returns how many slot values an executor needs, including slot 0.
func (p *Plan) Slots() int { return len(p.slots) }

// GivenValue returns the value of a slot made by Given, or -1.
func (p *Plan) GivenValue(s Slot) int { return p.slots[s].given }

// IsHost reports whether s is known before the clone.
func (p *Plan) IsHost(s Slot) bool { return p.slots[s].host }

// SlotName returns the name that s prints as.
func (p *Plan) SlotName(s Slot) string { return p.slots[s].name }

// Kept returns the slots known before the clone that the child's ops use:
// the descriptors that must survive op 0. Order is that of first use.
func (p *Plan) Kept() []Slot {
	seen := make([]bool, len(p.slots))
	var out []Slot
	for i := range p.Child {
		for _, a := range p.Child[i].Args {
			if s, ok := a.Slot(); ok && p.slots[s].host && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

func (p *Plan) add(b []byte, kind MemKind, align int) Arg {
	for len(p.Data)%align != 0 {
		p.Data = append(p.Data, 0)
	}
	p.Mem = append(p.Mem, Mem{Off: len(p.Data), Len: len(b), Kind: kind})
	p.Data = append(p.Data, b...)
	return Arg{memory, uint64(len(p.Mem) - 1)}
}

// Str puts s, with its terminating NUL, into the plan's memory.
func (p *Plan) Str(s string) Arg {
	p.Mem = append(p.Mem, Mem{Off: len(p.Data), Len: len(s), Kind: MemString})
	p.Data = append(p.Data, s...)
	p.Data = append(p.Data, 0)
	return Arg{memory, uint64(len(p.Mem) - 1)}
}

// Bytes puts b into the plan's memory, 8-byte aligned.
func (p *Plan) Bytes(b []byte) Arg { return p.add(b, MemBytes, 8) }

// Words puts little-endian 64-bit words into the plan's memory.
func (p *Plan) Words(kind MemKind, w ...uint64) Arg {
	for len(p.Data)%8 != 0 {
		p.Data = append(p.Data, 0)
	}
	p.Mem = append(p.Mem, Mem{Off: len(p.Data), Len: 8 * len(w), Kind: kind})
	for _, x := range w {
		p.Data = binary.LittleEndian.AppendUint64(p.Data, x)
	}
	return Arg{memory, uint64(len(p.Mem) - 1)}
}

// IDs puts an array of user or group ids into the plan's memory.
func (p *Plan) IDs(ids []uint32) Arg {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return p.add(b, MemIDs, 4)
}

// Vector puts a NULL-terminated array of strings into the plan's memory, as
// execve wants its argument and environment lists. A string with a NUL in it
// ends there for the kernel; callers refuse such strings.
func (p *Plan) Vector(list []string) Arg {
	ptrs := make([]int, len(list))
	for i, s := range list {
		ptrs[i] = int(p.Str(s).val)
	}
	vec := p.add(make([]byte, 8*(len(list)+1)), MemVector, 8)
	off := p.Mem[vec.val].Off
	for i, to := range ptrs {
		p.Relocs = append(p.Relocs, Reloc{At: off + 8*i, To: to})
	}
	return vec
}

// Pointer makes the 8 bytes at offset off of the memory piece in hold the
// address of the piece to.
func (p *Plan) Pointer(in Arg, off int, to Arg) {
	p.Relocs = append(p.Relocs, Reloc{At: p.Mem[in.val].Off + off, To: int(to.val)})
}

// Opt changes an op as it is added.
type Opt func(*Op)

// OK tolerates the given errnos, four at most.
func OK(errnos ...syscall.Errno) Opt {
	return func(o *Op) { copy(o.OK[:], errnos) }
}

// Want makes every result but n a failure (reported as EPIPE).
func Want(n int64) Opt { return func(o *Op) { o.Want = n } }

// When makes the op depend on slot s.
func When(c Cond, s Slot) Opt { return func(o *Op) { o.Cond, o.On = c, s } }

// Out keeps the result in s.
func Out(s Slot) Opt { return func(o *Op) { o.Out = s } }

// Side is the list that a call belongs to.
type Side bool

// The sides.
const (
	OnHost  Side = true
	InChild Side = false
)

// Call appends one system call.
func (p *Plan) Call(side Side, nr uintptr, args []Arg, opts ...Opt) {
	op := Op{Nr: uint32(nr), Step: p.step(), Want: -1, N: uint8(len(args)), Note: p.note}
	copy(op.Args[:], args)
	for _, o := range opts {
		o(&op)
	}
	if side == OnHost {
		p.Host = append(p.Host, op)
	} else {
		p.Child = append(p.Child, op)
	}
}

// Open appends a call whose result is a descriptor and returns its slot.
// Name is how the slot prints.
func (p *Plan) Open(side Side, name string, nr uintptr, args []Arg, opts ...Opt) Slot {
	s := p.newSlot(name, bool(side))
	p.Call(side, nr, args, append(opts, Out(s))...)
	return s
}

// Do appends a host action that is more than one system call.
func (p *Plan) Do(text []string, fn func(Slots) error) {
	p.Host = append(p.Host, Op{Step: p.step(), Want: -1, Do: fn, Text: text, Note: p.note})
}

// StepName returns the name of the step that op belongs to.
func (p *Plan) StepName(op *Op) string { return p.Steps[op.Step] }

// String returns the text of memory piece i when it is a string.
func (p *Plan) memString(i int) string {
	m := p.Mem[i]
	s := string(p.Data[m.Off : m.Off+m.Len])
	return strings.TrimRight(s, "\x00")
}
