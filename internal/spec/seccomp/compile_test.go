package seccomp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// valid checks what the kernel's bpf_check_classic and seccomp_check_filter
// check.
func valid(prog []unix.SockFilter) error {
	if len(prog) == 0 || len(prog) > unix.BPF_MAXINSNS {
		return fmt.Errorf("%d instructions", len(prog))
	}
	for i, in := range prog {
		far := 0
		switch in.Code {
		case opJeq, opJgt, opJge, opJset:
			far = max(int(in.Jt), int(in.Jf))
		case opJump:
			far = int(in.K)
		case opLoad:
			if in.K%4 != 0 || in.K >= 64 {
				return fmt.Errorf("instruction %d loads %d", i, in.K)
			}
		case opAnd, opRet:
		default:
			return fmt.Errorf("instruction %d: code %#x", i, in.Code)
		}
		if i+1+far >= len(prog) && in.Code != opRet {
			return fmt.Errorf("instruction %d leaves the program", i)
		}
	}
	if prog[len(prog)-1].Code != opRet {
		return errors.New("does not end with a return")
	}
	return nil
}

func TestCompileNil(t *testing.T) {
	prog, info, err := Compile(nil, Options{})
	if prog != nil || info.Arches != nil || err != nil {
		t.Errorf("got %v, %v, %v", prog, info, err)
	}
}

func TestCompileEmpty(t *testing.T) {
	for _, tt := range []struct {
		action specs.LinuxSeccompAction
		want   uint32
	}{
		{specs.ActAllow, unix.SECCOMP_RET_ALLOW},
		{specs.ActKill, unix.SECCOMP_RET_KILL_THREAD},
		{specs.ActErrno, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	} {
		prog, _, err := Compile(&specs.LinuxSeccomp{DefaultAction: tt.action}, Options{GOARCH: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(prog); err != nil {
			t.Error(err)
		}
		for d, want := range map[Data]uint32{
			{Nr: 1, Arch: unix.AUDIT_ARCH_X86_64}:          tt.want,
			{Nr: 9999, Arch: unix.AUDIT_ARCH_X86_64}:       tt.want,
			{Nr: 1 | x32Bit, Arch: unix.AUDIT_ARCH_X86_64}: unix.SECCOMP_RET_KILL_THREAD,
			{Nr: 1<<32 - 1, Arch: unix.AUDIT_ARCH_X86_64}:  tt.want,
			{Nr: 1, Arch: unix.AUDIT_ARCH_I386}:            unix.SECCOMP_RET_KILL_THREAD,
		} {
			if got := Eval(prog, d); got != want {
				t.Errorf("%s %+v: %s, want %s", tt.action, d, ActionName(got), ActionName(want))
			}
		}
	}
}

// TestActions checks every action, with and without an errno, as a rule.
func TestActions(t *testing.T) {
	errno := uint(77)
	for _, tt := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		want   uint32
	}{
		{specs.ActKill, nil, 0},
		{specs.ActKillThread, nil, 0},
		{specs.ActKillProcess, nil, 0x80000000},
		{specs.ActTrap, nil, 0x00030000},
		{specs.ActErrno, nil, 0x00050001},
		{specs.ActErrno, &errno, 0x0005004d},
		{specs.ActTrace, nil, 0x7ff00001},
		{specs.ActTrace, &errno, 0x7ff0004d},
		{specs.ActLog, nil, 0x7ffc0000},
		{specs.ActNotify, nil, 0x7fc00000},
	} {
		p := &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"read"}, Action: tt.action, ErrnoRet: tt.errno}},
		}
		prog, info, err := Compile(p, Options{GOARCH: "arm64"})
		if err != nil {
			t.Fatal(err)
		}
		if got := Eval(prog, Data{Nr: 63, Arch: unix.AUDIT_ARCH_AARCH64}); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.action, got, tt.want)
		}
		if info.Notify != (tt.action == specs.ActNotify) {
			t.Errorf("%s: Notify is %v", tt.action, info.Notify)
		}
	}
}

// TestARM checks the architectures that the oracle's machine does not run: the
// last known number does not reach arm's private calls.
func TestARM(t *testing.T) {
	p := Default(Host{GOARCH: "arm64", Kernel: Version{6, 18}})
	prog, info, err := Compile(p, Options{GOARCH: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(prog); err != nil {
		t.Fatal(err)
	}
	if want := []specs.Arch{specs.ArchAARCH64, specs.ArchARM}; !slices.Equal(info.Arches, want) {
		t.Errorf("arches %v, want %v", info.Arches, want)
	}
	const eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	for _, tt := range []struct {
		arch, nr, arg0 uint32
		want           uint32
	}{
		{unix.AUDIT_ARCH_AARCH64, 63, 0, unix.SECCOMP_RET_ALLOW},          // read
		{unix.AUDIT_ARCH_AARCH64, 89, 0, eperm},                           // acct
		{unix.AUDIT_ARCH_AARCH64, 435, 0, enosys},                         // clone3
		{unix.AUDIT_ARCH_AARCH64, 220, 0x11, unix.SECCOMP_RET_ALLOW},      // clone
		{unix.AUDIT_ARCH_AARCH64, 220, unix.CLONE_NEWUSER, eperm},         // clone
		{unix.AUDIT_ARCH_AARCH64, 198, unix.AF_INET, 0x7fff0000},          // socket
		{unix.AUDIT_ARCH_AARCH64, 198, unix.AF_VSOCK, eperm},              // socket
		{unix.AUDIT_ARCH_AARCH64, 999, 0, enosys},                         // unknown
		{unix.AUDIT_ARCH_ARM, 3, 0, unix.SECCOMP_RET_ALLOW},               // read
		{unix.AUDIT_ARCH_ARM, 0xf0005, 0, unix.SECCOMP_RET_ALLOW},         // set_tls
		{unix.AUDIT_ARCH_ARM, 0xf0003, 0, eperm},                          // usr26
		{unix.AUDIT_ARCH_ARM, 0xf0100, 0, enosys},                         // unknown
		{unix.AUDIT_ARCH_ARM, 600, 0, enosys},                             // unknown
		{unix.AUDIT_ARCH_ARM, 0xeffff, 0, enosys},                         // unknown
		{unix.AUDIT_ARCH_X86_64, 0, 0, unix.SECCOMP_RET_KILL_THREAD},      // not of this machine
		{unix.AUDIT_ARCH_AARCH64, 0xffffffff, 0, enosys},                  // a tracer's -1
		{unix.AUDIT_ARCH_AARCH64, 92, 0xffffffff, unix.SECCOMP_RET_ALLOW}, // personality
		{unix.AUDIT_ARCH_AARCH64, 92, 0x0040000, eperm},                   // personality
	} {
		d := Data{Nr: tt.nr, Arch: tt.arch, Args: [6]uint64{uint64(tt.arg0)}}
		if got := Eval(prog, d); got != tt.want {
			t.Errorf("arch %#x nr %d arg %#x: %s, want %s", tt.arch, tt.nr, tt.arg0, ActionName(got), ActionName(tt.want))
		}
	}
}

func TestInfo(t *testing.T) {
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86, specs.ArchS390X, specs.ArchX86_64, specs.ArchX86},
		Flags:         []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_TSYNC"},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "bogus", "set_tls", "bogus"}, Action: specs.ActAllow},
		},
	}
	_, info, err := Compile(p, Options{GOARCH: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(info.Arches, []specs.Arch{specs.ArchX86_64, specs.ArchX86}) || !slices.Equal(info.Ignored, []specs.Arch{specs.ArchS390X}) {
		t.Errorf("arches %v, ignored %v", info.Arches, info.Ignored)
	}
	if !slices.Equal(info.Unknown, []string{"bogus", "set_tls"}) {
		t.Errorf("unknown %q", info.Unknown)
	}
	if want := uint32(unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW | unix.SECCOMP_FILTER_FLAG_TSYNC); info.Flags != want || info.Notify {
		t.Errorf("flags %#x, want %#x", info.Flags, want)
	}
	for _, tt := range []struct {
		flags []specs.LinuxSeccompFlag
		want  uint32
	}{{nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW}, {[]specs.LinuxSeccompFlag{}, 0}} {
		q := *p
		q.Flags = tt.flags
		if _, info, err := Compile(&q, Options{GOARCH: "amd64"}); err != nil || info.Flags != tt.want {
			t.Errorf("flags of %#v: %#x, %v; want %#x", tt.flags, info.Flags, err, tt.want)
		}
	}
	p.Syscalls[0].Action = specs.ActNotify
	if _, info, err = Compile(p, Options{GOARCH: "amd64"}); err != nil {
		t.Fatal(err)
	}
	if want := uint32(0x3f); info.Flags != want || !info.Notify {
		t.Errorf("flags with notify %#x, want %#x", info.Flags, want)
	}
}

func TestCompileErrors(t *testing.T) {
	one := uint(1)
	big := uint(1 << 16)
	rule := func(s specs.LinuxSyscall) *specs.LinuxSeccomp {
		ok := specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow}
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{ok, s}}
	}
	arg := func(a specs.LinuxSeccompArg) *specs.LinuxSeccomp {
		return rule(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{a}})
	}
	many := make([]specs.LinuxSeccompArg, 2000)
	for i := range many {
		many[i] = specs.LinuxSeccompArg{Value: 1 << 40, ValueTwo: uint64(i) << 32, Op: specs.OpNotEqual, Index: uint(i % 6)}
		many[i].Value = uint64(i) << 33
	}
	for _, tt := range []struct {
		p    *specs.LinuxSeccomp
		want string
	}{
		{&specs.LinuxSeccomp{}, `defaultAction: unknown action ""`},
		{&specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_FOO"}, `defaultAction: unknown action "SCMP_ACT_FOO"`},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: &one}, `defaultAction: action "SCMP_ACT_ALLOW" takes no errno`},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, "VAX"}}, `architectures[1]: unknown architecture "VAX"`},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"LOG"}}, `flags[0]: unknown flag "LOG"`},
		{rule(specs.LinuxSyscall{Names: []string{"read"}}), `syscalls[1].action: unknown action ""`},
		{rule(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActErrno, ErrnoRet: &big}), `syscalls[1].action: errno 65536 is above 65535`},
		{rule(specs.LinuxSyscall{Action: specs.ActAllow}), `syscalls[1].names: is empty`},
		{rule(specs.LinuxSyscall{Names: []string{""}, Action: specs.ActAllow}), `syscalls[1].names: holds an empty name`},
		{arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo}), `syscalls[1].args[0].index: 6 is above 5`},
		{arg(specs.LinuxSeccompArg{Op: "=="}), `syscalls[1].args[0].op: unknown operator "=="`},
		{rule(specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActAllow, Args: many}), `the kernel takes 4096`},
	} {
		_, _, err := Compile(tt.p, Options{GOARCH: "amd64"})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	_, _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, Options{GOARCH: "riscv64"})
	if fault.KindOf(err) != fault.Unsupported {
		t.Errorf("riscv64: %v", err)
	}
}

func BenchmarkDefault(b *testing.B) {
	h := Host{Caps: capSets["default"], Kernel: Version{6, 18}}
	b.ReportAllocs()
	for b.Loop() {
		Default(h)
	}
}

func BenchmarkCompile(b *testing.B) {
	p := Default(Host{Caps: capSets["default"], Kernel: Version{6, 18}})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Compile(p, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
