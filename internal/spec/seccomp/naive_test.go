package seccomp

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// naiveRule is a rule that applies to the call at hand.
type naiveRule struct {
	action uint32
	args   []specs.LinuxSeccompArg
}

// naive answers a call by reading the profile from top to bottom, for a
// machine of GOARCH amd64: what Compile's documentation says, in the slowest
// way. conditional is the number of rules with arguments for the call.
func naive(p *specs.LinuxSeccomp, d Data) (ret uint32, conditional int) {
	def := must(returnValue(p.DefaultAction, p.DefaultErrnoRet))
	var col column
	nr := d.Nr
	x32 := slices.Contains(p.Architectures, specs.ArchX32)
	switch {
	case d.Arch == unix.AUDIT_ARCH_X86_64 && nr&x32Bit == 0:
		col = colAMD64
	case d.Arch == unix.AUDIT_ARCH_X86_64 && x32:
		col, nr = colX32, nr&^x32Bit
	case d.Arch == unix.AUDIT_ARCH_X86_64 && nr == ^uint32(0):
		return def, 0
	case d.Arch == unix.AUDIT_ARCH_I386 && slices.Contains(p.Architectures, specs.ArchX86):
		col = col386
	default:
		return unix.SECCOMP_RET_KILL_THREAD, 0
	}

	var rules []naiveRule
	last := uint32(0)
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			i, ok := slices.BinarySearch(tableNames, name)
			if !ok {
				continue
			}
			act := must(returnValue(s.Action, s.ErrnoRet))
			if slot := callSlots[i][col]; slot != noSlot {
				last = max(last, uint32(slot))
				if uint32(slot) == nr && act != def {
					rules = appendRules(rules, act, s.Args)
				}
			}
			if m := uint64(callMux[i]); col == col386 && m != 0 {
				carrier := uint32(102)
				if m > 0x80 {
					carrier, m = 117, m-0x80
				}
				last = max(last, carrier)
				if carrier == nr && act != def {
					for _, r := range appendRules(nil, act, s.Args) {
						r.args = slices.DeleteFunc(slices.Clone(r.args), func(a specs.LinuxSeccompArg) bool { return a.Index == 0 })
						r.args = append(r.args, specs.LinuxSeccompArg{Index: 0, Value: m, Op: specs.OpEqualTo})
						rules = append(rules, r)
					}
				}
			}
		}
	}
	if d.Arch == unix.AUDIT_ARCH_X86_64 && nr >= 1<<31 && !x32 {
		// Beyond both ABIs of x86-64: libseccomp's check for x32 comes
		// first, runc's for unknown numbers before that.
		if nr < 3<<30 && last > 0 && !allows(def) {
			return enosys, 0
		}
		return unix.SECCOMP_RET_KILL_THREAD, 0
	}
	if nr > last && last > 0 && !allows(def) {
		return enosys, 0
	}
	wide := col == colAMD64
	for i := range rules {
		rules[i].args = slices.DeleteFunc(slices.Clone(rules[i].args), func(a specs.LinuxSeccompArg) bool {
			return a.Op == specs.OpMaskedEqual && naiveWord(a.Value, wide) == 0
		})
		slices.SortFunc(rules[i].args, func(x, y specs.LinuxSeccompArg) int { return cmp.Compare(x.Index, y.Index) })
	}
	for _, r := range rules {
		if len(r.args) == 0 {
			return r.action, 0
		}
	}
	if slices.ContainsFunc(rules, func(r naiveRule) bool { return r.action != rules[0].action }) {
		slices.SortStableFunc(rules, func(x, y naiveRule) int { return naiveOrder(x.args[0], y.args[0], wide) })
	}
	for _, r := range rules {
		if !slices.ContainsFunc(r.args, func(a specs.LinuxSeccompArg) bool { return !naiveMatch(a, d, wide) }) {
			return r.action, len(rules)
		}
	}
	return def, len(rules)
}

const enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

// tableNames is every name of the tables.
var tableNames = func() (out []string) {
	for i := range callEnds {
		out = append(out, callName(i))
	}
	return out
}()

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// appendRules splits a rule that compares an argument twice.
func appendRules(rules []naiveRule, act uint32, args []specs.LinuxSeccompArg) []naiveRule {
	seen := map[uint]bool{}
	for _, a := range args {
		seen[a.Index] = true
	}
	if len(seen) == len(args) {
		return append(rules, naiveRule{act, args})
	}
	for i := range args {
		rules = append(rules, naiveRule{act, args[i : i+1]})
	}
	return rules
}

func naiveWord(v uint64, wide bool) uint64 {
	if wide {
		return v
	}
	return v & 0xffffffff
}

func naiveMatch(a specs.LinuxSeccompArg, d Data, wide bool) bool {
	x, v := naiveWord(d.Args[a.Index], wide), naiveWord(a.Value, wide)
	switch a.Op {
	case specs.OpNotEqual:
		return x != v
	case specs.OpLessThan:
		return x < v
	case specs.OpLessEqual:
		return x <= v
	case specs.OpEqualTo:
		return x == v
	case specs.OpGreaterEqual:
		return x >= v
	case specs.OpGreaterThan:
		return x > v
	default:
		return x&v == naiveWord(a.ValueTwo, wide)&v
	}
}

func naiveOrder(x, y specs.LinuxSeccompArg, wide bool) int {
	class := func(a specs.LinuxSeccompArg) int {
		switch a.Op {
		case specs.OpLessThan, specs.OpLessEqual:
			return 2
		case specs.OpGreaterEqual, specs.OpGreaterThan:
			return 3
		default:
			return 1
		}
	}
	value := func(a specs.LinuxSeccompArg) uint64 {
		if a.Op == specs.OpMaskedEqual {
			return naiveWord(a.Value&a.ValueTwo, wide)
		}
		return naiveWord(a.Value, wide)
	}
	down := cmp.Compare(value(y), value(x))
	if class(x) == 2 {
		down = -down
	}
	return cmp.Or(cmp.Compare(y.Index, x.Index), cmp.Compare(class(x), class(y)), down)
}

var boundaryArgs = []uint64{0, 1, 2, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<63 - 1, 1 << 63, ^uint64(0)}

// randomProfile makes rules over few calls and few values, so that they meet.
// mixed allows rules of different actions for one call.
func randomProfile(r *rand.Rand, mixed bool, maxRules, maxArgs int) *specs.LinuxSeccomp {
	acts := []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActTrap, specs.ActLog, specs.ActKillProcess, specs.ActTrace, specs.ActNotify,
	}
	ops := []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual,
		specs.OpGreaterThan, specs.OpMaskedEqual,
	}
	names := []string{
		"read", "write", "clone", "socket", "bind", "shmat", "semop", "personality", "ioctl", "execve", "mmap",
		"no_such_call", "preadv2", "socketcall",
	}
	p := &specs.LinuxSeccomp{
		DefaultAction: acts[r.IntN(2)],
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}[:r.IntN(4)],
	}
	perCall := map[string]specs.LinuxSeccompAction{}
	for range 1 + r.IntN(maxRules) {
		name := names[r.IntN(len(names))]
		act := acts[r.IntN(len(acts))]
		if prev, ok := perCall[name]; ok && !mixed {
			act = prev
		}
		perCall[name] = act
		s := specs.LinuxSyscall{Names: []string{name}, Action: act}
		for range r.IntN(maxArgs + 1) {
			a := specs.LinuxSeccompArg{Index: uint(r.IntN(3)), Value: randomValue(r), Op: ops[r.IntN(len(ops))]}
			if a.Op == specs.OpMaskedEqual {
				a.ValueTwo = randomValue(r)
			}
			s.Args = append(s.Args, a)
		}
		p.Syscalls = append(p.Syscalls, s)
	}
	return p
}

func randomValue(r *rand.Rand) uint64 {
	switch r.IntN(3) {
	case 0:
		return uint64(r.IntN(24))
	case 1:
		return boundaryArgs[r.IntN(len(boundaryArgs))] + uint64(r.IntN(3)) - 1
	}
	return boundaryArgs[r.IntN(len(boundaryArgs))]
}

func randomCall(r *rand.Rand) Data {
	d := Data{Arch: unix.AUDIT_ARCH_X86_64}
	nrs := []uint32{
		0, 1, 56, 41, 49, 30, 65, 135, 16, 59, 9, 327, 400, 547 | x32Bit, 0 | x32Bit, 514 | x32Bit, 41 | x32Bit,
		^uint32(0), 1 << 31, 3 << 30,
	}
	if r.IntN(2) == 0 {
		d.Arch = unix.AUDIT_ARCH_I386
		nrs = []uint32{3, 4, 120, 359, 361, 397, 102, 117, 136, 54, 11, 90, 192, 378, 1 << 31}
	}
	if r.IntN(50) == 0 {
		d.Arch = unix.AUDIT_ARCH_AARCH64
	}
	d.Nr = nrs[r.IntN(len(nrs))]
	for i := range 3 {
		d.Args[i] = randomValue(r)
		if d.Arch == unix.AUDIT_ARCH_I386 {
			d.Args[i] &= 1<<32 - 1 // as the kernel hands them over
		}
	}
	return d
}

// checkNaive compares n random calls.
func checkNaive(t *testing.T, r *rand.Rand, p *specs.LinuxSeccomp, n int) {
	t.Helper()
	prog, _, err := Compile(p, Options{GOARCH: "amd64"})
	if err != nil {
		t.Fatalf("%v: %+v", err, p)
	}
	if err := valid(prog); err != nil {
		t.Fatal(err)
	}
	for range n {
		d := randomCall(r)
		if want, _ := naive(p, d); Eval(prog, d) != want {
			t.Fatalf("%+v: got %s, want %s\n%+v\n%s", d, ActionName(Eval(prog, d)), ActionName(want), p, Disassemble(prog))
		}
	}
}

func TestNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, tt := range []struct {
		name              string
		mixed             bool
		maxRules, maxArgs int
		profiles, calls   int
	}{
		{"one argument", true, 12, 1, 500, 200},
		{"several arguments", true, 12, 4, 500, 200},
		{"several arguments, one action", false, 12, 4, 500, 200},
		{"long program", true, 300, 2, 20, 2000}, // jumps beyond 255
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range tt.profiles {
				checkNaive(t, r, randomProfile(r, tt.mixed, tt.maxRules, tt.maxArgs), tt.calls)
			}
		})
	}
}

func FuzzNaive(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		checkNaive(t, r, randomProfile(r, r.IntN(2) == 0, 1+r.IntN(60), r.IntN(5)), 100)
	})
}
