package containers

import (
	"context"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"golang.org/x/sys/unix"
)

// Sample is what a container has used up to a moment.
type Sample struct {
	ID, Name string
	At       time.Time
	Running  bool // else everything below is zero
	cgroup.Stats
	Net         NetCounters
	Network     bool   // Net is the container's own
	MemoryTotal uint64 // bytes: the smaller of its limit and what the machine has
}

// Stats takes a sample of the containers named, or of all that run, or with
// all of every one.
func (e *Room) Stats(ctx context.Context, refs []string, all bool) ([]Sample, error) {
	var chosen []api.ContainerSummary
	if len(refs) == 0 {
		entries, err := e.entries()
		if err != nil {
			return nil, err
		}
		for i := range entries {
			if s := entries[i].summary; all || s.Pid != 0 {
				chosen = append(chosen, s)
			}
		}
	}
	for _, ref := range refs {
		r, st, err := e.named(ref)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, summary(r, st))
	}
	list := make([]Sample, 0, len(chosen))
	for i := range chosen {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := e.sample(&chosen[i])
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (e *Room) sample(c *api.ContainerSummary) (Sample, error) {
	s := Sample{ID: c.ID, Name: c.Name, At: time.Now()}
	if c.Pid == 0 {
		return s, nil
	}
	r, err := e.State.Get(c.ID)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			err = nil // just removed
		}
		return s, err
	}
	stats, err := e.usage(r.Cgroup)
	if fault.KindOf(err) == fault.NotFound {
		return s, nil // just ended
	}
	if err != nil {
		return s, err
	}
	s.Running, s.Stats, s.At = true, stats, time.Now()
	s.Net, s.Network = netOf(c.Pid)
	var mem unix.Sysinfo_t
	if err := unix.Sysinfo(&mem); err == nil {
		s.MemoryTotal = uint64(mem.Totalram) * uint64(mem.Unit)
	}
	if m := stats.Memory; m != nil {
		s.MemoryTotal = min(s.MemoryTotal, m.Limit)
	}
	return s, nil
}

// usage reads the counters of a container's cgroup.
func (e *Room) usage(path string) (cgroup.Stats, error) {
	l, err := e.Layout()
	if err != nil {
		return cgroup.Stats{}, err
	}
	g, err := cgroupfs.Open(l, path)
	if err != nil {
		return cgroup.Stats{}, err
	}
	defer g.Close()
	return g.Stats()
}

// CPUPercent is the part of one processor that a container has used between
// two samples of it, in percent: 200 are two whole ones.
func CPUPercent(before, after *Sample) float64 {
	wall := after.At.Sub(before.At)
	if before.CPU == nil || after.CPU == nil || wall <= 0 || after.CPU.Usage < before.CPU.Usage {
		return 0
	}
	return 100 * float64(after.CPU.Usage-before.CPU.Usage) / float64(wall)
}

// MemoryPercent is the working set as part of what there may be.
func (s *Sample) MemoryPercent() float64 {
	if s.Memory == nil || s.MemoryTotal == 0 {
		return 0
	}
	return 100 * float64(s.Memory.WorkingSet) / float64(s.MemoryTotal)
}

// Usage is what a sample says, flat: what this host does not count is zero.
// Sizes are bytes.
type Usage struct {
	CPUTime, CPUUser, CPUSystem, CPUThrottled time.Duration

	Charged    uint64 // all memory that is accounted to the container
	WorkingSet uint64 // that without the page cache that was not used for a while
	Peak       uint64 // the highest Charged

	Anon, File, InactiveFile, Shmem, Kernel, Swap uint64

	OOMKills              uint64
	ReadBytes, WriteBytes uint64 // of block devices
	Pids                  uint64 // processes and threads

	// The time in which some process waited (PSI).
	CPUPressure, MemoryPressure, IOPressure time.Duration
}

// Usage returns the counters of the sample.
func (s *Sample) Usage() Usage { return usageOf(&s.Stats) }

func usageOf(s *cgroup.Stats) (u Usage) {
	waited := func(p *cgroup.Pressure) time.Duration {
		if p == nil {
			return 0
		}
		return p.Some.Total
	}
	if c := s.CPU; c != nil {
		u.CPUTime, u.CPUUser, u.CPUSystem, u.CPUThrottled = c.Usage, c.User, c.System, c.ThrottledTime
		u.CPUPressure = waited(c.Pressure)
	}
	if m := s.Memory; m != nil {
		u.Charged, u.WorkingSet, u.Peak = m.Usage, m.WorkingSet, m.Peak
		u.Anon, u.File, u.InactiveFile, u.Shmem, u.Kernel, u.Swap = m.Anon, m.File, m.InactiveFile, m.Shmem, m.Kernel, m.Swap
		u.OOMKills, u.MemoryPressure = m.OOMKills, waited(m.Pressure)
	}
	if s.IO != nil {
		t := s.IO.Total()
		u.ReadBytes, u.WriteBytes, u.IOPressure = t.ReadBytes, t.WriteBytes, waited(s.IO.Pressure)
	}
	if s.Pids != nil {
		u.Pids = s.Pids.Current
	}
	return u
}
