package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// secret is what the attacker tries to change in the engine's memory: the
// child has a copy of it at the same address.
var secret atomic.Uint64

const (
	intact   = 0x1111
	tampered = 0x2222
	victim   = 54321 // the container's uid
)

// attackHelper does, as another process of the container's user, all that
// ptrace rights are good for to process $PID, and prints what worked.
func attackHelper() error {
	var pid int
	var addr uintptr
	var user string
	if _, err := fmt.Sscan(os.Getenv("ATTACK"), &pid, &addr, &user); err != nil {
		return err
	}
	// Raw calls: this thread alone gives its rights up.
	runtime.LockOSThread()
	if user == "victim" {
		for _, nr := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, no := unix.RawSyscall(nr, victim, victim, victim); no != 0 {
				return no
			}
		}
	} else {
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return err
		}
	}
	value := uint64(tampered)
	local := unix.Iovec{Base: (*byte)(unsafe.Pointer(&value)), Len: 8}
	var back uint64
	readBack := unix.Iovec{Base: (*byte)(unsafe.Pointer(&back)), Len: 8}
	remote := unix.RemoteIovec{Base: addr, Len: 8}
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, a := range []struct {
		name string
		try  func() error
	}{
		{"readv", func() error {
			_, err := unix.ProcessVMReadv(pid, []unix.Iovec{readBack}, []unix.RemoteIovec{remote}, 0)
			return err
		}},
		{"writev", func() error {
			_, err := unix.ProcessVMWritev(pid, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
			return err
		}},
		{"mem", func() error {
			f, err := os.OpenFile(proc+"mem", os.O_RDWR, 0)
			if err == nil {
				_ = f.Close()
			}
			return err
		}},
		{"environ", func() error { _, err := os.ReadFile(proc + "environ"); return err }},
		{"exe", func() error { _, err := os.Readlink(proc + "exe"); return err }},
		{"fd", func() error { _, err := os.Readlink(proc + "fd/0"); return err }},
		{"ns", func() error { _, err := os.Readlink(proc + "ns/mnt"); return err }},
		{"getfd", func() error {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return err
			}
			defer closeFD(fd)
			got, err := unix.PidfdGetfd(fd, 0, 0)
			if err == nil {
				closeFD(got)
			}
			return err
		}},
		{"ptrace", func() error { return unix.PtraceSeize(pid) }},
	} {
		switch err := a.try(); {
		case err == nil:
			fmt.Print(a.name, " ")
		case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES):
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// everything is what the attacker prints when nothing stops it.
const everything = "readv writev mem environ exe fd ns getfd ptrace "

// attack runs the helper and returns what it could do.
func attack(pid int, user string) (string, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{
		"TARE_SPAWN_HELPER=attack",
		fmt.Sprintf("ATTACK=%d %d %s", pid, uintptr(unsafe.Pointer(&secret)), user),
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("attacker: %w: %s", err, stderr.String())
	}
	return string(out), nil
}

func dropToVictim(p *plan.Plan) {
	p.Begin("credentials")
	id := []plan.Arg{plan.Int(victim), plan.Int(victim), plan.Int(victim)}
	p.Call(plan.InChild, unix.SYS_SETRESGID, id)
	p.Call(plan.InChild, unix.SYS_SETRESUID, id)
}

func dropCaps(p *plan.Plan) {
	p.Begin("capabilities")
	p.Call(plan.InChild, unix.SYS_CAPSET, []plan.Arg{p.Words(plan.MemBytes, unix.LINUX_CAPABILITY_VERSION_3), p.Words(plan.MemBytes, 0, 0, 0)})
}

func dumpable(p *plan.Plan, v uint64) { p.Prctl(plan.InChild, unix.PR_SET_DUMPABLE, v, 0) }

// Another process with the container's rights must not get hold of the engine
// or of the child while it is still engine code.
func TestOthersCannotTouchEngineOrChild(t *testing.T) {
	testkit.Root(t, "makes processes in namespaces")
	if b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(b)) != "0" {
		t.Skip("Yama forbids ptrace to everybody: nothing to show")
	}
	defer func() {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
			t.Error(err)
		}
	}()
	for _, tt := range []struct {
		name   string
		harden bool
		user   string
		drop   func(*plan.Plan)
		child  string // what the attacker can do to the child
	}{
		// setresuid alone makes a process undumpable (fs.suid_dumpable is
		// 0), but a step that sets the flag again opens it.
		{"other uid", true, "victim", func(p *plan.Plan) { dropToVictim(p); dumpable(p, 0) }, ""},
		{"other uid, flag set again", false, "victim", func(p *plan.Plan) { dropToVictim(p); dumpable(p, 1) }, everything},
		// A root that only loses capabilities stays as dumpable as the
		// engine: here Harden is all that protects.
		{"root without capabilities", true, "root", dropCaps, ""},
		{"root without capabilities, not hardened", false, "root", dropCaps, everything},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
			if tt.harden {
				if err := Harden(); err != nil {
					t.Fatal(err)
				}
			}
			secret.Store(intact)
			g := newGated(t)
			tt.drop(g.Plan)
			g.wait()
			g.execTrue()
			s := start(t, g.Plan, Options{})
			g.ready.get(t)
			for _, target := range []struct {
				name string
				pid  int
				want string
			}{{"child", s.Pid, tt.child}, {"engine", os.Getpid(), ""}} {
				got, err := attack(target.pid, tt.user)
				if err != nil {
					t.Fatal(err)
				}
				if got != target.want {
					t.Errorf("attacks that worked on the %s: %q, want %q", target.name, got, target.want)
				}
			}
			if v := secret.Load(); v != intact {
				t.Errorf("the engine's memory was changed: %#x", v)
			}
			g.gate.put(t)
			if err := s.WaitExec(); err != nil {
				t.Error(err)
			}
		})
	}
}

// sharedMemoryHelper is an engine whose child shares its memory. The thread
// in clone sleeps until the child ends, so nothing may stop the world.
func sharedMemoryHelper() error {
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(4)
	secret.Store(intact)
	var ready, gate [2]int
	for _, p := range []*[2]int{&ready, &gate} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
	}
	p := plan.New()
	r, w := p.Given("gate", gate[0]), p.Given("ready", ready[1])
	dropToVictim(p)
	dumpable(p, 1)
	p.Write(plan.InChild, w.Arg(), "x")
	p.Gate(r)
	run, err := New(p)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		var b [1]byte
		_, err := unix.Read(ready[0], b[:])
		if err == nil {
			// The child is this process's newest; its pid is in the pidfd
			// that clone3 has written already.
			var pid int
			if pid, err = pidOf(int(int32(run.arena.get64(hdrPidfd)))); err == nil {
				_, err = attack(pid, "victim")
			}
		}
		_, _ = unix.Write(gate[1], []byte{1})
		done <- err
	}()
	child, err := run.Clone(Options{Flags: unix.CLONE_VM | unix.CLONE_VFORK})
	if err != nil {
		return err
	}
	if _, err := child.Wait(); err != nil {
		return err
	}
	fmt.Printf("%#x", secret.Load())
	return <-done
}

func pidOf(pidfd int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return 0, err
	}
	var pid int
	_, rest, _ := strings.Cut(string(text), "\nPid:")
	_, err = fmt.Sscan(rest, &pid)
	return pid, err
}

// This is why the child gets a copy of the memory: with CLONE_VM the same
// attack on the child changes the engine.
func TestSharedMemoryChildWouldExposeEngine(t *testing.T) {
	testkit.Root(t, "makes processes in namespaces")
	needClone3(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"TARE_SPAWN_HELPER=shared-memory"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if want := fmt.Sprintf("%#x", tampered); string(out) != want {
		t.Errorf("the engine has %s, want %s: is the copy still needed?", out, want)
	}
}
