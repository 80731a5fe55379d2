package spawn

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

func TestExitCode(t *testing.T) {
	p := plan.New()
	p.Begin("exec")
	p.Exec([]string{"/bin/sh"}, []string{"sh", "-c", "exit $X"}, []string{"X=7"})
	if code, err := run(t, p, Options{}); err != nil || code != 7 {
		t.Fatalf("exit code %d, error %v; want 7", code, err)
	}
}

func TestErrorNamesTheStep(t *testing.T) {
	p := plan.New()
	p.Begin("mounts")
	p.Note("open /nonexistent")
	p.Openat2(plan.InChild, "x", plan.CWD, "/nonexistent", unix.O_PATH, 0, 0)
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	_, err := run(t, p, Options{})
	var e *OpError
	if !errors.As(err, &e) || e.Errno != unix.ENOENT || e.Step != "mounts" {
		t.Fatalf("error %v", err)
	}
	if want := "open /nonexistent: no such file or directory (step mounts)"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
}

func TestSlotsAndConditions(t *testing.T) {
	p := plan.New()
	p.Begin("files")
	null := p.Openat2(plan.OnHost, "null", plan.CWD, "/dev/null", unix.O_RDWR, 0, 0)
	miss := p.Openat2(plan.InChild, "miss", plan.CWD, "/nonexistent", unix.O_PATH, 0, 0, plan.OK(unix.ENOENT))
	// Not run: would fail.
	p.Openat2(plan.InChild, "x", miss.Arg(), "x", unix.O_PATH, 0, 0, plan.When(plan.IfOK, miss))
	// Run: makes the slot good.
	p.OpenInto(plan.InChild, miss, plan.CWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0, plan.When(plan.IfErr, miss))
	p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{miss.Arg()})
	p.Call(plan.InChild, unix.SYS_DUP3, []plan.Arg{null.Arg(), plan.Int(1), plan.Int(0)}, plan.Want(1))
	p.Begin("exec")
	p.Exec([]string{"/nonexistent", "/bin/sh"}, []string{
		"sh", "-c",
		`[ "$(readlink /proc/$$/fd/1)" = /dev/null ] && [ "$(pwd)" = / ] &&
		for i in 3 4 5 6 7 8 9 10 11 12 13 14; do [ ! -e /proc/$$/fd/$i ] || exit 9; done`,
	}, nil)
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	if code, err := run(t, p, Options{}); err != nil || code != 0 {
		t.Fatalf("exit code %d, error %v", code, err)
	}
}

// A slot that no call has set is neither a descriptor nor an errno.
func TestUnsetSlot(t *testing.T) {
	p := plan.New()
	p.Begin("slots")
	host := p.HostSlot("never set")
	root := p.Openat2(plan.OnHost, "root", plan.CWD, "/", unix.O_PATH, 0, 0)
	never := p.Openat2(plan.InChild, "not run", plan.CWD, "/", unix.O_PATH, 0, 0, plan.When(plan.IfErr, root))
	fail := func(side plan.Side, o plan.Opt) { p.Call(side, unix.SYS_FCHDIR, []plan.Arg{plan.Int(-1)}, o) }
	for _, c := range []plan.Cond{plan.IfOK, plan.IfErr} {
		fail(plan.OnHost, plan.When(c, host))
		fail(plan.InChild, plan.When(c, host))
		fail(plan.InChild, plan.When(c, never))
	}
	p.Note("use of an unset slot")
	p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{never.Arg()})
	_, err := run(t, p, Options{})
	if want := "use of an unset slot: bad file descriptor (step slots)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestUnexpectedResult(t *testing.T) {
	for _, side := range []plan.Side{plan.OnHost, plan.InChild} {
		p := plan.New()
		p.Begin("want")
		null := p.Openat2(side, "null", plan.CWD, "/dev/null", unix.O_RDONLY, 0, 0)
		p.Call(side, unix.SYS_FCNTL, []plan.Arg{null.Arg(), plan.Int(unix.F_GETFD), plan.Int(0)}, plan.Want(7))
		if _, err := run(t, p, Options{}); !errors.Is(err, unix.EINVAL) {
			t.Errorf("fcntl: error %v, want EINVAL", err)
		}
		p = plan.New()
		p.Begin("want")
		null = p.Openat2(side, "null", plan.CWD, "/dev/null", unix.O_RDONLY, 0, 0)
		p.Call(side, unix.SYS_READ, []plan.Arg{null.Arg(), p.Bytes(make([]byte, 8)), plan.Int(1)}, plan.Want(1))
		if _, err := run(t, p, Options{}); !errors.Is(err, unix.EPIPE) {
			t.Errorf("read: error %v, want EPIPE", err)
		}
	}
}

// Load and Store move a slot's value through memory, on both sides.
func TestLoadAndStore(t *testing.T) {
	for _, side := range []plan.Side{plan.OnHost, plan.InChild} {
		p := plan.New()
		p.Begin("memory")
		null := p.Openat2(side, "null", plan.CWD, "/dev/null", unix.O_PATH, 0, 0)
		mode := p.ModeOf(side, null)
		p.Call(side, unix.SYS_CLOSE, []plan.Arg{null.Arg()}, plan.When(plan.IfOK, mode))
		// Not made: nothing has set the slot.
		skipped := p.ModeOf(side, null, plan.When(plan.IfErr, mode))
		p.Call(side, unix.SYS_CLOSE, []plan.Arg{plan.Int(-1)}, plan.When(plan.IfOK, skipped))
		mem := p.Words(plan.MemBytes, 0x1111111122222222)
		p.StoreSlot(side, mem, 4, mode)
		low, high := p.LoadSlot(side, "low", mem, 0), p.LoadSlot(side, "high", mem, 4)
		p.Begin("exec")
		p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
		s := start(t, p, Options{})
		if err := s.WaitExec(); err != nil {
			t.Fatal(err)
		}
		if got := s.Get(mode); got&unix.S_IFMT != unix.S_IFCHR {
			t.Errorf("mode %#o is not a character device's", got)
		}
		if got := s.Get(low); got != 0x22222222 {
			t.Errorf("low word %#x", got)
		}
		if s.Get(high) != s.Get(mode) {
			t.Errorf("stored %#x, loaded %#x", s.Get(mode), s.Get(high))
		}
	}
}

// TestRaced: a ".." that is resolved while others on the machine rename things is
// resolved again, on both sides.
func TestRaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		from, to := dir+"/x", dir+"/y"
		if err := os.Mkdir(from, 0o755); err != nil {
			t.Error(err)
		}
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(from, to)
			from, to = to, from
		}
	})
	path := strings.Repeat("a/b/../../", 100) + "a"
	for range 20 {
		p := plan.New()
		p.Begin("files")
		root := p.Openat2(plan.OnHost, "root", plan.CWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0, 0)
		for range 20 {
			fd := p.Openat2(plan.OnHost, "up", root.Arg(), path, unix.O_PATH, 0, plan.InRoot)
			p.Close(plan.OnHost, fd.Arg())
			fd = p.Openat2(plan.InChild, "up", root.Arg(), path, unix.O_PATH, 0, plan.InRoot)
			p.Close(plan.InChild, fd.Arg())
		}
		p.Begin("exec")
		p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
		if code, err := run(t, p, Options{}); err != nil || code != 0 {
			t.Fatalf("exit code %d, error %v", code, err)
		}
	}
}
