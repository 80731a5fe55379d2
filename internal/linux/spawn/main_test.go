package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// TestMain runs a helper instead of the tests when the binary has executed
// itself.
func TestMain(m *testing.M) {
	if name := os.Getenv("TARE_SPAWN_HELPER"); name != "" {
		helpers := map[string]func() error{"attack": attackHelper, "shared-memory": sharedMemoryHelper, "nofile": nofileHelper}
		if err := helpers[name](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func needClone3(t testing.TB) {
	t.Helper()
	if _, _, no := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); no == unix.ENOSYS {
		t.Skip("clone3: not implemented here (qemu-user?)")
	}
}

// started is a child that the test has to deal with; what is left of it at
// the end of the test is removed.
type started struct {
	*Run
	Process
}

func start(t testing.TB, p *plan.Plan, o Options) *started {
	t.Helper()
	s, err := tryStart(t, p, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryStart(t testing.TB, p *plan.Plan, o Options) (*started, error) {
	t.Helper()
	needClone3(t)
	r, err := New(p)
	if err != nil {
		return nil, err
	}
	t.Cleanup(r.Close)
	if err := r.Host(o); err != nil {
		return nil, err
	}
	proc, err := r.Clone(o)
	if err != nil {
		return nil, err
	}
	s := &started{r, proc}
	t.Cleanup(func() {
		_ = s.Signal(unix.SIGKILL)
		_, _ = s.Wait()
		s.Release()
	})
	return s, nil
}

// run executes p to the end of the program and returns its exit code.
func run(t testing.TB, p *plan.Plan, o Options) (int, error) {
	t.Helper()
	s, err := tryStart(t, p, o)
	if err != nil {
		return 0, err
	}
	if _, ok := p.Forked(); ok {
		proc, err := s.Forked()
		if err != nil {
			return 0, err
		}
		s.Process = proc
	}
	if err := s.WaitExec(); err != nil {
		return 0, err
	}
	st, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return st.ExitCode(), nil
}

// output executes p with its standard output in a pipe.
func output(t testing.TB, p *plan.Plan, o Options, argv ...string) (string, int) {
	t.Helper()
	pp := newPipe(t)
	out := p.Given("stdout", pp.w)
	p.Begin("exec")
	p.Call(plan.InChild, unix.SYS_DUP3, []plan.Arg{out.Arg(), plan.Int(1), plan.Int(0)})
	p.Exec(argv[:1], argv, []string{"PATH=/bin:/usr/bin"})
	code, err := run(t, p, o)
	if err != nil {
		t.Fatal(err)
	}
	pp.closeWrite()
	var b bytes.Buffer
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(pp.r, buf)
		if n <= 0 || err != nil {
			return b.String(), code
		}
		b.Write(buf[:n])
	}
}

type pipe struct{ r, w int }

func newPipe(t testing.TB) *pipe {
	t.Helper()
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	p := &pipe{fd[0], fd[1]}
	t.Cleanup(func() {
		p.closeWrite()
		closeFD(p.r)
	})
	return p
}

func (p *pipe) closeWrite() {
	if p.w >= 0 {
		closeFD(p.w)
		p.w = -1
	}
}

func (p *pipe) put(t testing.TB) {
	t.Helper()
	if _, err := unix.Write(p.w, []byte{1}); err != nil {
		t.Error(err)
	}
}

// get waits for a byte.
func (p *pipe) get(t testing.TB) {
	t.Helper()
	var b [1]byte
	for {
		n, err := unix.Read(p.r, b[:])
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Errorf("pipe: read %d, error %v", n, err)
		}
		return
	}
}

// gated is a plan that says when it has come to a gate.
type gated struct {
	*plan.Plan
	ready, gate         *pipe
	readySlot, gateSlot plan.Slot
}

func newGated(t testing.TB) *gated {
	t.Helper()
	g := &gated{Plan: plan.New(), ready: newPipe(t), gate: newPipe(t)}
	g.readySlot, g.gateSlot = g.Given("ready", g.ready.w), g.Given("gate", g.gate.r)
	return g
}

func (g *gated) wait() {
	g.Begin("gate")
	g.Note("wait for the test")
	g.Write(plan.InChild, g.readySlot.Arg(), "x")
	g.Gate(g.gateSlot)
}

func (g *gated) execTrue() {
	g.Begin("exec")
	g.Exec([]string{"/bin/true"}, []string{"true"}, nil)
}

// openFDs lists a process's descriptors.
func openFDs(t testing.TB, pid int) []string {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// census is what must not grow.
type census struct {
	fds, mounts int
	child       bool
}

func takeCensus(t testing.TB) census {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	_, err = unix.Wait4(-1, nil, unix.WNOHANG, nil)
	return census{
		fds:    len(openFDs(t, os.Getpid())),
		mounts: strings.Count(string(mounts), "\n"),
		child:  !errors.Is(err, unix.ECHILD),
	}
}

// wantUnchanged fails when something was left behind.
func (c census) wantUnchanged(t testing.TB) {
	t.Helper()
	if now := takeCensus(t); now != c {
		t.Errorf("left behind: have %+v, had %+v", now, c)
	}
}
