package cgroup

import (
	"math"
	"time"
)

// Unlimited is a limit that is none.
const Unlimited = math.MaxUint64

// Stats is what a group and the groups below it have used. The definitions
// are those of cgroup v2, under both versions. A nil part is one that this
// host does not count. Sizes are bytes.
type Stats struct {
	CPU     *CPUStats
	Memory  *MemoryStats
	Pids    *PidsStats
	IO      *IOStats
	Hugetlb map[string]HugetlbStats // by page size: "2MB"
	RDMA    map[string]RDMAStats    // by device: "mlx5_0"
	Misc    map[string]MiscStats    // by resource: "sev"; v2 only
}

// CPUStats is CPU time since the group was made.
type CPUStats struct {
	Usage        time.Duration
	User, System time.Duration
	PerCPU       []time.Duration // by CPU number; v1 only
	PerCPUUser   []time.Duration // v1 only
	PerCPUSystem []time.Duration // v1 only

	Periods          uint64 // enforcement periods that have passed
	ThrottledPeriods uint64 // those in which the group met its quota
	ThrottledTime    time.Duration
	Bursts           uint64 // 5.16
	BurstTime        time.Duration

	Pressure *Pressure
}

// MemoryStats is memory that is in use.
type MemoryStats struct {
	Usage      uint64 // all that is charged: anonymous, page cache, kernel
	Limit      uint64
	Peak       uint64 // the highest Usage; 0 where it is not kept (v2 before 5.19)
	WorkingSet uint64 // Usage without InactiveFile: what cannot be dropped at once

	Swap      uint64 // swap alone
	SwapLimit uint64 // of swap alone
	SwapPeak  uint64 // v2 only (6.5)
	// SwapFailures counts hits of the swap limit; on v1, of the limit on
	// memory and swap together.
	SwapFailures uint64

	Anon         uint64 // v1: rss
	File         uint64 // page cache, shared memory included
	InactiveFile uint64
	Shmem        uint64
	Mapped       uint64
	Kernel       uint64 // stacks, page tables, slab, per-CPU
	KernelTCP    uint64 // network buffers

	Failures uint64 // how often Usage hit Limit
	OOMs     uint64 // how often the OOM killer was called; v2 only
	OOMKills uint64 // processes that it killed
	// UnderOOM says that the group waits for memory, with its OOM killer
	// disabled; v1 only.
	UnderOOM bool

	// Stat is memory.stat as it is; on v1 the total_ values are the ones that
	// the fields above are taken from.
	Stat map[string]uint64

	Pressure *Pressure
}

// PidsStats counts processes and threads.
type PidsStats struct {
	Current, Limit uint64
	Peak           uint64 // 6.1; 0 where it is not kept
	Failures       uint64 // forks that were refused
}

// IOStats is input and output of block devices.
type IOStats struct {
	Devices  []DeviceIO // by major, then minor number
	Pressure *Pressure
}

// DeviceIO is what went to and came from one device.
type DeviceIO struct {
	Major, Minor                        uint32
	ReadBytes, WriteBytes, DiscardBytes uint64
	ReadOps, WriteOps, DiscardOps       uint64
}

// Total sums the devices.
func (s *IOStats) Total() DeviceIO {
	var t DeviceIO
	for i := range s.Devices {
		d := &s.Devices[i]
		t.ReadBytes += d.ReadBytes
		t.WriteBytes += d.WriteBytes
		t.DiscardBytes += d.DiscardBytes
		t.ReadOps += d.ReadOps
		t.WriteOps += d.WriteOps
		t.DiscardOps += d.DiscardOps
	}
	return t
}

// HugetlbStats is use of huge pages of one size.
type HugetlbStats struct {
	Usage, Limit uint64
	Peak         uint64 // v1 only
	Failures     uint64
}

// RDMAStats is use of one RDMA device.
type RDMAStats struct {
	Handles, HandleLimit uint64
	Objects, ObjectLimit uint64
}

// MiscStats is use of one scalar resource.
type MiscStats struct {
	Usage, Limit uint64
	Failures     uint64
}

// Pressure is the time lost to waiting for a resource (PSI).
type Pressure struct {
	Some, Full PressureLine
}

// PressureLine is time in which some, or all, processes waited.
type PressureLine struct {
	Avg10, Avg60, Avg300 float64 // percent of the last seconds
	Total                time.Duration
}
