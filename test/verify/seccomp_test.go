package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/oracle"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

const (
	x32Bit  = 1 << 30
	numbers = 700 // the kernel's newest are below 480
	enosys  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// profiles are containers, and the profile that each should have.
func profiles(t *testing.T) []struct {
	name    string
	flags   []string
	profile *specs.LinuxSeccomp
} {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	host := func(caps ...string) seccomp.Host {
		return seccomp.Host{GOARCH: runtime.GOARCH, Kernel: seccomp.ParseVersion(unix.ByteSliceToString(u.Release[:])), Caps: caps}
	}
	file, err := os.ReadFile("testdata/profile.json")
	if err != nil {
		t.Fatal(err)
	}
	own, err := seccomp.ParseFile(file, host())
	if err != nil {
		t.Fatal(err)
	}
	defaults := capability.Default().Names()
	return []struct {
		name    string
		flags   []string
		profile *specs.LinuxSeccomp
	}{
		{"default", nil, seccomp.Default(host(defaults...))},
		{"without capabilities", []string{"--cap-drop", "ALL"}, seccomp.Default(host())},
		{"with more", []string{"--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "SYSLOG"}, seccomp.Default(host(append(defaults, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYSLOG")...))},
		{"every operator", []string{"--security-opt", "seccomp=testdata/profile.json"}, own},
	}
}

// TestSeccomp reads the filter of a running container back from the kernel,
// and compares its verdict with that of a program compiled by libseccomp, for
// every number of the machine's architectures and every argument that a rule
// could tell from another.
func TestSeccomp(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skipf("no oracle for %s", runtime.GOARCH)
	}
	r := rig.Test(t)
	for _, tt := range profiles(t) {
		t.Run(tt.name, func(t *testing.T) {
			c := r.Start(t, append(append([]string{"run", "--rm", "-i"}, tt.flags...), "tare/base", "sh", "-c", "echo ready; read x")...)
			got, err := filterOf(c.Init())
			c.Wait()
			if errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) {
				t.Skip("this kernel does not give filters back (CONFIG_CHECKPOINT_RESTORE)")
			}
			if err != nil {
				t.Fatal(err)
			}
			ours, _, err := seccomp.Compile(tt.profile, seccomp.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, ours) {
				t.Errorf("the container has another program of %d instructions, want %d", len(got), len(ours))
			}
			compare(t, tt.profile, got)
		})
	}
}

// compare holds a program against libseccomp's for the profile.
func compare(t *testing.T, p *specs.LinuxSeccomp, got []unix.SockFilter) {
	t.Helper()
	lib, err := oracle.Open()
	if err != nil {
		t.Skipf("no oracle: %v", err)
	}
	insns, err := lib.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]unix.SockFilter, len(insns))
	for i, in := range insns {
		want[i] = unix.SockFilter(in)
	}
	known, newer, newest := 0, 0, newestNamed(lib, p)
	for _, arch := range []specs.Arch{specs.ArchX86_64, specs.ArchX32, specs.ArchX86} {
		if arch != specs.ArchX86_64 && !slices.Contains(p.Architectures, arch) {
			continue
		}
		for n := range uint32(numbers) {
			d := seccomp.Data{Nr: n, Arch: oracle.Arch(arch)}
			if arch == specs.ArchX32 {
				d.Nr, d.Arch = n|x32Bit, oracle.Arch(specs.ArchX86_64)
			}
			name := lib.Name(arch, int(d.Nr))
			for _, d.Args = range arguments(p, name) {
				g, w := seccomp.Eval(got, d), seccomp.Eval(want, d)
				switch {
				case name == "" && n > newest[arch]:
					if g != enosys && g&unix.SECCOMP_RET_ACTION_FULL != unix.SECCOMP_RET_ALLOW {
						t.Errorf("%s %d: %s, want ENOSYS", arch, n, seccomp.ActionName(g))
					}
					newer++
				case name == "":
					newer++
				case g == enosys && w == g: // runc's patch and libseccomp agree
					known++
				case g != w && (g != enosys || n <= newest[arch]):
					t.Errorf("%s %d (%s) %x: the container says %s, libseccomp %s", arch, n, name, d.Args, seccomp.ActionName(g), seccomp.ActionName(w))
				default:
					known++
				}
			}
		}
	}
	for _, arch := range []uint32{0, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM} {
		d := seccomp.Data{Arch: arch}
		if g, w := seccomp.Eval(got, d), seccomp.Eval(want, d); g != w {
			t.Errorf("architecture %x: the container says %s, libseccomp %s", arch, seccomp.ActionName(g), seccomp.ActionName(w))
		}
	}
	t.Logf("libseccomp %s: %d verdicts agree, %d of calls that it does not know", lib.Version(), known, newer)
}

// newestNamed is the highest number of each architecture that the profile
// names and libseccomp knows.
func newestNamed(lib *oracle.Lib, p *specs.LinuxSeccomp) map[specs.Arch]uint32 {
	newest := map[specs.Arch]uint32{}
	for _, arch := range []specs.Arch{specs.ArchX86_64, specs.ArchX32, specs.ArchX86} {
		newest[arch] = 480 // what the profile names and this libseccomp does not know
		for _, s := range p.Syscalls {
			for _, name := range s.Names {
				if n, ok := lib.Number(arch, name); ok && n >= 0 {
					newest[arch] = max(newest[arch], uint32(n)&^x32Bit)
				}
			}
		}
	}
	return newest
}

// arguments are values around each that a rule of the call compares, in the
// low, the high and both words.
func arguments(p *specs.LinuxSeccomp, name string) [][6]uint64 {
	all := ^uint64(0)
	out := [][6]uint64{{}, {1, 1, 1, 1, 1, 1}, {all, all, all, all, all, all}}
	for _, s := range p.Syscalls {
		if !slices.Contains(s.Names, name) {
			continue
		}
		for _, a := range s.Args {
			values := []uint64{a.Value - 1, a.Value, a.Value + 1, a.Value | 1<<32, a.Value << 32, a.Value >> 32, ^a.Value}
			if a.Op == specs.OpMaskedEqual {
				for b := range 64 {
					values = append(values, 1<<b, 1<<b|a.ValueTwo, a.ValueTwo^1<<b)
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

// filterOf returns the seccomp program of a process. It needs CAP_SYS_ADMIN.
func filterOf(pid int) ([]unix.SockFilter, error) {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(pid); err != nil {
		return nil, err
	}
	defer func() { _ = unix.PtraceDetach(pid) }() // it may be gone
	if err := unix.PtraceInterrupt(pid); err != nil {
		return nil, err
	}
	for {
		_, err := unix.Wait4(pid, nil, unix.WALL, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
	n, err := getFilter(pid, nil)
	if err != nil {
		return nil, err
	}
	prog := make([]unix.SockFilter, n)
	_, err = getFilter(pid, prog)
	return prog, err
}

// getFilter is PTRACE_SECCOMP_GET_FILTER for the newest filter.
func getFilter(pid int, prog []unix.SockFilter) (int, error) {
	n, _, no := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0,
		uintptr(unsafe.Pointer(unsafe.SliceData(prog))), 0, 0)
	if no != 0 {
		return 0, fmt.Errorf("read the filter of process %d: %w", pid, no)
	}
	return int(n), nil
}

// callsEnv makes this program, inside a container, the one that makes calls:
// it reads "NUMBER ERRNO" lines and tells which calls end otherwise.
const callsEnv = "TARE_VERIFY_CALLS"

func makeCalls() int {
	b, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	for line := range strings.Lines(string(b)) {
		var nr, want uintptr
		if _, err := fmt.Sscan(line, &nr, &want); err != nil {
			return 1
		}
		if _, _, no := unix.RawSyscall6(nr, 0, 0, 0, 0, 0, 0); uintptr(no) != want {
			fmt.Printf("call %d: %v, want %v\n", nr, no, syscall.Errno(want))
		}
	}
	fmt.Println("done")
	return 0
}

// TestSeccompCalls makes every call that the default profile refuses, in a
// container.
func TestSeccompCalls(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	prog, _, err := seccomp.Compile(profiles(t)[0].profile, seccomp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	var list strings.Builder
	n := 0
	for nr := range uint32(numbers) {
		v := seccomp.Eval(prog, seccomp.Data{Nr: nr, Arch: arch})
		if v&unix.SECCOMP_RET_ACTION_FULL != unix.SECCOMP_RET_ERRNO || runtime.GOARCH == "amd64" && (nr == 335 || nr == 336) {
			continue // uretprobe and uprobe ask no filter since Linux 6.14
		}
		n++
		fmt.Fprintln(&list, nr, v&unix.SECCOMP_RET_DATA)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--rm", "-i", "-e", callsEnv + "=1", "-v", exe + ":/calls:ro"}
	for _, dir := range []string{"/lib", "/lib64"} { // where this test is built with cgo
		if _, err := os.Stat(dir); err == nil {
			args = append(args, "-v", dir+":"+dir+":ro")
		}
	}
	cmd := r.Command(append(args, "tare/base", "/calls")...)
	cmd.Stdin = strings.NewReader(list.String())
	if res := rig.Do(t, cmd); res.Code != 0 || res.Out != "done\n" || n < 100 {
		t.Errorf("%d calls: %+v", n, res)
	}
	t.Logf("%d calls refused as the profile says", n)
}
