package cgroup

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// StatFile is a file that a part of Stats is read from.
type StatFile struct {
	Hierarchy int
	Name      string // with a "*" where the host chooses: "hugetlb.*.current"
	parse     func(s *Stats, star, text string) error
}

// Parse adds what text, the content of the file, says. Star is what stands
// for the "*" of the name.
func (f StatFile) Parse(s *Stats, star, text string) error {
	if err := f.parse(s, star, text); err != nil {
		return fault.New(fault.Internal, "read %s: %w", f.Name, err)
	}
	return nil
}

// statRow is one file of the tables. Core files exist in every v2 group,
// whoever has the controller.
type statRow struct {
	controller, name string
	parse            func(s *Stats, star, text string) error
}

// statsV1 and statsV2 are the tables. They are made when somebody asks, which
// few commands do: many rows are closures, which every start would pay for.
func statsV1() []statRow {
	return []statRow{
		{"cpuacct", "cpuacct.usage", func(s *Stats, _, text string) error { return nanoseconds(&s.cpu().Usage, text) }},
		{"cpuacct", "cpuacct.stat", cpuTicks},
		{"cpuacct", "cpuacct.usage_all", perCPU},
		{"cpu", "cpu.stat", cpuStat},
		{"memory", "memory.usage_in_bytes", memory(func(m *MemoryStats) *uint64 { return &m.Usage })},
		{"memory", "memory.limit_in_bytes", memory(func(m *MemoryStats) *uint64 { return &m.Limit })},
		{"memory", "memory.max_usage_in_bytes", memory(func(m *MemoryStats) *uint64 { return &m.Peak })},
		{"memory", "memory.failcnt", memory(func(m *MemoryStats) *uint64 { return &m.Failures })},
		{"memory", "memory.memsw.limit_in_bytes", memory(func(m *MemoryStats) *uint64 { return &m.SwapLimit })}, // see Finish
		{"memory", "memory.memsw.failcnt", memory(func(m *MemoryStats) *uint64 { return &m.SwapFailures })},
		{"memory", "memory.kmem.usage_in_bytes", memory(func(m *MemoryStats) *uint64 { return &m.Kernel })},
		{"memory", "memory.kmem.tcp.usage_in_bytes", memory(func(m *MemoryStats) *uint64 { return &m.KernelTCP })},
		{"memory", "memory.oom_control", oomControl},
		{"memory", "memory.stat", memoryStatV1},
		{"pids", "pids.current", pidsFile(func(p *PidsStats) *uint64 { return &p.Current })},
		{"pids", "pids.max", pidsFile(func(p *PidsStats) *uint64 { return &p.Limit })},
		{"pids", "pids.events", pidsEvents},
		{"blkio", "blkio.bfq.io_service_bytes_recursive", blkioBytes},
		{"blkio", "blkio.bfq.io_serviced_recursive", blkioOps},
		{"blkio", "blkio.throttle.io_service_bytes_recursive", blkioBytes},
		{"blkio", "blkio.throttle.io_serviced_recursive", blkioOps},
		{"blkio", "blkio.throttle.io_service_bytes", blkioBytes}, // kernels without the recursive ones
		{"blkio", "blkio.throttle.io_serviced", blkioOps},
		{"hugetlb", "hugetlb.*.usage_in_bytes", hugetlb(func(h *HugetlbStats) *uint64 { return &h.Usage })},
		{"hugetlb", "hugetlb.*.limit_in_bytes", hugetlb(func(h *HugetlbStats) *uint64 { return &h.Limit })},
		{"hugetlb", "hugetlb.*.max_usage_in_bytes", hugetlb(func(h *HugetlbStats) *uint64 { return &h.Peak })},
		{"hugetlb", "hugetlb.*.failcnt", hugetlb(func(h *HugetlbStats) *uint64 { return &h.Failures })},
		{"rdma", "rdma.current", rdmaUse},
		{"rdma", "rdma.max", rdmaLimit},
	}
}

func statsV2() []statRow {
	return []statRow{
		{"memory", "memory.current", memory(func(m *MemoryStats) *uint64 { return &m.Usage })},
		{"memory", "memory.max", memory(func(m *MemoryStats) *uint64 { return &m.Limit })},
		{"memory", "memory.peak", memory(func(m *MemoryStats) *uint64 { return &m.Peak })},
		{"memory", "memory.swap.current", memory(func(m *MemoryStats) *uint64 { return &m.Swap })},
		{"memory", "memory.swap.max", memory(func(m *MemoryStats) *uint64 { return &m.SwapLimit })},
		{"memory", "memory.swap.peak", memory(func(m *MemoryStats) *uint64 { return &m.SwapPeak })},
		{"memory", "memory.swap.events", swapEvents},
		{"memory", "memory.events", memoryEvents},
		{"memory", "memory.stat", memoryStatV2},
		{"pids", "pids.current", pidsFile(func(p *PidsStats) *uint64 { return &p.Current })},
		{"pids", "pids.max", pidsFile(func(p *PidsStats) *uint64 { return &p.Limit })},
		{"pids", "pids.peak", pidsFile(func(p *PidsStats) *uint64 { return &p.Peak })},
		{"pids", "pids.events", pidsEvents},
		{"io", "io.stat", ioStat},
		{"hugetlb", "hugetlb.*.current", hugetlb(func(h *HugetlbStats) *uint64 { return &h.Usage })},
		{"hugetlb", "hugetlb.*.max", hugetlb(func(h *HugetlbStats) *uint64 { return &h.Limit })},
		{"hugetlb", "hugetlb.*.events", hugetlbEvents},
		{"rdma", "rdma.current", rdmaUse},
		{"rdma", "rdma.max", rdmaLimit},
		{"misc", "misc.current", misc(func(m *MiscStats) *uint64 { return &m.Usage })},
		{"misc", "misc.max", misc(func(m *MiscStats) *uint64 { return &m.Limit })},
		{"misc", "misc.events", miscEvents},
	}
}

// cpuCore counts CPU time in every v2 group, for hosts without cpuacct.
var cpuCore = statRow{"", "cpu.stat", cpuStat}

// pressureCore are in every v2 group of a kernel with PSI, hybrid hosts
// included.
var pressureCore = []statRow{
	{"", "cpu.pressure", func(s *Stats, _, text string) error { return pressure(&s.cpu().Pressure, text) }},
	{"", "memory.pressure", func(s *Stats, _, text string) error { return pressure(&s.memory().Pressure, text) }},
	{"", "io.pressure", func(s *Stats, _, text string) error { return pressure(&s.io().Pressure, text) }},
}

// StatFiles lists the files that Stats are read from, of which a host need
// not have all. Call Finish when those that are there have been parsed.
func (l Layout) StatFiles() []StatFile {
	v1, v2 := statsV1(), statsV2()
	out := make([]StatFile, 0, max(len(v1), len(v2)))
	add := func(h int, rows ...statRow) {
		for _, r := range rows {
			out = append(out, StatFile{h, r.name, r.parse})
		}
	}
	for _, t := range [...]struct {
		rows []statRow
		v2   bool
	}{{v1, false}, {v2, true}} {
		for _, r := range t.rows {
			if h := l.Find(r.controller); h >= 0 && l.Hierarchies[h].Unified == t.v2 {
				add(h, r)
			}
		}
	}
	if u := l.Unified(); u >= 0 {
		if l.Find("cpuacct") < 0 {
			add(u, cpuCore)
		}
		add(u, pressureCore...)
	}
	return out
}

// totals are the files that tell what a group has used in all: what is still
// worth knowing of one whose processes have ended.
var totals = []string{
	"cpuacct.usage", "cpuacct.stat", "cpu.stat", "memory.max_usage_in_bytes", "memory.peak", "memory.oom_control", "memory.events",
	"blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive", "io.stat",
	"cpu.pressure", "memory.pressure", "io.pressure",
}

// TotalFiles lists those of StatFiles that tell what was used in all.
func (l Layout) TotalFiles() []StatFile {
	return slices.DeleteFunc(l.StatFiles(), func(f StatFile) bool { return !slices.Contains(totals, f.Name) })
}

// Finish computes what stands in no file of its own.
func (s *Stats) Finish() {
	switch {
	case s.IO == nil:
	case s.IO.Devices == nil: // pressure alone: the controller is not enabled here
		s.IO = nil
	default:
		slices.SortFunc(s.IO.Devices, func(a, b DeviceIO) int {
			return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
		})
	}
	m := s.Memory
	if m == nil {
		return
	}
	if m.Stat == nil {
		s.Memory = nil
		return
	}
	m.WorkingSet = m.Usage - min(m.Usage, m.InactiveFile)
	if _, v1 := m.Stat["hierarchical_memory_limit"]; !v1 {
		return
	}
	switch { // the file has both together
	case m.SwapLimit == Unlimited || m.Limit == Unlimited:
		m.SwapLimit = Unlimited
	default:
		m.SwapLimit -= min(m.SwapLimit, m.Limit)
	}
}

// unlimitedV1 and more is what the kernel shows for no limit on v1: the
// largest number of pages.
const unlimitedV1 = 1<<63 - 1<<16

func (s *Stats) cpu() *CPUStats {
	if s.CPU == nil {
		s.CPU = &CPUStats{}
	}
	return s.CPU
}

func (s *Stats) memory() *MemoryStats {
	if s.Memory == nil {
		s.Memory = &MemoryStats{Limit: Unlimited, SwapLimit: Unlimited}
	}
	return s.Memory
}

func (s *Stats) io() *IOStats {
	if s.IO == nil {
		s.IO = &IOStats{}
	}
	return s.IO
}

// ioDevices is for those who will add devices, of which there may be none.
func (s *Stats) ioDevices() *IOStats {
	io := s.io()
	if io.Devices == nil {
		io.Devices = []DeviceIO{}
	}
	return io
}

// number reads a file, or a word, that is one number. No limit is "max" on v2,
// -1 or a very large number on v1.
func number(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "max" || text == "-1" {
		return Unlimited, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil && n >= unlimitedV1 {
		n = Unlimited
	}
	return n, err
}

func nanoseconds(to *time.Duration, text string) error {
	n, err := number(text)
	*to = time.Duration(n)
	return err
}

// each calls f for every "key number" line.
func each(text string, f func(key string, n uint64)) error {
	for line := range strings.Lines(text) {
		key, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			continue
		}
		n, err := number(v)
		if err != nil {
			return err
		}
		f(key, n)
	}
	return nil
}
