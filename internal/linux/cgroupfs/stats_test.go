package cgroupfs

import (
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

func TestStats(t *testing.T) {
	e := setup(t)
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(100))},
	}
	g := e.create(t, r)
	p := start(t, g, "hold")
	p.line(t)
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if e.has("memory") {
		m := s.Memory
		if m == nil || m.Usage < 4<<20 || m.Usage > 64<<20 || m.Limit != 64<<20 || m.Anon < 4<<20 || m.WorkingSet > m.Usage || m.WorkingSet < m.Anon {
			t.Errorf("memory: %+v", m)
		} else if m.SwapLimit != 32<<20 && m.SwapLimit != cgroup.Unlimited { // no swap accounting
			t.Errorf("swap limit: %d", m.SwapLimit)
		}
	}
	if e.has("pids") && (s.Pids == nil || s.Pids.Current == 0 || s.Pids.Limit != 100) {
		t.Errorf("pids: %+v", s.Pids)
	}
	if e.has("cpuacct", "cpu") && (s.CPU == nil || s.CPU.Usage <= 0) {
		t.Errorf("cpu: %+v", s.CPU)
	}
	if err := g.Kill(5 * time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestStatsGone(t *testing.T) {
	e := setup(t)
	g, err := Create(e.compute(t, nil, cgroup.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(e.Layout, e.path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := g.Remove(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if s, err := other.Stats(); fault.KindOf(err) != fault.NotFound {
		t.Errorf("stats of a group that is gone: %+v, %v", s, err)
	}
}

func BenchmarkStats(b *testing.B) {
	l, err := Probe()
	if err != nil || len(l.Hierarchies) == 0 {
		b.Skip("needs cgroups")
	}
	s, err := cgroup.Compute(l, "/tare-test-stats/b", nil, cgroup.Options{})
	if err != nil {
		b.Fatal(err)
	}
	g, err := Create(s, nil)
	if err != nil {
		b.Skip(err)
	}
	defer func() {
		_ = g.Remove(time.Second)
		_ = RemoveParent(l, "/tare-test-stats")
	}()
	for b.Loop() {
		if _, err := g.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}
