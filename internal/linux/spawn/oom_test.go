package spawn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// memoryGroup makes a cgroup of the test's own with a memory limit, below
// tare-test-PID, on v1 or v2. It is raw files on purpose: the packages for
// cgroups are not under test.
func memoryGroup(t *testing.T, limit int) (dir string, unified bool) {
	t.Helper()
	testkit.Root(t, "makes processes in namespaces")
	root, unified := "/sys/fs/cgroup", true
	if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
		root, unified = root+"/memory", false
		if _, err := os.Stat(root + "/memory.limit_in_bytes"); err != nil {
			t.Skip("no memory controller in /sys/fs/cgroup or /sys/fs/cgroup/memory")
		}
	}
	parent := filepath.Join(root, "tare-test-"+strconv.Itoa(os.Getpid()))
	dir = parent + "/oom"
	t.Cleanup(func() {
		for _, d := range []string{dir, parent} {
			if err := os.Remove(d); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	write := func(file, text string) error { return os.WriteFile(file, []byte(text), 0) }
	for _, d := range []string{root, parent} {
		if d == parent {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Skipf("cgroup: %v", err)
			}
		}
		if unified {
			if err := write(d+"/cgroup.subtree_control", "+memory"); err != nil {
				t.Skipf("memory controller: %v", err)
			}
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"memory.limit_in_bytes": strconv.Itoa(limit), "memory.swappiness": "0"}
	if unified {
		files = map[string]string{"memory.max": strconv.Itoa(limit)}
		if _, err := os.Stat(dir + "/memory.swap.max"); err == nil {
			files["memory.swap.max"] = "0"
		}
	}
	for name, text := range files {
		if err := write(filepath.Join(dir, name), text); err != nil {
			t.Fatal(err)
		}
	}
	return dir, unified
}

func oomKills(t *testing.T, dir string, unified bool) int {
	t.Helper()
	file := dir + "/memory.oom_control"
	if unified {
		file = dir + "/memory.events"
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\noom_kill ")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("%s: %q: %v", file, b, err)
	}
	return n
}

// The child runs out of its cgroup's memory before exec. It dies, that is not
// taken for a success, and this process lives.
func TestOOMBeforeExec(t *testing.T) {
	dir, unified := memoryGroup(t, 16<<20)
	p := plan.New()
	p.Begin("cgroup")
	var o Options
	if unified {
		o.Cgroup = p.Openat2(plan.OnHost, "cgroup", plan.CWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	} else {
		tasks := p.Openat2(plan.OnHost, "tasks", plan.CWD, dir+"/tasks", unix.O_WRONLY, 0, 0)
		p.Write(plan.InChild, tasks.Arg(), "0")
	}
	p.Begin("eat")
	p.Note("allocate")
	p.Call(plan.InChild, unix.SYS_MMAP, []plan.Arg{
		plan.Int(0), plan.Int(256 << 20), plan.Int(unix.PROT_READ | unix.PROT_WRITE),
		plan.Int(unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE), plan.Int(-1), plan.Int(0),
	})
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	_, err := run(t, p, o)
	wantKilled(t, err, "eat", unix.SIGKILL)
	if n := oomKills(t, dir, unified); n != 1 {
		t.Errorf("%d OOM kills, want 1", n)
	}
}

// With shared memory oom_score_adj would be set for the engine too.
func TestOOMScoreStaysInChild(t *testing.T) {
	read := func(pid int) string {
		t.Helper()
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	before := read(os.Getpid())
	g := newGated(t)
	g.Begin("oom-score")
	fd := g.Openat2(plan.InChild, "oom_score_adj", plan.CWD, "/proc/self/oom_score_adj", unix.O_WRONLY, 0, 0)
	g.Write(plan.InChild, fd.Arg(), "987")
	g.wait()
	s := start(t, g.Plan, Options{})
	g.ready.get(t)
	if got := read(s.Pid); got != "987" {
		t.Errorf("the child has %s, want 987", got)
	}
	if got := read(os.Getpid()); got != before {
		t.Errorf("this process has %s, had %s", got, before)
	}
}
