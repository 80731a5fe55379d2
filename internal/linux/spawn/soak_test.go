package spawn

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// starts is how many starts each soak test does: 1,000 with TARE_SOAK=1.
func starts() int {
	if os.Getenv("TARE_SOAK") == "1" {
		return 1000
	}
	return 200
}

// disturb keeps the garbage collector and the scheduler busy until stop.
func disturb() (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(f func()) {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					f()
				}
			}
		})
	}
	loop(runtime.GC)
	for range 50 {
		var keep [][]byte
		loop(func() {
			keep = append(keep, make([]byte, 1<<10))
			if len(keep) == 100 {
				keep = nil
			}
			runtime.Gosched()
		})
	}
	return func() {
		close(quit)
		wg.Wait()
	}
}

// soakPlan is a start with a gate, descriptors from both sides and, as root,
// a mount in a namespace of its own.
func soakPlan(gate int, dir string) (*plan.Plan, Options) {
	p := plan.New()
	var o Options
	p.Begin("files")
	p.Openat2(plan.OnHost, "null", plan.CWD, "/dev/null", unix.O_RDWR, 0, 0)
	// A mount can be put only on what belongs to the child's own namespace.
	root := p.Openat2(plan.InChild, "root", plan.CWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	for range 10 {
		p.Openat2(plan.InChild, "null", plan.CWD, "/dev/null", unix.O_RDWR, 0, 0)
	}
	if os.Getuid() == 0 {
		o.Flags = unix.CLONE_NEWNS | unix.CLONE_NEWPID
		p.Begin("mounts")
		fs := p.Fsopen(plan.OnHost, "tmpfs")
		p.FsCreate(plan.OnHost, fs)
		m := p.Fsmount(plan.OnHost, "tmpfs", fs, 0)
		p.Call(plan.InChild, unix.SYS_MOUNT, []plan.Arg{plan.Int(0), p.Str("/"), plan.Int(0), plan.Int(unix.MS_REC | unix.MS_PRIVATE), plan.Int(0)})
		p.MoveMount(plan.InChild, m.Arg(), root.Arg())
	}
	p.Begin("gate")
	p.Gate(p.Given("gate", gate))
	p.Begin("exec")
	p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{root.Arg()})
	p.Exec([]string{"/nonexistent/true", "/bin/true"}, []string{"true"}, nil)
	return p, o
}

func soakOne(dir string) error {
	var gate [2]int
	if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	p, o := soakPlan(gate[0], dir)
	r, err := New(p)
	if err != nil {
		return err
	}
	defer r.Close()
	err = r.Host(o)
	var child Process
	if err == nil {
		child, err = r.Clone(o)
	}
	closeFD(gate[0])
	defer closeFD(gate[1])
	if err != nil {
		return err
	}
	defer child.Release()
	if _, err := unix.Write(gate[1], []byte{1}); err != nil && err != unix.EPIPE {
		return err
	}
	if err := r.WaitExec(); err != nil {
		return err
	}
	st, err := child.Wait()
	if err == nil && st.ExitCode() != 0 {
		err = errors.New("exit code not 0")
	}
	return err
}

func TestSoakInARow(t *testing.T)      { soak(t, 1) }
func TestSoakEightAtOnce(t *testing.T) { soak(t, 8) }

func soak(t *testing.T, workers int) {
	needClone3(t)
	dir := t.TempDir()
	if err := soakOne(dir); err != nil { // opens what Go keeps open, too
		t.Fatal(err)
	}
	before := takeCensus(t)
	stop := disturb()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range starts() / workers {
				if err := soakOne(dir); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	stop()
	before.wantUnchanged(t)
}

// os/exec runs Go in its child, and with a new user namespace on a copy of the
// memory: it must not meet the moment in which the heap is not copied.
func TestBesideOSExec(t *testing.T) {
	needClone3(t)
	testkit.Root(t, "makes processes in namespaces")
	dir := t.TempDir()
	other := func() error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		return cmd.Run()
	}
	if err := other(); err != nil {
		t.Skipf("user namespace: %v", err)
	}
	var wg sync.WaitGroup
	for _, f := range []func() error{other, func() error { return soakOne(dir) }} {
		for range 2 {
			wg.Go(func() {
				for range starts() / 4 {
					if err := f(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// No way for a start to fail leaves a descriptor, a process or a mount.
func TestFailuresLeaveNothing(t *testing.T) {
	needClone3(t)
	null := func(p *plan.Plan) plan.Slot {
		return p.Openat2(plan.OnHost, "null", plan.CWD, "/dev/null", unix.O_RDWR, 0, 0)
	}
	trueAfter := func(p *plan.Plan) { p.Exec([]string{"/bin/true"}, []string{"true"}, nil) }
	for _, tt := range []struct {
		name  string
		build func(*plan.Plan)
		o     Options
		want  unix.Errno
	}{
		{"host call", func(p *plan.Plan) {
			null(p)
			p.Openat2(plan.OnHost, "x", plan.CWD, "/nonexistent", unix.O_PATH, 0, 0)
		}, Options{}, unix.ENOENT},
		{"host action", func(p *plan.Plan) {
			null(p)
			p.Do(plan.Text("fail"), func(plan.Slots) error { return unix.EDOM })
		}, Options{}, unix.EDOM},
		{"clone", func(p *plan.Plan) { null(p); trueAfter(p) }, Options{Flags: unix.CLONE_THREAD}, unix.EINVAL},
		{"child call", func(p *plan.Plan) {
			p.Openat2(plan.InChild, "x", null(p).Arg(), "x", unix.O_PATH, 0, 0)
			trueAfter(p)
		}, Options{}, unix.ENOTDIR},
		{"exec", func(p *plan.Plan) { null(p); p.Exec([]string{"/nonexistent"}, []string{"x"}, nil) }, Options{}, unix.ENOENT},
		{"fork", func(p *plan.Plan) {
			p.Fork()
			p.Openat2(plan.InChild, "x", null(p).Arg(), "x", unix.O_PATH, 0, 0)
			trueAfter(p)
		}, Options{}, unix.ENOTDIR},
		{"explicit close", func(p *plan.Plan) {
			p.Close(plan.OnHost, null(p).Arg())
			p.Openat2(plan.InChild, "x", plan.CWD, "/nonexistent", unix.O_PATH, 0, 0)
		}, Options{}, unix.ENOENT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := takeCensus(t)
			t.Run("start", func(t *testing.T) {
				p := plan.New()
				tt.build(p)
				if _, err := run(t, p, tt.o); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			})
			before.wantUnchanged(t)
		})
	}
}
