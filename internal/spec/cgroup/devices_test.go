package cgroup

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// request is one access that the kernel asks about.
type request struct {
	kind         byte // 'b' or 'c'
	major, minor uint32
	access       uint8
}

// naive is what the rules mean: for each requested bit the last rule that
// covers it decides, and all bits have to be allowed.
func naive(rules []rule, q request) bool {
	for bit := uint8(1); bit <= accWrite; bit <<= 1 {
		allowed := q.access&bit == 0
		for _, r := range rules {
			hit := (r.kind == 'a' || r.kind == q.kind) && (r.major == anyNumber || uint32(r.major) == q.major) &&
				(r.minor == anyNumber || uint32(r.minor) == q.minor) && r.access&bit != 0
			if hit && q.access&bit != 0 {
				allowed = r.allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

// run interprets a program as the kernel would, from cilium/ebpf's decoding
// of it, so that our encoding is checked against theirs.
func run(t *testing.T, insns asm.Instructions, q request) bool {
	t.Helper()
	kind := uint32(2)
	if q.kind == 'b' {
		kind = 1
	}
	ctx := map[int16]uint32{0: uint32(q.access)<<16 | kind, 4: q.major, 8: q.minor}
	var reg [11]uint64
	for pc := 0; pc < len(insns); pc++ {
		i := insns[pc]
		imm := uint64(i.Constant)
		src := imm
		if i.OpCode.Class().IsJump() || i.OpCode.Class().IsALU() {
			if i.OpCode.Source() == asm.RegSource {
				src = reg[i.Src]
			}
		}
		switch {
		case i.OpCode == asm.LoadMemOp(asm.Word):
			if i.Src != asm.R1 {
				t.Fatalf("load from %v", i.Src)
			}
			reg[i.Dst] = uint64(ctx[i.Offset])
		case i.OpCode.Class() == asm.ALU64Class:
			f, ok := map[asm.ALUOp]func(d, s uint64) uint64{
				asm.Mov: func(_, s uint64) uint64 { return s },
				asm.And: func(d, s uint64) uint64 { return d & s },
				asm.RSh: func(d, s uint64) uint64 { return d >> s },
			}[i.OpCode.ALUOp()]
			if !ok {
				t.Fatalf("unknown %v", i)
			}
			reg[i.Dst] = f(reg[i.Dst], src)
		case i.OpCode.JumpOp() == asm.Exit:
			return reg[0] != 0
		case i.OpCode.Class() == asm.Jump32Class:
			equal := uint32(reg[i.Dst]) == uint32(src)
			op := i.OpCode.JumpOp()
			if op != asm.JEq && op != asm.JNE {
				t.Fatalf("unknown %v", i)
			}
			if equal == (op == asm.JEq) {
				pc += int(i.Offset)
			}
		default:
			t.Fatalf("unknown %v", i)
		}
	}
	t.Fatal("ran off the end")
	return false
}

func decode(t *testing.T, prog []uint64) asm.Instructions {
	t.Helper()
	raw := make([]byte, 0, 8*len(prog))
	for _, p := range prog {
		raw = binary.LittleEndian.AppendUint64(raw, p)
	}
	insns, err := asm.AppendInstructions(nil, strings.NewReader(string(raw)), binary.LittleEndian, "")
	if err != nil {
		t.Fatal(err)
	}
	return insns
}

// devcg is the kernel's v1 controller (security/device_cgroup.c): a default,
// and exceptions that only their exact opposite takes back.
type devcg struct {
	allow  bool
	except []rule
}

func (d *devcg) write(t *testing.T, w deviceWrite) {
	t.Helper()
	allow := w.file == "devices.allow"
	if w.value[0] == 'a' {
		d.allow, d.except = allow, nil
		return
	}
	var r rule
	var major, minor, access string
	if _, err := fmt.Sscanf(strings.ReplaceAll(w.value, ":", " "), "%c %s %s %s", &r.kind, &major, &minor, &access); err != nil {
		t.Fatalf("%q: %v", w.value, err)
	}
	for s, to := range map[*string]*int64{&major: &r.major, &minor: &r.minor} {
		*to = anyNumber
		if *s != "*" {
			if _, err := fmt.Sscan(*s, to); err != nil {
				t.Fatalf("%q: %v", w.value, err)
			}
		}
	}
	for i, c := range "mrw" {
		if strings.ContainsRune(access, c) {
			r.access |= 1 << i
		}
	}
	if allow == d.allow {
		t.Fatalf("%s %s: would take an exception back", w.file, w.value)
	}
	d.except = append(d.except, r)
}

func (d *devcg) permits(q request) bool {
	ask := rule{kind: q.kind, major: int64(q.major), minor: int64(q.minor), access: q.access}
	for _, e := range d.except {
		if d.allow && e.covers(ask) && e.access&q.access != 0 {
			return false // match_exception_partial
		}
		if !d.allow && e.grants(ask) {
			return true // match_exception
		}
	}
	return d.allow
}

// requests are all that small numbers can ask for.
func requests() []request {
	var out []request
	for _, kind := range []byte{'b', 'c'} {
		for _, major := range []uint32{0, 1, 2, 0xffffffff} {
			for _, minor := range []uint32{0, 1, 2, 0x80000000} {
				for access := uint8(1); access <= accAll; access++ {
					out = append(out, request{kind, major, minor, access})
				}
			}
		}
	}
	return out
}

func randomRules(r *rand.Rand) []specs.LinuxDeviceCgroup {
	number := func() *int64 {
		return []*int64{nil, ptr(int64(-1)), ptr(int64(0)), ptr(int64(1)), ptr(int64(2)), ptr(int64(0x80000000)), ptr(int64(0xffffffff))}[r.IntN(7)]
	}
	out := make([]specs.LinuxDeviceCgroup, r.IntN(8))
	for i := range out {
		out[i] = specs.LinuxDeviceCgroup{
			Allow: r.IntN(2) == 0, Type: []string{"", "a", "b", "c", "u"}[r.IntN(5)], Major: number(), Minor: number(),
			Access: []string{"", "r", "w", "m", "rw", "rm", "mw", "rwm"}[r.IntN(8)],
		}
	}
	return out
}

// TestDeviceRules plays random rules three ways: as they are meant, as a v2
// program, and through the v1 writes where those are possible.
func TestDeviceRules(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ask := requests()
	v1 := 0
	for range 1500 {
		in := randomRules(r)
		rules, err := parseRules(in)
		if err != nil {
			t.Fatal(err)
		}
		all := make([]rule, len(in)) // without parseRules' shortening
		for i := range in {
			if all[i], err = parseRule(&in[i]); err != nil {
				t.Fatal(err)
			}
		}
		insns := decode(t, deviceProgram(rules))
		var kernel *devcg
		writes, err := rulesV1(rules)
		if err == nil {
			kernel = &devcg{allow: true}
			for _, w := range writes {
				kernel.write(t, w)
			}
			v1++
		} else if fault.KindOf(err) != fault.Unsupported {
			t.Fatal(err)
		}
		for _, q := range ask {
			want := naive(all, q)
			if got := run(t, insns, q); got != want {
				t.Fatalf("rules %v, request %c %d:%d %b: v2 says %v, want %v\n%v", rules, q.kind, q.major, q.minor, q.access, got, want, insns)
			}
			if kernel != nil && kernel.permits(q) != want {
				t.Fatalf("rules %v, request %c %d:%d %b: v1 says %v, want %v\n%v", rules, q.kind, q.major, q.minor, q.access, !want, want, writes)
			}
		}
	}
	if v1 < 300 {
		t.Errorf("only %d rule lists could be given to v1", v1)
	}
}

func TestRulesV1(t *testing.T) {
	dev := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
	}
	for _, tt := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		want  string
	}{
		{"deny by default", []specs.LinuxDeviceCgroup{dev(true, "c", 1, 3, "rw")}, "deny a *:* rwm, allow c 1:3 rw"},
		{"last all wins", []specs.LinuxDeviceCgroup{dev(true, "c", 1, 3, "rw"), {Allow: true}}, "allow a *:* rwm"},
		{"both kinds", []specs.LinuxDeviceCgroup{dev(true, "a", 7, -1, "m")}, "deny a *:* rwm, allow b 7:* m, allow c 7:* m"},
		{"merged", []specs.LinuxDeviceCgroup{dev(true, "c", 1, 3, "r"), dev(true, "c", 1, 3, "w")}, "deny a *:* rwm, allow c 1:3 rw"},
		{"taken back", []specs.LinuxDeviceCgroup{dev(true, "c", 1, 3, "rw"), dev(false, "c", 1, -1, "w")}, "deny a *:* rwm, allow c 1:3 r"},
		{"widened", []specs.LinuxDeviceCgroup{dev(true, "c", -1, -1, "m"), dev(true, "c", 1, 3, "rw")}, "deny a *:* rwm, allow c *:* m, allow c 1:3 mrw"},
		{"from allow", []specs.LinuxDeviceCgroup{{Allow: true}, dev(false, "b", 8, -1, "w")}, "allow a *:* rwm, deny b 8:* w"},
		{"hole", []specs.LinuxDeviceCgroup{dev(true, "c", 1, -1, "rw"), dev(false, "c", 1, 3, "w")}, "use device rule c 1:3 w: cgroup v1 cannot make an exception from c 1:* rw"},
	} {
		rules, err := parseRules(tt.rules)
		if err != nil {
			t.Fatal(err)
		}
		writes, err := rulesV1(rules)
		var got []string
		for _, w := range writes {
			got = append(got, strings.TrimPrefix(w.file, "devices.")+" "+w.value)
		}
		if err != nil {
			got = []string{err.Error()}
		}
		want := tt.want
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %s\nwant %s", tt.name, s, want)
		}
	}
}

func TestParseRuleErrors(t *testing.T) {
	for _, d := range []specs.LinuxDeviceCgroup{
		{Type: "p"}, {Type: "cb"}, {Access: "x"}, {Access: "rwx"}, {Major: ptr(int64(-2))}, {Minor: ptr(int64(1 << 32))},
	} {
		if _, err := parseRules([]specs.LinuxDeviceCgroup{d}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v, want invalid", d, err)
		}
	}
}
