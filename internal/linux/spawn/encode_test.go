package spawn

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

func TestEncode(t *testing.T) {
	p := plan.New()
	p.Begin("test")
	given, host := p.Given("given", 42), p.HostSlot("host")
	vec := p.Vector([]string{"one", "two"})
	how := p.Openat2(plan.InChild, "child", given.Arg(), "path", unix.O_PATH, 0, 0,
		plan.OK(unix.ENOENT, unix.EACCES), plan.When(plan.IfErr, host))
	p.Call(plan.InChild, unix.SYS_EXECVE, []plan.Arg{plan.Int(-1), vec, how.Arg()}, plan.Want(1<<30))
	p.StoreSlot(plan.InChild, vec, 4, host)
	p.Fork()

	first := firstOps([]uint32{0, 1, 2, 9}, 0x1000)
	a, err := newArena(p, len(first), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.unmap()
	a.encode(p, first)

	for s, want := range map[plan.Slot]int64{given: 42, host: plan.Unset, how: plan.Unset} {
		if got := a.slot(s); got != want {
			t.Errorf("slot %s is %d, want %d", p.SlotName(s), got, want)
		}
	}
	if got, want := int(a.get64(hdrCount)), len(first)+4; got != want {
		t.Errorf("%d ops, want %d", got, want)
	}
	if got := uintptr(a.get64(hdrOps)); got != a.base+uintptr(a.ops) {
		t.Errorf("ops at %#x", got)
	}
	if got := uintptr(a.get64(hdrSlots)); got != a.base+hdrSize {
		t.Errorf("slots at %#x", got)
	}

	// Pointers lead to what they should.
	at := func(addr uint64) []byte { return a.mem[uintptr(addr)-a.base:] }
	text := func(addr uint64) string {
		b := at(addr)
		return string(b[:slices.Index(b, 0)])
	}
	op := func(i int) []byte { return a.mem[a.ops+opSize*(len(first)+i):][:opSize] }
	le := binary.LittleEndian
	arg := func(op []byte, n int) uint64 { return le.Uint64(op[32+8*n:]) }

	open := op(0)
	if nr, out, mask, flags, on := le.Uint32(open), le.Uint16(open[4:]), open[6], open[7], le.Uint16(open[8:]); nr != unix.SYS_OPENAT2 ||
		out != uint16(how) || mask != 1 || flags != flagIfErr || on != uint16(host) {
		t.Errorf("openat2: nr %d out %d mask %b flags %b on %d", nr, out, mask, flags, on)
	}
	if ok := open[16:24]; le.Uint16(ok) != uint16(unix.ENOENT) || le.Uint16(ok[2:]) != uint16(unix.EACCES) || le.Uint32(ok[4:]) != 0 {
		t.Errorf("openat2: tolerates %x", ok)
	}
	if arg(open, 0) != uint64(given) || text(arg(open, 1)) != "path" || le.Uint64(at(arg(open, 2))) != unix.O_PATH|unix.O_CLOEXEC || arg(open, 3) != 24 {
		t.Errorf("openat2: operands %x", open[32:])
	}

	exec := op(1)
	v := at(arg(exec, 1))
	if text(le.Uint64(v)) != "one" || text(le.Uint64(v[8:])) != "two" || le.Uint64(v[16:]) != 0 {
		t.Errorf("execve: vector %x", v[:24])
	}
	if arg(exec, 0) != ^uint64(0) || exec[6] != 1<<2 || exec[7] != flagWant || le.Uint64(exec[24:]) != 1<<30 {
		t.Errorf("execve: %x", exec)
	}

	store := op(2)
	if le.Uint32(store) != plan.Store || arg(store, 0) != arg(exec, 1)+4 || store[6] != 1<<1 {
		t.Errorf("store: %x", store)
	}

	fork := op(3)
	mem, _ := p.Forked()
	if fork[7] != flagFork || le.Uint64(at(arg(fork, 0)+24)) != uint64(a.addr(p, mem)) {
		t.Errorf("fork: %x", fork)
	}
}

// Op 0 closes exactly what is not kept.
func TestFirstOps(t *testing.T) {
	for _, tt := range []struct {
		keep []uint32
		want [][2]uint64
	}{
		{[]uint32{0, 1, 2, 3}, [][2]uint64{{4, 1<<32 - 1}}},
		{[]uint32{9, 2, 0, 1, 7, 9, 2}, [][2]uint64{{3, 6}, {8, 8}, {10, 1<<32 - 1}}},
	} {
		ops := firstOps(slices.Clone(tt.keep), 0)
		if len(ops) > maxFirst(len(tt.keep)-4) {
			t.Errorf("keep %v: %d ops, room for %d", tt.keep, len(ops), maxFirst(len(tt.keep)-4))
		}
		for i, w := range tt.want {
			if ops[i].Nr != unix.SYS_CLOSE_RANGE || ops[i].Arg(0).Value() != w[0] || ops[i].Arg(1).Value() != w[1] || ops[i].Arg(2).Value() != 0 {
				t.Errorf("keep %v: op %d is %+v", tt.keep, i, ops[i])
			}
		}
		if next := ops[len(tt.want)]; next.Arg(0).Value() != 3 || next.Arg(2).Value() != unix.CLOSE_RANGE_CLOEXEC {
			t.Errorf("keep %v: then %+v", tt.keep, next)
		}
	}
}
