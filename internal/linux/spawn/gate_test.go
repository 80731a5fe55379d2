package spawn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// A child that waits at its gate was cloned while this process held the
// status pipe of another child. That one's EOF must be seen all the same.
func TestSiblingAtGateDoesNotHideEOF(t *testing.T) {
	needClone3(t)
	sibling := newGated(t)
	sibling.wait()
	var s *started
	p := plan.New()
	p.Begin("exec")
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	code, err := run(t, p, Options{After: func(int) {
		// The write end of the status pipe is still open here.
		s = start(t, sibling.Plan, Options{})
		sibling.ready.get(t)
	}})
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, error %v", code, err)
	}
	want := []string{"0", "1", "2", strconv.Itoa(sibling.ready.w), strconv.Itoa(sibling.gate.r)}
	got := openFDs(t, s.Pid)
	for _, fd := range want {
		got = slices.DeleteFunc(got, func(s string) bool { return s == fd })
	}
	if len(got) != 1 { // its own status pipe
		t.Errorf("the sibling holds %v too", got)
	}
}

// The end of a gate's pipe ends the child, also when another child was cloned
// since and waits.
func TestSiblingDoesNotHoldGateOpen(t *testing.T) {
	g, sibling := newGated(t), newGated(t)
	g.wait()
	g.execTrue()
	sibling.wait()
	a := start(t, g.Plan, Options{})
	start(t, sibling.Plan, Options{})
	g.ready.get(t)
	sibling.ready.get(t)
	g.gate.closeWrite()
	err := a.WaitExec()
	if !errors.Is(err, unix.EPIPE) {
		t.Errorf("error %v, want EPIPE", err)
	}
}

func wantKilled(t *testing.T, err error, step string, sig unix.Signal) {
	t.Helper()
	var e *OpError
	if !errors.Is(err, ErrKilled) || !errors.As(err, &e) || e.Signal != sig || e.Step != step {
		t.Errorf("error %v, want death by signal %d in step %s", err, sig, step)
	}
}

func TestKilledAtGate(t *testing.T) {
	g := newGated(t)
	g.wait()
	g.execTrue()
	s := start(t, g.Plan, Options{})
	g.ready.get(t)
	if err := s.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := s.WaitExec()
	wantKilled(t, err, "gate", unix.SIGKILL)
	if want := "wait for the test: killed by signal 9 before exec (step gate)"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
}

func TestKilledInTheMiddle(t *testing.T) {
	p := plan.New()
	p.Begin("first")
	pid := p.Open(plan.InChild, "pid", unix.SYS_GETPID, nil)
	p.Begin("suicide")
	p.Call(plan.InChild, unix.SYS_KILL, []plan.Arg{pid.Arg(), plan.Int(int(unix.SIGKILL))})
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	_, err := run(t, p, Options{})
	wantKilled(t, err, "suicide", unix.SIGKILL)
}

// A lease on the program holds execve before its point of no return. The
// progress word and EOF look like success then.
func TestKilledInExecve(t *testing.T) {
	for _, candidates := range [][]string{nil, {"/nonexistent"}} {
		name := t.TempDir() + "/prog"
		if err := copyFile(name, "/bin/true"); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		asked := make(chan os.Signal, 8)
		signal.Notify(asked, unix.SIGIO)
		defer signal.Stop(asked)
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
			t.Skipf("lease: %v", err)
		}
		p := plan.New()
		p.Begin("exec")
		p.Exec(append(candidates, name), []string{"prog"}, nil)
		s := start(t, p, Options{})
		<-asked
		if err := s.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wantKilled(t, s.WaitExec(), "exec", unix.SIGKILL)
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// Whatever the engine holds, the program gets three descriptors.
func TestNoDescriptorReachesTheProgram(t *testing.T) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY, 0) // without O_CLOEXEC, on purpose
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(fd)
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 900)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(high)
	p := plan.New()
	p.Begin("use")
	kept := p.Given("directory", fd)
	p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{kept.Arg()})
	script := fmt.Sprintf(`for i in 3 4 5 6 7 8 9 %d %d; do [ ! -e /proc/$$/fd/$i ] || echo $i; done; pwd`, fd, high)
	if out, code := output(t, p, Options{}, "/bin/sh", "-c", script); code != 0 || out != "/\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

// The child has neither the engine's heap nor, so, what was read into it; the
// engine has it again for other children.
func TestChildHasNoHeap(t *testing.T) {
	before := notCopied(t)
	word := new(uint64)
	*word = 0xfeedface
	g := newGated(t)
	g.wait()
	s := start(t, g.Plan, Options{})
	g.ready.get(t)
	addr := uintptr(unsafe.Pointer(word))
	if heap := uintptr(unsafe.Pointer(s.Run)); addr/arenaSize != heap/arenaSize {
		t.Skip("the heap has more than one arena")
	}
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	remote := []unix.RemoteIovec{{Base: addr, Len: 8}}
	if _, err := unix.ProcessVMReadv(s.Pid, local, remote, 0); !errors.Is(err, unix.EFAULT) {
		t.Errorf("read of the heap in the child: error %v, want EFAULT", err)
	}
	runtime.KeepAlive(word)
	if now := notCopied(t); now != before {
		t.Errorf("%d parts of this process stay out of its children, %d did before", now, before)
	}
}

// notCopied counts this process's mappings that a fork leaves out.
func notCopied(t *testing.T) int {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(smaps)) {
		if strings.HasPrefix(line, "VmFlags:") && strings.Contains(line, " dc") {
			n++
		}
	}
	return n
}
