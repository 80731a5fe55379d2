package spawn

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

func sh(p *plan.Plan, script string) {
	p.Begin("exec")
	p.Exec([]string{"/bin/sh"}, []string{"sh", "-c", script}, []string{"PATH=/bin:/usr/bin"})
}

func TestForkAfterUnshare(t *testing.T) {
	testkit.Root(t, "makes processes in namespaces")
	before := takeCensus(t)
	t.Run("start", func(t *testing.T) {
		p := plan.New()
		p.Begin("pid")
		p.Call(plan.InChild, unix.SYS_UNSHARE, []plan.Arg{plan.Int(unix.CLONE_NEWPID)})
		p.Fork()
		sh(p, "exit $(($$ + 40))")
		if code, err := run(t, p, Options{}); err != nil || code != 41 {
			t.Errorf("exit code %d, error %v: the program is not process 1", code, err)
		}
	})
	before.wantUnchanged(t)
}

// join is a plan that enters the pid namespace of a process.
func joinPid(pid int) *plan.Plan {
	p := plan.New()
	p.Begin("join")
	ns := p.Openat2(plan.OnHost, "ns:pid", plan.CWD, fmt.Sprintf("/proc/%d/ns/pid", pid), unix.O_RDONLY, 0, 0)
	p.Setns(plan.InChild, ns, unix.CLONE_NEWPID)
	p.Note("enter the pid namespace")
	p.Fork()
	return p
}

func TestForkJoinsPidNamespace(t *testing.T) {
	testkit.Root(t, "makes processes in namespaces")
	before := takeCensus(t)
	t.Run("start", func(t *testing.T) {
		holder := newGated(t)
		holder.wait()
		h := start(t, holder.Plan, Options{Flags: unix.CLONE_NEWPID})
		holder.ready.get(t)

		p := joinPid(h.Pid)
		sh(p, "exit $(($$ + 40))")
		if code, err := run(t, p, Options{}); err != nil || code != 42 {
			t.Errorf("exit code %d, error %v: the program is not process 2", code, err)
		}

		// Both processes end well when the program cannot be executed.
		p = joinPid(h.Pid)
		p.Begin("exec")
		p.Exec([]string{"/nonexistent"}, []string{"x"}, nil)
		if _, err := run(t, p, Options{}); !errors.Is(err, unix.ENOENT) {
			t.Errorf("error %v, want ENOENT", err)
		}

		// A pid namespace without its process 1 takes no more processes.
		p = joinPid(h.Pid)
		sh(p, "exit 0")
		r, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.Host(Options{}); err != nil {
			t.Fatal(err)
		}
		if err := h.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Clone(Options{}); err != nil {
			t.Fatal(err)
		}
		_, err = r.Forked()
		var e *OpError
		if !errors.As(err, &e) || e.Errno != unix.ENOMEM || e.Op == nil || !e.Op.Fork {
			t.Errorf("error %v, want ENOMEM", err)
		}
	})
	before.wantUnchanged(t)
}

// The first process may die by a signal before it has forked.
func TestForkKilledBefore(t *testing.T) {
	g := newGated(t)
	g.wait()
	g.Fork()
	g.execTrue()
	s := start(t, g.Plan, Options{})
	g.ready.get(t)
	if err := s.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, err := s.Forked()
	wantKilled(t, err, "gate", unix.SIGKILL)
}
