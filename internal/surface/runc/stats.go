package runc

import "github.com/tare-engine/tare/internal/spec/cgroup"

// The types are what runc prints for `events`: names and units are its own
// (CPU time in ns, sizes in bytes).

type runcStats struct {
	CPU     runcCPU                `json:"cpu"`
	CPUSet  struct{}               `json:"cpuset"`
	Memory  runcMemory             `json:"memory"`
	Pids    runcPids               `json:"pids"`
	Blkio   runcBlkio              `json:"blkio"`
	Hugetlb map[string]runcHugetlb `json:"hugetlb"`
	RDT     struct{}               `json:"intel_rdt"`
}

type runcCPU struct {
	Usage struct {
		Total        uint64   `json:"total,omitempty"`
		Percpu       []uint64 `json:"percpu,omitempty"`
		PercpuKernel []uint64 `json:"percpu_kernel,omitempty"`
		PercpuUser   []uint64 `json:"percpu_user,omitempty"`
		Kernel       uint64   `json:"kernel"`
		User         uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
}

type runcEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type runcMemory struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     runcEntry         `json:"usage"`
	Swap      runcEntry         `json:"swap"`
	Kernel    runcEntry         `json:"kernel"`
	KernelTCP runcEntry         `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
}

type runcPids struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

type runcBlkio struct {
	Bytes []runcDevice `json:"ioServiceBytesRecursive,omitempty"`
	Ops   []runcDevice `json:"ioServicedRecursive,omitempty"`
}

type runcDevice struct {
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
	Op    string `json:"op"`
	Value uint64 `json:"value"`
}

type runcHugetlb struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

func statsOf(s *cgroup.Stats) *runcStats {
	r := &runcStats{Hugetlb: map[string]runcHugetlb{}}
	if c := s.CPU; c != nil {
		u := &r.CPU.Usage
		u.Total, u.Kernel, u.User = uint64(c.Usage), uint64(c.System), uint64(c.User)
		u.Percpu, u.PercpuKernel, u.PercpuUser = nanoseconds(c.PerCPU), nanoseconds(c.PerCPUSystem), nanoseconds(c.PerCPUUser)
		t := &r.CPU.Throttling
		t.Periods, t.ThrottledPeriods, t.ThrottledTime = c.Periods, c.ThrottledPeriods, uint64(c.ThrottledTime)
	}
	if m := s.Memory; m != nil {
		r.Memory = runcMemory{
			Cache:     m.File,
			Usage:     runcEntry{m.Limit, m.Usage, m.Peak, m.Failures},
			Swap:      runcEntry{m.SwapLimit, m.Swap, m.SwapPeak, m.SwapFailures},
			Kernel:    runcEntry{Limit: cgroup.Unlimited, Usage: m.Kernel},
			KernelTCP: runcEntry{Limit: cgroup.Unlimited, Usage: m.KernelTCP},
			Raw:       m.Stat,
		}
	}
	if p := s.Pids; p != nil {
		r.Pids.Current = p.Current
		if p.Limit != cgroup.Unlimited { // runc's 0 is none
			r.Pids.Limit = p.Limit
		}
	}
	if s.IO != nil {
		for _, d := range s.IO.Devices {
			add := func(list *[]runcDevice, read, write, discard uint64) {
				*list = append(*list, runcDevice{d.Major, d.Minor, "Read", read}, runcDevice{d.Major, d.Minor, "Write", write},
					runcDevice{d.Major, d.Minor, "Discard", discard})
			}
			add(&r.Blkio.Bytes, d.ReadBytes, d.WriteBytes, d.DiscardBytes)
			add(&r.Blkio.Ops, d.ReadOps, d.WriteOps, d.DiscardOps)
		}
	}
	for size, h := range s.Hugetlb {
		r.Hugetlb[size] = runcHugetlb{h.Usage, h.Peak, h.Failures}
	}
	return r
}

func nanoseconds[T ~int64](list []T) []uint64 {
	var out []uint64
	for _, v := range list {
		out = append(out, uint64(v))
	}
	return out
}
