package cgroup

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// input is what a row's value is computed from.
type input struct {
	cpu     specs.LinuxCPU
	memory  specs.LinuxMemory
	blockIO specs.LinuxBlockIO
	*specs.LinuxResources
	Options
	v2 bool // the row is of a v2 table
}

// row maps one limit to the file that holds it.
type row struct {
	resource string
	file     string              // "" where this version has no such thing: asking for it is Missing
	value    func(*input) string // "" when the limit was not asked for
	alt      string              // file to take where the first one does not exist
	altValue func(*input) string // nil: the same value
	batch    int
	many     func(*input) []line // instead of value: several writes
}

// line is one of several writes of a row.
type line struct {
	resource, file, value string // empty: the row's own
	altValue              string
}

// anyway marks a write that nobody has to hear about when its file is absent.
const anyway = "-"

// controller is one controller under both versions. A name is "" where the
// version has no such controller.
type controller struct {
	v1, v2         string
	v1Rows, v2Rows []row
}

// controllers are the tables. Rows stand in the order in which they have to
// be written.
var controllers = [...]controller{
	{"cpu", "cpu", cpuV1, cpuV2},
	{"cpuset", "cpuset", cpuset, cpuset},
	{"memory", "memory", memoryV1, memoryV2},
	{"pids", "pids", pids, pids},
	{"blkio", "io", blkioV1, ioV2},
	{"hugetlb", "hugetlb", hugetlbV1, hugetlbV2},
	{"rdma", "rdma", rdma, rdma},
	{"net_cls", "", netCls, nil},
	{"net_prio", "", netPrio, nil},
}

// cpu: period, quota and burst check each other, hence the batch. Idle groups
// refuse a weight, so none is written with idle.
var cpuV1 = []row{
	{resource: "cpu.shares", file: "cpu.shares", value: cpuShares, batch: 1},
	{resource: "cpu.idle", file: "cpu.idle", value: cpuIdle, batch: 1}, // 5.15
	{resource: "cpu.period", file: "cpu.cfs_period_us", value: cpuPeriod, batch: 2},
	{resource: "cpu.quota", file: "cpu.cfs_quota_us", value: cpuQuota, batch: 2},
	{resource: "cpu.burst", file: "cpu.cfs_burst_us", value: cpuBurst, batch: 2}, // 5.14
	{resource: "cpu.realtimePeriod", file: "cpu.rt_period_us", value: cpuRTPeriod, batch: 3},
	{resource: "cpu.realtimeRuntime", file: "cpu.rt_runtime_us", value: cpuRTRuntime, batch: 3},
}

var cpuV2 = []row{
	{resource: "cpu.shares", file: "cpu.weight", value: cpuWeight, batch: 1},
	{resource: "cpu.idle", file: "cpu.idle", value: cpuIdle, batch: 1},
	{resource: "cpu.quota", file: "cpu.max", value: cpuMax, batch: 2},
	{resource: "cpu.burst", file: "cpu.max.burst", value: cpuBurst, batch: 2},
	{resource: "cpu.realtimePeriod", value: cpuRTPeriod},
	{resource: "cpu.realtimeRuntime", value: cpuRTRuntime},
}

var cpuset = []row{
	{resource: "cpu.cpus", file: "cpuset.cpus", value: func(in *input) string { return in.cpu.Cpus }},
	{resource: "cpu.mems", file: "cpuset.mems", value: func(in *input) string { return in.cpu.Mems }},
}

// memory v1: memsw may never be below the limit, so which of the two has to
// be written first depends on the old values: a batch.
var memoryV1 = []row{
	{resource: "memory.limit", file: "memory.limit_in_bytes", value: memLimit, batch: 1},
	{resource: "memory.swap", file: "memory.memsw.limit_in_bytes", value: memSwap, batch: 1},
	{resource: "memory.reservation", file: "memory.soft_limit_in_bytes", value: memReservation},
	{resource: "memory.kernelTCP", file: "memory.kmem.tcp.limit_in_bytes", value: memKernelTCP},
	{resource: "memory.swappiness", file: "memory.swappiness", value: memSwappiness},
	{resource: "memory.disableOOMKiller", file: "memory.oom_control", value: memNoOOM},
	{resource: "memory.useHierarchy", value: memFlat}, // always on since 5.11
	{resource: "memory.kernel", value: memKernel},     // without effect since 5.4
	{resource: "memory.oomGroup", value: memOOMGroup},
}

// memory v2: swap first, so that lowering the limit pushes nothing into swap
// that will not be allowed there.
var memoryV2 = []row{
	{resource: "memory.swap", file: "memory.swap.max", value: memSwapV2},
	{resource: "memory.limit", file: "memory.max", value: func(in *input) string { return orMax(memLimit(in)) }},
	{resource: "memory.reservation", file: "memory.low", value: func(in *input) string { return orMax(memReservation(in)) }},
	{resource: "memory.oomGroup", file: "memory.oom.group", value: memOOMGroup},
	{resource: "memory.kernelTCP", value: memKernelTCP},
	{resource: "memory.swappiness", value: memSwappiness},
	{resource: "memory.disableOOMKiller", value: memNoOOM},
	{resource: "memory.useHierarchy", value: memFlat},
	{resource: "memory.kernel", value: memKernel},
}

var pids = []row{
	{resource: "pids.limit", file: "pids.max", value: pidsMax},
}

// blkio: the weight files belonged to CFQ (gone in 5.0); BFQ has its own.
var blkioV1 = []row{
	{resource: "blockIO.weight", file: "blkio.weight", alt: "blkio.bfq.weight", value: ioWeight},
	{resource: "blockIO.leafWeight", file: "blkio.leaf_weight", value: ioLeafWeight},
	{resource: "blockIO.weightDevice", file: "blkio.weight_device", alt: "blkio.bfq.weight_device", many: ioWeightDevices},
	{resource: "blockIO.leafWeightDevice", file: "blkio.leaf_weight_device", many: ioLeafWeightDevices},
	{resource: "blockIO.throttleReadBpsDevice", file: "blkio.throttle.read_bps_device", many: func(in *input) []line { return throttle("", in.blockIO.ThrottleReadBpsDevice) }},
	{resource: "blockIO.throttleWriteBpsDevice", file: "blkio.throttle.write_bps_device", many: func(in *input) []line { return throttle("", in.blockIO.ThrottleWriteBpsDevice) }},
	{resource: "blockIO.throttleReadIOPSDevice", file: "blkio.throttle.read_iops_device", many: func(in *input) []line { return throttle("", in.blockIO.ThrottleReadIOPSDevice) }},
	{resource: "blockIO.throttleWriteIOPSDevice", file: "blkio.throttle.write_iops_device", many: func(in *input) []line { return throttle("", in.blockIO.ThrottleWriteIOPSDevice) }},
}

// io: io.bfq.weight exists where BFQ is there to obey it and keeps BFQ's
// range of 1 to 1000; io.weight is iocost's.
var ioV2 = []row{
	{resource: "blockIO.weight", file: "io.bfq.weight", alt: "io.weight", value: ioWeight, altValue: ioWeightV2},
	{resource: "blockIO.leafWeight", value: ioLeafWeight},
	{resource: "blockIO.weightDevice", file: "io.bfq.weight", alt: "io.weight", many: ioWeightDevices},
	{resource: "blockIO.leafWeightDevice", many: ioLeafWeightDevices},
	{resource: "blockIO.throttleReadBpsDevice", file: "io.max", many: func(in *input) []line { return throttle("rbps=", in.blockIO.ThrottleReadBpsDevice) }},
	{resource: "blockIO.throttleWriteBpsDevice", file: "io.max", many: func(in *input) []line { return throttle("wbps=", in.blockIO.ThrottleWriteBpsDevice) }},
	{resource: "blockIO.throttleReadIOPSDevice", file: "io.max", many: func(in *input) []line { return throttle("riops=", in.blockIO.ThrottleReadIOPSDevice) }},
	{resource: "blockIO.throttleWriteIOPSDevice", file: "io.max", many: func(in *input) []line { return throttle("wiops=", in.blockIO.ThrottleWriteIOPSDevice) }},
}

var hugetlbV1 = []row{
	{resource: "hugepageLimits", file: "hugetlb.*.limit_in_bytes", many: func(in *input) []line {
		return hugepages(in, ".limit_in_bytes", ".rsvd.limit_in_bytes")
	}},
}

var hugetlbV2 = []row{
	{resource: "hugepageLimits", file: "hugetlb.*.max", many: func(in *input) []line {
		return hugepages(in, ".max", ".rsvd.max")
	}},
}

var rdma = []row{
	{resource: "rdma", file: "rdma.max", many: rdmaLines},
}

var netCls = []row{
	{resource: "network.classID", file: "net_cls.classid", value: func(in *input) string {
		if in.Network == nil || in.Network.ClassID == nil {
			return ""
		}
		return strconv.FormatUint(uint64(*in.Network.ClassID), 10)
	}},
}

var netPrio = []row{
	{resource: "network.priorities", file: "net_prio.ifpriomap", many: func(in *input) []line {
		if in.Network == nil {
			return nil
		}
		var out []line
		for _, p := range in.Network.Priorities {
			out = append(out, line{value: p.Name + " " + strconv.FormatUint(uint64(p.Priority), 10)})
		}
		return out
	}},
}
