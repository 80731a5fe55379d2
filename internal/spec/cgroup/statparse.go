package cgroup

import (
	"strconv"
	"strings"
	"time"
)

// cpuTicks reads cpuacct.stat, which counts in USER_HZ: 100 a second on all
// machines that tare runs on.
func cpuTicks(s *Stats, _, text string) error {
	const tick = time.Second / 100
	return each(text, func(key string, n uint64) {
		switch key {
		case "user":
			s.cpu().User = time.Duration(n) * tick
		case "system":
			s.cpu().System = time.Duration(n) * tick
		}
	})
}

// perCPU reads cpuacct.usage_all: a heading, then "cpu user system" lines in
// nanoseconds.
func perCPU(s *Stats, _, text string) error {
	c := s.cpu()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] == "cpu" {
			continue
		}
		user, err := number(f[1])
		if err != nil {
			return err
		}
		system, err := number(f[2])
		if err != nil {
			return err
		}
		c.PerCPU = append(c.PerCPU, time.Duration(user+system))
		c.PerCPUUser = append(c.PerCPUUser, time.Duration(user))
		c.PerCPUSystem = append(c.PerCPUSystem, time.Duration(system))
	}
	return nil
}

// cpuStat reads cpu.stat: throttling on both versions, usage on v2. v1 counts
// nanoseconds.
func cpuStat(s *Stats, _, text string) error {
	c := s.cpu()
	us := func(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }
	return each(text, func(key string, n uint64) {
		switch key {
		case "usage_usec":
			c.Usage = us(n)
		case "user_usec":
			c.User = us(n)
		case "system_usec":
			c.System = us(n)
		case "nr_periods":
			c.Periods = n
		case "nr_throttled":
			c.ThrottledPeriods = n
		case "throttled_usec":
			c.ThrottledTime = us(n)
		case "throttled_time":
			c.ThrottledTime = time.Duration(n)
		case "nr_bursts":
			c.Bursts = n
		case "burst_usec":
			c.BurstTime = us(n)
		case "burst_time":
			c.BurstTime = time.Duration(n)
		}
	})
}

// memory reads a file that is one number of MemoryStats.
func memory(field func(*MemoryStats) *uint64) func(*Stats, string, string) error {
	return func(s *Stats, _, text string) error {
		n, err := number(text)
		*field(s.memory()) = n
		return err
	}
}

func oomControl(s *Stats, _, text string) error {
	return each(text, func(key string, n uint64) {
		switch key {
		case "under_oom":
			s.memory().UnderOOM = n != 0
		case "oom_kill": // 4.13
			s.memory().OOMKills = n
		}
	})
}

func memoryEvents(s *Stats, _, text string) error {
	return each(text, func(key string, n uint64) {
		switch key {
		case "max":
			s.memory().Failures = n
		case "oom":
			s.memory().OOMs = n
		case "oom_kill":
			s.memory().OOMKills = n
		}
	})
}

func swapEvents(s *Stats, _, text string) error {
	return each(text, func(key string, n uint64) {
		if key == "max" {
			s.memory().SwapFailures = n
		}
	})
}

func memoryStatV1(s *Stats, _, text string) error {
	m := s.memory()
	m.Stat = make(map[string]uint64, 64)
	if err := each(text, func(key string, n uint64) { m.Stat[key] = n }); err != nil {
		return err
	}
	m.Anon, m.File, m.InactiveFile = m.Stat["total_rss"], m.Stat["total_cache"], m.Stat["total_inactive_file"]
	m.Shmem, m.Mapped, m.Swap = m.Stat["total_shmem"], m.Stat["total_mapped_file"], m.Stat["total_swap"]
	return nil
}

func memoryStatV2(s *Stats, _, text string) error {
	m := s.memory()
	m.Stat = make(map[string]uint64, 64)
	if err := each(text, func(key string, n uint64) { m.Stat[key] = n }); err != nil {
		return err
	}
	m.Anon, m.File, m.InactiveFile = m.Stat["anon"], m.Stat["file"], m.Stat["inactive_file"]
	m.Shmem, m.Mapped, m.KernelTCP = m.Stat["shmem"], m.Stat["file_mapped"], m.Stat["sock"]
	kernel, ok := m.Stat["kernel"] // 5.18
	if !ok {
		kernel = m.Stat["kernel_stack"] + m.Stat["pagetables"] + m.Stat["percpu"] + m.Stat["slab"]
	}
	m.Kernel = kernel
	return nil
}

func pidsFile(field func(*PidsStats) *uint64) func(*Stats, string, string) error {
	return func(s *Stats, _, text string) error {
		if s.Pids == nil {
			s.Pids = &PidsStats{Limit: Unlimited}
		}
		n, err := number(text)
		*field(s.Pids) = n
		return err
	}
}

func pidsEvents(s *Stats, _, text string) error {
	return each(text, func(key string, n uint64) {
		if key == "max" && s.Pids != nil {
			s.Pids.Failures = n
		}
	})
}

// device returns the entry of "major:minor", or nil.
func (s *IOStats) device(name string) *DeviceIO {
	major, minor, ok := strings.Cut(name, ":")
	a, err := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err != nil || err2 != nil {
		return nil
	}
	for i := range s.Devices {
		if d := &s.Devices[i]; d.Major == uint32(a) && d.Minor == uint32(b) {
			return d
		}
	}
	s.Devices = append(s.Devices, DeviceIO{Major: uint32(a), Minor: uint32(b)})
	return &s.Devices[len(s.Devices)-1]
}

// ioStat reads "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" lines.
func ioStat(s *Stats, _, text string) error {
	io := s.ioDevices()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue // a device without io: its name alone
		}
		d := io.device(f[0])
		if d == nil {
			continue
		}
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			to := map[string]*uint64{
				"rbytes": &d.ReadBytes, "wbytes": &d.WriteBytes, "dbytes": &d.DiscardBytes,
				"rios": &d.ReadOps, "wios": &d.WriteOps, "dios": &d.DiscardOps,
			}[k]
			if to == nil {
				continue // cost.usage and the like
			}
			n, err := number(v)
			if err != nil {
				return err
			}
			*to = n
		}
	}
	return nil
}

func blkioBytes(s *Stats, _, text string) error {
	return blkio(s.ioDevices(), text, func(d *DeviceIO) [3]*uint64 {
		return [3]*uint64{&d.ReadBytes, &d.WriteBytes, &d.DiscardBytes}
	})
}

func blkioOps(s *Stats, _, text string) error {
	return blkio(s.ioDevices(), text, func(d *DeviceIO) [3]*uint64 {
		return [3]*uint64{&d.ReadOps, &d.WriteOps, &d.DiscardOps}
	})
}

// blkio reads "8:0 Read 4096" lines. Several files count the same traffic at
// different places; the one that saw most is right.
func blkio(s *IOStats, text string, fields func(*DeviceIO) [3]*uint64) error {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue // "Total 0"
		}
		op := 0
		switch f[1] {
		case "Read":
		case "Write":
			op = 1
		case "Discard":
			op = 2
		default:
			continue // Sync and Async are the same once more
		}
		n, err := number(f[2])
		if err != nil {
			return err
		}
		if d := s.device(f[0]); d != nil {
			to := fields(d)[op]
			*to = max(*to, n)
		}
	}
	return nil
}

// entry changes one entry of a map of structs.
func entry[T any](m *map[string]T, key string, change func(*T)) {
	if *m == nil {
		*m = map[string]T{}
	}
	v := (*m)[key]
	change(&v)
	(*m)[key] = v
}

func hugetlb(field func(*HugetlbStats) *uint64) func(*Stats, string, string) error {
	return func(s *Stats, size, text string) error {
		n, err := number(text)
		entry(&s.Hugetlb, size, func(h *HugetlbStats) { *field(h) = n })
		return err
	}
}

func hugetlbEvents(s *Stats, size, text string) error {
	return each(text, func(key string, n uint64) {
		if key == "max" {
			entry(&s.Hugetlb, size, func(h *HugetlbStats) { h.Failures = n })
		}
	})
}

func rdmaUse(s *Stats, _, text string) error {
	return rdmaFile(s, text, func(d *RDMAStats) (a, b *uint64) { return &d.Handles, &d.Objects })
}

func rdmaLimit(s *Stats, _, text string) error {
	return rdmaFile(s, text, func(d *RDMAStats) (a, b *uint64) { return &d.HandleLimit, &d.ObjectLimit })
}

// rdmaFile reads "mlx5_0 hca_handle=2 hca_object=max" lines.
func rdmaFile(s *Stats, text string, fields func(*RDMAStats) (handles, objects *uint64)) error {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		for i := 1; i < len(f); i++ {
			k, v, _ := strings.Cut(f[i], "=")
			n, err := number(v)
			if err != nil {
				return err
			}
			entry(&s.RDMA, f[0], func(d *RDMAStats) {
				handles, objects := fields(d)
				switch k {
				case "hca_handle":
					*handles = n
				case "hca_object":
					*objects = n
				}
			})
		}
	}
	return nil
}

func misc(field func(*MiscStats) *uint64) func(*Stats, string, string) error {
	return func(s *Stats, _, text string) error {
		return each(text, func(key string, n uint64) {
			entry(&s.Misc, key, func(m *MiscStats) { *field(m) = n })
		})
	}
}

func miscEvents(s *Stats, _, text string) error {
	return each(text, func(key string, n uint64) {
		if name, ok := strings.CutSuffix(key, ".max"); ok {
			entry(&s.Misc, name, func(m *MiscStats) { m.Failures = n })
		}
	})
}

// pressure reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and a full
// line of the same form; the total is in microseconds.
func pressure(to **Pressure, text string) error {
	p := &Pressure{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		l := &p.Some
		if f[0] == "full" {
			l = &p.Full
		}
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return err
			}
			switch k {
			case "avg10":
				l.Avg10 = n
			case "avg60":
				l.Avg60 = n
			case "avg300":
				l.Avg300 = n
			case "total":
				l.Total = time.Duration(n) * time.Microsecond
			}
		}
	}
	*to = p
	return nil
}
