package plan

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKept(t *testing.T) {
	p := New()
	a, b, c := p.Given("a", 5), p.HostSlot("b"), p.Openat2(OnHost, "c", CWD, "/", 0, 0, 0)
	unused := p.Given("unused", 6)
	p.Close(OnHost, unused.Arg())
	mine := p.Openat2(InChild, "mine", c.Arg(), "x", 0, 0, 0)
	p.StoreSlot(InChild, p.Words(MemBytes, 0), 0, b)
	p.Call(InChild, unix.SYS_DUP3, []Arg{a.Arg(), mine.Arg(), Int(0)}, When(IfOK, unused))
	p.Close(InChild, c.Arg())
	if got, want := p.Kept(), []Slot{c, b, a}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

func TestSlotValues(t *testing.T) {
	p := New()
	given, host := p.Given("g", 5), p.HostSlot("h")
	open := p.Openat2(InChild, "o", CWD, "/", 0, 0, 0)
	for _, tt := range []struct {
		s    Slot
		want int
	}{{given, 5}, {host, Unset}, {open, Unset}} {
		if got := p.Initial(tt.s); got != tt.want {
			t.Errorf("slot %s starts as %d, want %d", p.SlotName(tt.s), got, tt.want)
		}
	}
	if p.Slots() != 4 {
		t.Errorf("%d slots, want 4 with slot 0", p.Slots())
	}
}

// Memory is laid out as the kernel wants it.
func TestMemory(t *testing.T) {
	p := New()
	p.Str("odd")
	for _, a := range []Arg{p.Bytes([]byte{1}), p.Words(MemRlimit, 1, 2), p.IDs([]uint32{1}), p.Vector([]string{"a", "b"}), p.Program(make([]unix.SockFilter, 3))} {
		m, ok := a.Memory()
		if !ok || p.Mem[m].Off%8 != 0 {
			t.Errorf("memory %d is not aligned", m)
		}
		p.Str("odd")
	}
	for _, m := range p.Mem {
		if m.Kind == MemString && p.Data[m.Off+m.Len] != 0 {
			t.Errorf("string at %d has no end", m.Off)
		}
	}
	vec := p.Mem[slices.IndexFunc(p.Mem, func(m Mem) bool { return m.Kind == MemVector })]
	if vec.Len != 3*8 {
		t.Errorf("a vector of two strings has %d bytes, want two pointers and a NULL", vec.Len)
	}
	var at []int32
	for _, r := range p.Relocs {
		if r.At >= vec.Off && r.At < vec.Off+vec.Len {
			at = append(at, r.At-vec.Off)
		}
	}
	if !slices.Equal(at, []int32{0, 8}) {
		t.Errorf("pointers of the vector at %v", at)
	}
	prog := p.Mem[slices.IndexFunc(p.Mem, func(m Mem) bool { return m.Kind == MemProgram })]
	if prog.Len != 16 || p.Data[prog.Off] != 3 {
		t.Errorf("sock_fprog is %x", p.Data[prog.Off:prog.Off+prog.Len])
	}
}

func TestTolerates(t *testing.T) {
	for _, tt := range []struct {
		ok       []unix.Errno
		errno    unix.Errno
		tolerate bool
	}{
		{nil, unix.ENOENT, false},
		{nil, 0, false},
		{[]unix.Errno{unix.ENOENT, unix.EEXIST, unix.EPERM, unix.ESRCH}, unix.ESRCH, true},
		{[]unix.Errno{unix.ENOENT}, unix.EPERM, false},
		{[]unix.Errno{AnyErrno}, unix.EPERM, true},
	} {
		p := New()
		p.Call(InChild, unix.SYS_SETSID, nil, OK(tt.ok...))
		if got := p.Child[0].Tolerates(tt.errno); got != tt.tolerate {
			t.Errorf("OK(%v) tolerates %v: %v", tt.ok, tt.errno, got)
		}
	}
}

// Mistakes are kept until somebody asks; the first one counts.
func TestErr(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build func(*Plan)
		want  string
	}{
		{"good", func(p *Plan) { p.Str("a") }, ""},
		{"NUL in a string", func(p *Plan) { p.Mkdirat(InChild, CWD, "/data\x00/x", 0) }, `string "/data\x00/x": has a NUL byte`},
		{"NUL in an argument", func(p *Plan) { p.Exec([]string{"/bin/x"}, []string{"a\x00"}, nil) }, `string "a\x00": has a NUL byte`},
		{"NUL in a text to write", func(p *Plan) { p.Write(InChild, CWD, "a\x00") }, ""},
		{"five errnos", func(p *Plan) { p.Call(InChild, 0, nil, OK(1, 2, 3, 4, 5)) }, "plan: more than four errnos"},
		{"seven operands", func(p *Plan) { p.Call(InChild, 0, make([]Arg, 7)) }, "plan: call with 7 operands"},
		{"two forks", func(p *Plan) { p.Fork(); p.Fork() }, "plan: more than one fork"},
		{"too many steps", func(p *Plan) {
			for range 256 {
				p.Begin("x")
			}
		}, "plan: more than 255 steps"},
		{"too many slots", func(p *Plan) {
			for range 1 << 16 {
				p.HostSlot("x")
			}
		}, "plan: more than 65535 slots"},
		{"too long a filter", func(p *Plan) { p.Program(make([]unix.SockFilter, 4097)) }, "BPF program: 4097 instructions, the kernel takes 4096"},
	} {
		p := New()
		tt.build(p)
		p.Str("later\x00")
		got := ""
		if err := p.Err(); err != nil && !strings.Contains(err.Error(), "later") {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
