package cgroupfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// TestReuseFrozen: a frozen group that a killed engine left behind holds
// nobody up.
func TestReuseFrozen(t *testing.T) {
	for name, e := range map[string]func(*testing.T) env{"all": setup, "v1": func(t *testing.T) env { return setup(t).v1Only(t) }} {
		t.Run(name, func(t *testing.T) {
			e := e(t)
			g := e.create(t, nil)
			if !e.has("freezer") && e.Unified() < 0 {
				t.Skip("no freezer")
			}
			if err := g.Freeze(time.Second); err != nil {
				t.Fatal(err)
			}
			// Both, where a host has both.
			if fd := g.UnifiedFD(); fd >= 0 {
				if err := writeAt(fd, "cgroup.freeze", "1"); err != nil {
					t.Fatal(err)
				}
			}
			g.Close()
			g = e.create(t, nil)
			start(t, g, "wait") // says that it has joined
			if f, err := g.Frozen(); err != nil || f {
				t.Errorf("Frozen = %v, %v", f, err)
			}
			if err := g.Kill(5 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEmptyCpusetParent: a parent that somebody made and did not fill takes
// no process on v1, and gives none to its children.
func TestEmptyCpusetParent(t *testing.T) {
	e := setup(t)
	i := e.Find("cpuset")
	if i < 0 || e.Hierarchies[i].Unified {
		t.Skip("no cpuset on v1")
	}
	parent := filepath.Dir(e.Hierarchies[i].Mount + e.path)
	if err := os.Mkdir(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(parent+"/cgroup.clone_children", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	g := e.create(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}})
	start(t, g, "wait")
	for file, want := range map[string]string{"cpuset.cpus": "0", "cpuset.mems": "0"} {
		if got := e.file(t, "cpuset", file, file); got != want {
			t.Errorf("%s = %q, want %q", file, got, want)
		}
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestPidsZero: 0 is no process besides the first.
func TestPidsZero(t *testing.T) {
	e := setup(t)
	if !e.has("pids") {
		t.Skip("no pids controller")
	}
	e.create(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}})
	if got := e.file(t, "pids", "pids.max", "pids.max"); got != "1" {
		t.Errorf("pids.max = %s", got)
	}
}

// TestLimitBelowUsage: what the kernel cannot do is an error on v1; on v2 it
// reclaims, and the limit holds.
func TestLimitBelowUsage(t *testing.T) {
	e := setup(t)
	if !e.has("memory") {
		t.Skip("no memory controller")
	}
	g := e.create(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20))}})
	start(t, g, "hold").line(t)
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), Swap: ptr(int64(1 << 20))}}
	err := g.Update(e.compute(t, r, cgroup.Options{Update: true}))
	if e.Hierarchies[e.Find("memory")].Unified {
		if err != nil {
			t.Errorf("v2: %v", err)
		}
	} else if !errors.Is(err, unix.EBUSY) {
		t.Errorf("v1: %v, want EBUSY", err)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Error(err)
	}
}
