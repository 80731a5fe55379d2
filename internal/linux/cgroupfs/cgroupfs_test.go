package cgroupfs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// role makes the test binary play a process of a container. It joins the v1
// hierarchies by fds 3 and up, says "joined" and does what the role is.
const role = "TARE_CGROUPFS_ROLE"

// burn is the CPU time that the role "spin" uses before it says "burnt".
const burn = 50 * time.Millisecond

func TestMain(m *testing.M) {
	if r := os.Getenv(role); r != "" {
		os.Exit(play(r))
	}
	os.Exit(m.Run())
}

func play(r string) int {
	if err := enter(); err != nil {
		fmt.Println("enter", err)
		return 1
	}
	fmt.Println("joined")
	switch r {
	case "wait":
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "null":
		for _, dev := range []string{"/dev/null", "/dev/zero"} {
			f, err := os.Open(dev)
			fmt.Println(dev, err == nil)
			_ = f.Close()
		}
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "eat":
		_ = touch(256 << 20)
	case "hold":
		b := touch(4 << 20)
		fmt.Println("held", len(b))
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "spin":
		for start := cpuTime(); cpuTime()-start < burn; {
			_ = touch(4096)
		}
		fmt.Println("burnt")
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "fork":
		// Children that come and go all the time are what a kill must not lose.
		for n := 0; ; n++ {
			c := exec.Command("/proc/self/exe")
			c.Env = []string{role + "=wait"}
			if n < 8 {
				c.Stdin = os.Stdin // stays
			}
			err := c.Start()
			if err == nil && n >= 8 {
				_ = c.Wait()
			}
			if n == 8 {
				fmt.Println("forking")
			}
		}
	}
	return 0
}

// enter joins the v1 hierarchies. A child of tare has a single thread, which
// "0" moves; this one is a Go program with many, which may start more
// meanwhile: those are moved by number until there are no new ones.
func enter() error {
	runtime.LockOSThread()
	n, _ := strconv.Atoi(os.Getenv("TARE_CGROUPFS_TASKS"))
	seen := map[string]bool{strconv.Itoa(unix.Gettid()): true}
	move := func(id string) error {
		for fd := 3; fd < 3+n; fd++ {
			if _, err := unix.Write(fd, []byte(id)); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("write %s to fd %d: %w", id, fd, err)
			}
		}
		return nil
	}
	if err := move("0"); err != nil {
		return err
	}
	for again := true; again; {
		again = false
		dir, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, f := range dir {
			if seen[f.Name()] {
				continue
			}
			seen[f.Name()], again = true, true
			if err := move(f.Name()); err != nil {
				return err
			}
		}
	}
	for fd := 3; fd < 3+n; fd++ {
		_ = unix.Close(fd)
	}
	return nil
}

// touch returns n bytes of memory that are really there.
func touch(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return b
}

func cpuTime() time.Duration {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

type proc struct {
	*exec.Cmd
	in  *os.File
	out *bufio.Reader
}

func (p *proc) line(t *testing.T) string {
	t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("read from child: %v", err)
	}
	return strings.TrimSpace(s)
}

// start runs a role inside g.
func start(t *testing.T, g *Group, r string) *proc {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	fds := g.TasksFDs()
	c.Env = []string{role + "=" + r, "TARE_CGROUPFS_TASKS=" + strconv.Itoa(len(fds))}
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(dup), "tasks")
		defer func() { _ = f.Close() }()
		c.ExtraFiles = append(c.ExtraFiles, f)
	}
	if fd := g.UnifiedFD(); fd >= 0 {
		c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = inR, outW, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatalf("start %s: %v", r, err)
	}
	_ = inR.Close()
	_ = outW.Close()
	p := &proc{c, inW, bufio.NewReader(outR)}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = inW.Close()
		_ = outR.Close()
	})
	if s := p.line(t); s != "joined" {
		t.Fatalf("child says %q", s)
	}
	return p
}

// env is one test's layout and group path; at the end nothing may be left.
type env struct {
	cgroup.Layout
	path string
}

func setup(t *testing.T) env {
	t.Helper()
	testkit.Root(t, "makes cgroups")
	l, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Hierarchies) == 0 {
		t.Skip("no cgroup hierarchy is mounted")
	}
	parent := "/tare-test-" + strconv.Itoa(os.Getpid())
	fds := openFDs(t)
	t.Cleanup(func() {
		if err := RemoveParent(l, parent); err != nil {
			t.Error(err)
		}
		for _, h := range l.Hierarchies {
			if _, err := os.Stat(h.Mount + parent); err == nil {
				t.Errorf("left behind: %s%s", h.Mount, parent)
			}
		}
		if now := openFDs(t); now != fds {
			t.Errorf("%d fds open, %d before", now, fds)
		}
	})
	return env{l, parent + "/c"}
}

func openFDs(t *testing.T) int {
	t.Helper()
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range dir {
		// Go's own poller comes to life with the first child.
		to, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") {
			n++
		}
	}
	return n
}

func (e env) compute(t *testing.T, r *specs.LinuxResources, o cgroup.Options) *cgroup.Set {
	t.Helper()
	s, err := cgroup.Compute(e.Layout, e.path, r, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (e env) create(t *testing.T, r *specs.LinuxResources) *Group {
	t.Helper()
	g, err := Create(e.compute(t, r, cgroup.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return g
}

// has tells whether this host has the controller, under either name.
func (e env) has(names ...string) bool {
	for _, n := range names {
		if e.Find(n) >= 0 {
			return true
		}
	}
	return false
}

// file reads a group's file by the v1 or the v2 name.
func (e env) file(t *testing.T, controller, v1, v2 string) string {
	t.Helper()
	h := e.Hierarchies[e.Find(controller)]
	name := v1
	if h.Unified {
		name = v2
	}
	b, err := os.ReadFile(filepath.Join(h.Mount, e.path, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func ptr[T any](v T) *T { return &v }

func defaultDevices() []specs.LinuxDeviceCgroup {
	d := []specs.LinuxDeviceCgroup{{Access: "rwm"}}
	add := func(kind string, major, minor int64, access string) {
		d = append(d, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: &major, Minor: &minor, Access: access})
	}
	add("c", -1, -1, "m")
	add("b", -1, -1, "m")
	for _, minor := range []int64{3, 5, 7, 8, 9} {
		add("c", 1, minor, "rwm")
	}
	add("c", 5, 0, "rwm")
	add("c", 5, 2, "rwm")
	add("c", 136, -1, "rwm")
	return d
}

func BenchmarkCreate(b *testing.B) {
	l, err := Probe()
	if err != nil || os.Geteuid() != 0 || len(l.Hierarchies) == 0 {
		b.Skip("needs root and cgroups")
	}
	parent := "/tare-test-" + strconv.Itoa(os.Getpid())
	for _, bb := range []struct {
		name string
		r    *specs.LinuxResources
	}{
		{"bare", nil},
		{"devices+memory+pids", &specs.LinuxResources{
			Devices: defaultDevices(),
			Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20))},
			Pids:    &specs.LinuxPids{Limit: ptr(int64(100))},
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var create, remove time.Duration
			for i := 0; b.Loop(); i++ {
				s, err := cgroup.Compute(l, parent+"/"+strconv.Itoa(i), bb.r, cgroup.Options{})
				if err != nil {
					b.Fatal(err)
				}
				t0 := time.Now()
				g, err := Create(s, nil)
				if err != nil {
					b.Fatal(err)
				}
				t1 := time.Now()
				if err := g.Remove(time.Second); err != nil {
					b.Fatal(err)
				}
				create += t1.Sub(t0)
				remove += time.Since(t1)
			}
			b.ReportMetric(float64(create.Microseconds())/float64(b.N), "create-µs")
			b.ReportMetric(float64(remove.Microseconds())/float64(b.N), "remove-µs")
		})
	}
	if err := RemoveParent(l, parent); err != nil {
		b.Error(err)
	}
}

// BenchmarkHierarchy tells what each hierarchy's mkdir and rmdir cost.
func BenchmarkHierarchy(b *testing.B) {
	l, err := Probe()
	if err != nil || os.Geteuid() != 0 {
		b.Skip("needs root and cgroups")
	}
	for _, h := range l.Hierarchies {
		b.Run(strings.Join(h.Controllers, "+"), func(b *testing.B) {
			dir := h.Mount + "/tare-test-" + strconv.Itoa(os.Getpid())
			var mk, rm time.Duration
			for b.Loop() {
				t0 := time.Now()
				if err := unix.Mkdir(dir, 0o755); err != nil {
					b.Fatal(err)
				}
				t1 := time.Now()
				if err := unix.Rmdir(dir); err != nil {
					b.Fatal(err)
				}
				mk += t1.Sub(t0)
				rm += time.Since(t1)
			}
			b.ReportMetric(float64(mk.Nanoseconds())/1000/float64(b.N), "mkdir-µs")
			b.ReportMetric(float64(rm.Nanoseconds())/1000/float64(b.N), "rmdir-µs")
		})
	}
}
