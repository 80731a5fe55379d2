package contest

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestSeccomp(t *testing.T) {
	b := newBundle(t, "mkdir /data/d 2>&1; chmod 0777 /data; chmod 0700 /bin 2>&1; grep Seccomp: /proc/self/status")
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"mkdir", "mkdirat", "no_such_call"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(95))},
			{Names: []string{"chmod"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0o700, Op: specs.OpEqualTo}}},
		},
	}
	o := b.run()
	if !strings.Contains(o.out, "not supported") || !strings.Contains(o.out, "Operation not permitted") || !strings.Contains(o.out, "Seccomp:\t2") {
		t.Errorf("seccomp: %v", o)
	}
	if strings.Count(o.out, "Operation not permitted") != 1 {
		t.Errorf("the argument was not looked at: %v", o)
	}
}

func TestSeccompKill(t *testing.T) {
	b := newBundle(t, "mkdir /data/d; echo on")
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActKillProcess}},
	}
	// busybox mkdir is a process of its own, or the shell itself
	if o := b.run(); strings.Contains(o.err, "Permission") {
		t.Errorf("kill: %v", o)
	}
}

func TestSeccompUnknownAction(t *testing.T) {
	b := newBundle(t, "true")
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NOSUCH"}
	refused(t, b.run())
}
