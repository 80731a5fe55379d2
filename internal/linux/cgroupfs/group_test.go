package cgroupfs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

func TestCreate(t *testing.T) {
	e := setup(t)
	r := &specs.LinuxResources{
		Devices: defaultDevices(),
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0"},
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(77))},
	}
	steps := 0
	s := e.compute(t, r, cgroup.Options{})
	g, err := Create(s, func(i int) {
		if i != steps {
			t.Errorf("after(%d), want %d", i, steps)
		}
		steps++
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Remove(5 * time.Second); err != nil {
			t.Error(err)
		}
	}()
	if steps != len(s.Actions) {
		t.Errorf("after was called %d times for %d actions", steps, len(s.Actions))
	}
	if m := slices.Concat(s.Missing, g.Missing()); len(m) > 0 && e.has("cpuset") {
		t.Errorf("missing: %v", m)
	}
	for _, want := range []struct{ controller, v1, v2, v1Value, v2Value string }{
		{"pids", "pids.max", "pids.max", "77", "77"},
		{"memory", "memory.limit_in_bytes", "memory.max", "67108864", "67108864"},
		{"cpu", "cpu.shares", "cpu.weight", "512", "59"},
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000"},
		{"cpuset", "cpuset.cpus", "cpuset.cpus", "0", "0"},
	} {
		if !e.has(want.controller) {
			continue
		}
		value := want.v1Value
		if e.Hierarchies[e.Find(want.controller)].Unified {
			value = want.v2Value
		}
		if got := e.file(t, want.controller, want.v1, want.v2); got != value {
			t.Errorf("%s = %q, want %q", want.v1, got, value)
		}
	}

	p := start(t, g, "wait")
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, ":"+e.path+"\n") && e.shows(line) {
			t.Errorf("child is not in the group: %s", line)
		}
	}
	pids, err := g.Procs()
	if err != nil || !slices.Equal(pids, []int{p.Process.Pid}) {
		t.Errorf("Procs = %v, %v, want %d", pids, err, p.Process.Pid)
	}
	if _, err := Create(s, nil); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Create over a populated group = %v, want a conflict", err)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// shows tells whether the hierarchy of a /proc/PID/cgroup line is mounted.
func (e env) shows(line string) bool {
	f := strings.SplitN(line, ":", 3)
	if f[1] == "" {
		return e.Unified() >= 0
	}
	c, _, _ := strings.Cut(f[1], ",")
	return e.has(c)
}

func TestUndo(t *testing.T) {
	e := setup(t) // sees to it that nothing is left, parents included
	if !e.has("cpuset") && !e.has("pids") {
		t.Skip("no controller to refuse a value")
	}
	s := e.compute(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(1))}}, cgroup.Options{})
	for i := range s.Actions {
		if s.Actions[i].File == "pids.max" {
			s.Actions[i].Value = "nonsense"
		}
	}
	_, err := Create(s, nil)
	if fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), "set pids.limit to \"nonsense\" in /") {
		t.Errorf("Create = %v", err)
	}
	for _, h := range e.Hierarchies {
		if _, err := os.Stat(h.Mount + filepath.Dir(e.path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s%s: %v", h.Mount, filepath.Dir(e.path), err)
		}
	}
}

func TestReuse(t *testing.T) {
	e := setup(t)
	e.create(t, nil).Close()
	g := e.create(t, nil) // a group that a crash left behind, empty
	start(t, g, "wait")
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	e := setup(t)
	if _, err := Open(e.Layout, e.path); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Open = %v, want not found", err)
	}
	start(t, e.create(t, nil), "wait")
	g, err := Open(e.Layout, e.path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.OpenTasks(); err != nil {
		t.Fatal(err)
	}
	start(t, g, "wait") // a second process, as exec does
	if pids, err := g.Procs(); err != nil || len(pids) != 2 {
		t.Errorf("Procs = %v, %v, want two", pids, err)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
	if err := g.Remove(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestOOM(t *testing.T) {
	e := setup(t)
	if !e.has("memory") {
		t.Skip("no memory controller")
	}
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(32 << 20))}}
	g := e.create(t, r)
	p := start(t, g, "eat")
	err := p.Wait()
	if ws, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("child ended with %v, want SIGKILL", err)
	}
	if n, err := g.OOMKills(); err != nil || n != 1 {
		t.Errorf("OOMKills = %d, %v, want 1", n, err)
	}
}

func TestFreeze(t *testing.T) {
	e := setup(t)
	if !e.has("freezer") && e.Unified() < 0 {
		t.Skip("no freezer")
	}
	g := e.create(t, nil)
	p := start(t, g, "spin")
	if err := g.Freeze(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if f, err := g.Frozen(); err != nil || !f {
		t.Errorf("Frozen = %v, %v, want true", f, err)
	}
	if err := g.Thaw(); err != nil {
		t.Fatal(err)
	}
	if f, err := g.Frozen(); err != nil || f {
		t.Errorf("Frozen = %v, %v, want false", f, err)
	}
	// What a killed engine leaves behind: found by path, frozen.
	if err := g.Freeze(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	left, err := Open(e.Layout, e.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
	_ = p.Wait()
	if err := left.Remove(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// v1Only hides the unified hierarchy, which tests the way of hosts that do
// not have it or whose kernel has no cgroup.kill.
func (e env) v1Only(t *testing.T) env {
	t.Helper()
	i := e.Unified()
	if i == 0 && len(e.Hierarchies) == 1 {
		t.Skip("pure v2")
	}
	if i >= 0 {
		e.Hierarchies = slices.Delete(slices.Clone(e.Hierarchies), i, i+1)
	}
	return e
}

func TestKill(t *testing.T) {
	t.Run("all", func(t *testing.T) { testKill(t, setup(t)) })
	t.Run("v1", func(t *testing.T) { testKill(t, setup(t).v1Only(t)) })
}

func testKill(t *testing.T, e env) {
	g := e.create(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(60))}})
	p := start(t, g, "fork")
	// A sub-group in every hierarchy, with a process in it.
	sub := e
	sub.path += "/sub"
	sg, err := Create(sub.compute(t, nil, cgroup.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sg.Close()
	if e.Unified() < 0 || len(e.Hierarchies) > 1 {
		start(t, sg, "wait")
	}
	if got := p.line(t); got != "forking" {
		t.Fatalf("child says %q", got)
	}
	if err := g.Kill(10 * time.Second); err != nil {
		t.Error(err)
	}
	if pids, err := g.Procs(); err != nil || len(pids) > 0 {
		t.Errorf("Procs = %v, %v after Kill", pids, err)
	}
	if err := g.Remove(5 * time.Second); err != nil { // with sub-groups
		t.Error(err)
	}
}

func TestRemoveBusy(t *testing.T) {
	e := setup(t)
	g := e.create(t, nil)
	start(t, g, "wait")
	left, err := Open(e.Layout, e.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Remove(0); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Remove = %v, want a conflict", err)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestDevices(t *testing.T) {
	e := setup(t)
	g := e.create(t, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "rwm"},
	}})
	p := start(t, g, "null")
	if got := p.line(t) + ", " + p.line(t); got != "/dev/null true, /dev/zero false" {
		t.Errorf("child opens %s", got)
	}
	for _, tt := range []struct {
		rules []specs.LinuxDeviceCgroup
		want  string
	}{
		{[]specs.LinuxDeviceCgroup{
			{Access: "rwm"},
			{Allow: true, Type: "c", Major: ptr(int64(1)), Access: "r"},
		}, "/dev/null true, /dev/zero true"},
		{[]specs.LinuxDeviceCgroup{
			{Allow: true, Access: "rwm"},
			{Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "r"},
		}, "/dev/null false, /dev/zero true"},
		{[]specs.LinuxDeviceCgroup{{Allow: true}}, "/dev/null true, /dev/zero true"},
	} {
		if err := g.Update(e.compute(t, &specs.LinuxResources{Devices: tt.rules}, cgroup.Options{Update: true})); err != nil {
			t.Fatal(err)
		}
		p := start(t, g, "null")
		if got := p.line(t) + ", " + p.line(t); got != tt.want {
			t.Errorf("after %v child opens %s, want %s", tt.rules, got, tt.want)
		}
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestUpdate(t *testing.T) {
	e := setup(t)
	g := e.create(t, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(100000)), Burst: ptr(uint64(50000))},
	})
	// Up and down: each needs another order of the writes on v1.
	for _, m := range []int64{256, 32} {
		for _, q := range []int64{400000, 20000} {
			r := &specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: ptr(m << 20), Swap: ptr(m << 20)},
				CPU:    &specs.LinuxCPU{Quota: ptr(q), Burst: ptr(uint64(q / 2)), Period: ptr(uint64(50000))},
			}
			if err := g.Update(e.compute(t, r, cgroup.Options{Update: true})); err != nil {
				t.Fatal(err)
			}
			if e.has("memory") {
				if got := e.file(t, "memory", "memory.limit_in_bytes", "memory.max"); got != strconv.FormatInt(m<<20, 10) {
					t.Errorf("memory limit is %s", got)
				}
			}
		}
	}
	if !e.has("memory") {
		return
	}
	start(t, g, "hold").line(t)
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), CheckBeforeUpdate: ptr(true)}}
	if err := g.Update(e.compute(t, r, cgroup.Options{Update: true})); fault.KindOf(err) != fault.Conflict {
		t.Errorf("limit below usage = %v, want a conflict", err)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestMissingFile(t *testing.T) {
	e := setup(t)
	if !e.has("memory") {
		t.Skip("no memory controller")
	}
	s := e.compute(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}}, cgroup.Options{})
	for i := range s.Actions {
		if s.Actions[i].Resource == "memory.limit" {
			s.Actions[i].File = "memory.no_such_file"
		}
	}
	g, err := Create(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Remove(time.Second) }()
	want := []cgroup.Missing{{Resource: "memory.limit", Controller: "memory", File: "memory.no_such_file", Cause: "the kernel lacks memory.no_such_file"}}
	if !slices.Equal(g.Missing(), want) {
		t.Errorf("Missing = %v", g.Missing())
	}
}

// TestInternalProcesses is v2's rule that a group has either processes or
// controllers for its children.
func TestInternalProcesses(t *testing.T) {
	e := setup(t)
	if i := e.Find("memory"); i < 0 || !e.Hierarchies[i].Unified {
		t.Skip("memory is not on v2")
	}
	parent := e
	parent.path += "/parent"
	pg, err := Create(parent.compute(t, nil, cgroup.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, pg, "wait")
	child := parent
	child.path += "/child"
	g, err := Create(child.compute(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}}, cgroup.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := g.Missing(); len(m) != 1 || m[0].Resource != "memory.limit" || !strings.Contains(m[0].Cause, "processes of its own") {
		t.Errorf("Missing = %v", m)
	}
	_ = p.Process.Kill()
	_ = p.Wait()
	for _, x := range []*Group{g, pg} {
		if err := x.Remove(5 * time.Second); err != nil {
			t.Error(err)
		}
	}
	if err := RemoveParent(e.Layout, e.path); err != nil {
		t.Error(err)
	}
}

func TestUnifiedKey(t *testing.T) {
	e := setup(t)
	if e.Unified() < 0 {
		t.Skip("no cgroup v2")
	}
	e.create(t, &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "3"}})
	b, err := os.ReadFile(e.Hierarchies[e.Unified()].Mount + e.path + "/cgroup.max.depth")
	if err != nil || string(b) != "3\n" {
		t.Errorf("cgroup.max.depth = %q, %v", b, err)
	}
}

func TestCPUUsage(t *testing.T) {
	e := setup(t)
	if !e.has("cpuacct", "cpu") {
		t.Skip("no cpu controller")
	}
	g := e.create(t, nil)
	p := start(t, g, "spin")
	if got := p.line(t); got != "burnt" {
		t.Fatalf("child says %q", got)
	}
	// The kernel's two clocks differ by some ticks.
	if used, err := g.CPUUsage(); err != nil || used < burn/4 {
		t.Errorf("CPUUsage = %v, %v, want some %v", used, err, burn)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestNotCgroup(t *testing.T) {
	testkit.Root(t, "makes cgroups")
	dir := t.TempDir()
	l := cgroup.Layout{Hierarchies: []cgroup.Hierarchy{{Mount: dir, Root: "/", Self: "/", Unified: true}}}
	s, err := cgroup.Compute(l, "/a/b", nil, cgroup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(s, nil); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("Create = %v, want unsupported", err)
	}
	if err := unix.Access(dir+"/a", unix.F_OK); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%s/a: %v", dir, err)
	}
}
