package seccomp

import (
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/oracle"
	"github.com/tare-engine/tare/internal/spec/capability"
	"golang.org/x/sys/unix"
)

func openOracle(t *testing.T) *oracle.Lib {
	t.Helper()
	lib, err := oracle.Open()
	if err != nil {
		t.Skipf("no oracle: %v", err)
	}
	t.Logf("libseccomp %s", lib.Version())
	return lib
}

// oracleProg returns libseccomp's program, or nil where it refuses the rules'
// conflict.
func oracleProg(t *testing.T, lib *oracle.Lib, p *specs.LinuxSeccomp) []unix.SockFilter {
	t.Helper()
	insns, err := lib.Compile(p)
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	if err != nil {
		t.Fatalf("libseccomp: %v", err)
	}
	prog := make([]unix.SockFilter, len(insns))
	for i, in := range insns {
		prog[i] = unix.SockFilter(in)
	}
	return prog
}

// TestTables compares our numbers with libseccomp's, in both directions.
func TestTables(t *testing.T) {
	lib := openOracle(t)
	for c := column(0); c < columns; c++ {
		a := arches[c].name
		newer := 0
		for i := range callEnds {
			name := callName(i)
			nr, known := lib.Number(a, name)
			slot := callSlots[i][c]
			switch {
			case !known:
				newer++
			case slot == noSlot && nr >= 0:
				t.Errorf("%s %s: we have none, libseccomp %d", a, name, nr)
			case nr >= 0 && uint32(nr) != slotNumber(c, int(slot)):
				t.Errorf("%s %s: we have %d, libseccomp %d", a, name, slotNumber(c, int(slot)), nr)
			case slot != noSlot && nr < 0 && (c != col386 || callMux[i] == 0):
				t.Errorf("%s %s: we have %d, libseccomp none", a, name, slotNumber(c, int(slot)))
			}
		}
		for slot := range slots {
			nr := slotNumber(c, slot)
			if name := lib.Name(a, int(nr)); name != "" && nameOf(c, nr) != name {
				t.Errorf("%s %d: libseccomp has %q, we %q", a, nr, name, nameOf(c, nr))
			}
		}
		t.Logf("%s: %d names are newer than libseccomp", a, newer)
	}
}

// TestOracleRandomProfiles compares verdicts for random rules. Where several
// rules with arguments meet in one call, libseccomp's tree now and then goes
// to the default action although a rule matches; those verdicts are ours to
// get right, and only the naive reading of the rules may differ from it.
func TestOracleRandomProfiles(t *testing.T) {
	lib := openOracle(t)
	for _, tt := range []struct {
		name    string
		mixed   bool
		maxArgs int
	}{
		{"one action, one argument", false, 1},
		{"mixed, one argument", true, 1},
		{"one action, three arguments", false, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			refused, compared, differ := 0, 0, 0
			for range 400 {
				p := randomProfile(r, tt.mixed, 12, tt.maxArgs)
				// libseccomp 2.5.4 forgets to load the number where
				// an architecture has no rule without arguments.
				p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{"getpid"}, Action: specs.ActKillProcess})
				want := oracleProg(t, lib, p)
				if want == nil {
					refused++
					continue
				}
				got, _, err := Compile(p, Options{GOARCH: "amd64"})
				if err != nil {
					t.Fatal(err)
				}
				for range 300 {
					d := randomCall(r)
					g, w := Eval(got, d), Eval(want, d)
					compared++
					if g == w || g == enosys { // the latter is runc's patch, not libseccomp's
						continue
					}
					differ++
					if n, rules := naive(p, d); g != n || rules < 2 {
						t.Errorf("%+v, %d rules: we %s, libseccomp %s\n%+v", d, rules, ActionName(g), ActionName(w), p.Syscalls)
					}
				}
			}
			t.Logf("%d verdicts, %d differ by libseccomp's tree; it refused %d profiles", compared, differ, refused)
			if differ*100 > compared {
				t.Errorf("%d of %d differ: too many to be corner cases", differ, compared)
			}
		})
	}
}

// capSets are bounding sets that switch the default profile's conditions.
var capSets = map[string][]string{
	"default":    capability.Default().Names(),
	"none":       nil,
	"sys_admin":  append(capability.Default().Names(), "CAP_SYS_ADMIN"),
	"privileged": capability.UpTo(capability.Last).Names(),
}

// TestOracleDefault compares Docker's default profile for every number of both
// architectures and every argument that a rule could tell from another.
func TestOracleDefault(t *testing.T) {
	lib := openOracle(t)
	for name, caps := range capSets {
		t.Run(name, func(t *testing.T) {
			p := Default(Host{GOARCH: "amd64", Kernel: Version{6, 18}, Caps: caps})
			want := oracleProg(t, lib, p)
			got, _, err := Compile(p, Options{GOARCH: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d instructions, libseccomp's %d", len(got), len(want))
			compared := 0
			for _, a := range []column{colAMD64, colX32, col386} {
				for n := range uint32(700) {
					nr := n
					if a == colX32 {
						nr |= x32Bit
					}
					unknown := lib.Name(arches[a].name, int(nr)) == ""
					for _, args := range defaultArgs(p, nameOf(a, nr)) {
						d := Data{Nr: nr, Arch: arches[a].audit, Args: args}
						g, w := Eval(got, d), Eval(want, d)
						switch {
						case unknown && (g == enosys || nameOf(a, nr) != ""):
							// Newer than that libseccomp.
						case g != w:
							t.Errorf("%s %d (%s) %x: we %s, libseccomp %s", arches[a].name, nr, nameOf(a, nr), args, ActionName(g), ActionName(w))
						default:
							compared++
						}
						if n > 480 && a != colX32 && g != enosys {
							t.Errorf("%s %d: %s, want ENOSYS", arches[a].name, nr, ActionName(g))
						}
					}
				}
			}
			for _, d := range []Data{
				{Nr: 0, Arch: unix.AUDIT_ARCH_AARCH64}, {Nr: 0, Arch: 0}, {Nr: 0, Arch: unix.AUDIT_ARCH_ARM},
			} {
				if g, w := Eval(got, d), Eval(want, d); g != w || g != unix.SECCOMP_RET_KILL_THREAD {
					t.Errorf("%+v: we %s, libseccomp %s", d, ActionName(g), ActionName(w))
				}
			}
			t.Logf("%d verdicts", compared)
		})
	}
}

// defaultArgs returns arguments around each value that a rule of the call
// compares, in the low, the high and both words.
func defaultArgs(p *specs.LinuxSeccomp, name string) [][6]uint64 {
	out := [][6]uint64{{}, {1, 1, 1, 1, 1, 1}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}}
	for _, s := range p.Syscalls {
		if !slices.Contains(s.Names, name) {
			continue
		}
		for _, a := range s.Args {
			values := []uint64{a.Value - 1, a.Value, a.Value + 1, a.Value | 1<<32, a.Value << 32, ^a.Value}
			if a.Op == specs.OpMaskedEqual {
				for b := range 64 {
					values = append(values, 1<<b, 1<<b|0x11)
				}
			}
			for _, v := range values {
				var args [6]uint64
				args[a.Index] = v
				out = append(out, args)
			}
		}
	}
	return out
}
