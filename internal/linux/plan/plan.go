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
	"syscall"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Slot names a value that a call of the plan produces. The zero Slot is none.
type Slot uint16

// Unset is the value of a slot before a call sets it. It is neither a
// descriptor nor an errno (those end at -4095), so calls that use it by
// mistake get EBADF and no condition is met.
const Unset = -4096

// argKind tells how an operand's value is to be read.
type argKind uint8

const (
	immediate argKind = iota
	memory            // val is an index into Plan.Mem
	slotValue         // val is a Slot
)

// Arg is one operand of a system call.
type Arg struct {
	val  uint64
	kind argKind
}

// Int is an operand that is a plain number: a flag set, a length, a constant
// descriptor such as AT_FDCWD.
func Int[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr | ~uint16 | ~uint8](n T) Arg {
	return Arg{uint64(n), immediate}
}

// Arg makes s usable as an operand.
func (s Slot) Arg() Arg { return Arg{uint64(s), slotValue} }

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

// AnyErrno as the first errno of OK tolerates every errno.
const AnyErrno = syscall.Errno(0xffff)

// Store is a pseudo system call: it writes the low 32 bits of operand 1 to
// the memory that operand 0 points at. It fills a descriptor into a
// structure, for instance a control message.
const Store = 0xffff0001

// Load is a pseudo system call: its result is the 32 bits of memory that
// operand 0 points at. It picks a field out of what an earlier call filled
// in, for instance a file's mode.
const Load = 0xffff0002

// Op is one system call. Plans hold hundreds of them, and a page fault costs
// more than ten calls: the struct is packed.
type Op struct {
	Nr   uint32 // the call's number on this architecture, or Store
	Step uint8  // index into Plan.Steps
	N    uint8  // operands in use
	Cond Cond   // whether the op runs at all
	Fork bool   // the call forks: its new process goes on with the ops, the caller ends
	Out  Slot   // receives the result, also a tolerated -errno
	On   Slot   // what Cond looks at

	OK    [4]uint16  // errnos that count as success
	kinds [6]argKind // of args
	want  int32      // the one result that is success, if ≥ 0
	args  [6]uint64
	Note  string // what the user would call this: "mount /data"

	// Do, in a host op, is done instead of a system call.
	Do *Action
}

// Action is what a host op does where a loop, or a text known only at run
// time, is inherent.
type Action struct {
	Run  func(Slots) error
	Text func() []string // what it does, a line for each call; for printing only
}

// Arg returns operand i.
func (o *Op) Arg(i int) Arg { return Arg{o.args[i], o.kinds[i]} }

// Want returns the only result that counts as success, if there is one.
func (o *Op) Want() (result int64, ok bool) { return int64(o.want), o.want >= 0 }

// Tolerates reports whether errno counts as success.
func (o *Op) Tolerates(errno syscall.Errno) bool {
	if o.OK[0] == uint16(AnyErrno) {
		return true
	}
	for _, ok := range o.OK {
		if ok != 0 && ok == uint16(errno) {
			return true
		}
	}
	return false
}

// Slots gives the functions of host ops access to slot values.
type Slots interface {
	Get(Slot) int
	Set(Slot, int)
}

type slotInfo struct {
	name  string
	given int32 // value of a given slot, else Unset
	host  bool  // set by a host op, or given
}

// Plan is the whole of a start. Build it with its methods, in order.
type Plan struct {
	Steps  []string
	Host   []Op
	Child  []Op
	Data   []byte
	Mem    []Mem
	Relocs []Reloc

	Flags  uint64 // CLONE_NEW*, for clone3
	Cgroup Slot   // directory for CLONE_INTO_CGROUP, if not 0

	slots  []slotInfo
	note   string
	forked Arg // where the kernel writes the pid of the process that a Fork op makes
	err    error
}

// New returns an empty plan with room for the calls of an ordinary container,
// of which there are about 400.
func New() *Plan {
	return &Plan{
		Steps: make([]string, 0, 64),
		slots: make([]slotInfo, 1, 288),
		Child: make([]Op, 0, 448),
		Host:  make([]Op, 0, 64),
		Data:  make([]byte, 0, 24<<10),
		Mem:   make([]Mem, 0, 768),
	}
}

// Err returns the first mistake made in building the plan, such as a string
// with a NUL byte in it. Spawn refuses a plan that has one.
func (p *Plan) Err() error { return p.err }

func (p *Plan) invalid(format string, args ...any) {
	if p.err == nil {
		p.err = fault.New(fault.Invalid, format, args...)
	}
}

// Begin names the step that the following ops belong to, of which a plan has
// 255 at most.
func (p *Plan) Begin(step string) {
	if len(p.Steps) == 255 {
		p.invalid("plan: more than 255 steps")
		return
	}
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

// Given makes a slot for a descriptor that exists already, such as standard
// input. It survives op 0 and is closed by exec whatever its flags say. In a
// plan that is only printed, value may be -1.
func (p *Plan) Given(name string, value int) Slot {
	return p.newSlot(name, true, int32(value))
}

// HostSlot makes a slot that a host op fills by Slots.Set, whose owner closes
// it.
func (p *Plan) HostSlot(name string) Slot { return p.newSlot(name, true, Unset) }

func (p *Plan) newSlot(name string, host bool, value int32) Slot {
	if len(p.slots) > 0xffff {
		p.invalid("plan: more than %d slots", 0xffff)
		return 0
	}
	p.slots = append(p.slots, slotInfo{name, value, host})
	return Slot(len(p.slots) - 1)
}

// Slots returns how many slot values an executor needs, including slot 0.
func (p *Plan) Slots() int { return len(p.slots) }

// Initial returns the value of s before the first op: that of Given, or
// Unset.
func (p *Plan) Initial(s Slot) int { return int(p.slots[s].given) }

// SlotName returns the name that s prints as.
func (p *Plan) SlotName(s Slot) string { return p.slots[s].name }

// Kept returns the slots known before the clone that the child's ops use:
// the descriptors that must survive op 0. Order is that of first use.
func (p *Plan) Kept() []Slot {
	seen := make([]bool, len(p.slots))
	var out []Slot
	for i := range p.Child {
		op := &p.Child[i]
		for n, k := range op.kinds {
			if k != slotValue {
				continue
			}
			if s := op.args[n]; p.slots[s].host && !seen[s] {
				seen[s] = true
				out = append(out, Slot(s))
			}
		}
	}
	return out
}

// Forked returns the memory that holds, once a Fork op has run, the pid of
// the process that went on.
func (p *Plan) Forked() (mem int, ok bool) { return p.forked.Memory() }

// Opt changes an op as it is added. The zero Opt changes nothing.
type Opt struct {
	apply  optKind
	cond   Cond
	slot   Slot
	want   int32
	errnos [4]uint16
}

type optKind uint8

const (
	optOK optKind = iota + 1
	optWant
	optWhen
	optOut
	optFork
)

// OK tolerates the given errnos, four at most.
func OK(errnos ...syscall.Errno) Opt {
	o := Opt{apply: optOK}
	for i, no := range errnos {
		if i == len(o.errnos) {
			o.want = -1 // reported by add
			break
		}
		o.errnos[i] = uint16(no)
	}
	return o
}

// Want makes every result but n a failure: EPIPE if the call was to read or
// write, else EINVAL.
func Want[T ~int | ~int64](n T) Opt { return Opt{apply: optWant, want: int32(n)} }

// When makes the op depend on slot s.
func When(c Cond, s Slot) Opt { return Opt{apply: optWhen, cond: c, slot: s} }

// Out keeps the result, a descriptor, in s.
func Out(s Slot) Opt { return Opt{apply: optOut, slot: s} }

// Side is the list that a call belongs to.
type Side bool

// The sides.
const (
	OnHost  Side = true
	InChild Side = false
)

// Call appends one system call.
func (p *Plan) Call(side Side, nr uintptr, args []Arg, opts ...Opt) {
	p.call(side, nr, args, opts)
}

func (p *Plan) call(side Side, nr uintptr, args []Arg, opts []Opt) *Op {
	list := &p.Child
	if side == OnHost {
		list = &p.Host
	}
	*list = append(*list, Op{Nr: uint32(nr), Step: p.step(), want: -1, N: uint8(min(len(args), 6)), Note: p.note})
	op := &(*list)[len(*list)-1]
	if len(args) > len(op.args) {
		p.invalid("plan: call with %d operands", len(args))
		args = args[:len(op.args)]
	}
	for i, a := range args {
		op.args[i], op.kinds[i] = a.val, a.kind
	}
	for i := range opts {
		o := &opts[i]
		switch o.apply {
		case optOK:
			op.OK = o.errnos
			if o.want < 0 {
				p.invalid("plan: more than four errnos")
			}
		case optWant:
			op.want = o.want
		case optWhen:
			op.Cond, op.On = o.cond, o.slot
		case optOut:
			op.Out = o.slot
		case optFork:
			op.Fork = true
		}
	}
	return op
}

// Open appends a call whose result is a descriptor and returns its slot.
// Name is how the slot prints.
func (p *Plan) Open(side Side, name string, nr uintptr, args []Arg, opts ...Opt) Slot {
	s := p.newSlot(name, bool(side), Unset)
	p.call(side, nr, args, opts).Out = s
	return s
}

// Do appends a host action that is more than one system call.
func (p *Plan) Do(text func() []string, fn func(Slots) error) {
	p.Host = append(p.Host, Op{Step: p.step(), want: -1, Do: &Action{fn, text}, Note: p.note})
}

// Text is a fixed text for Do.
func Text(lines ...string) func() []string { return func() []string { return lines } }

// StepName returns the name of the step that op belongs to.
func (p *Plan) StepName(op *Op) string { return p.Steps[op.Step] }
