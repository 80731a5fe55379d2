package cgroup

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// nonZero formats *p; nil and 0 are both "not asked for", as in runc.
func nonZero[T int64 | uint64 | uint16](p *T) string {
	if p == nil || *p == 0 {
		return ""
	}
	if *p < 0 {
		return strconv.FormatInt(int64(*p), 10)
	}
	return strconv.FormatUint(uint64(*p), 10)
}

// orMax turns the v1 spelling of "no limit" into the v2 one.
func orMax(v string) string {
	if v == "-1" {
		return "max"
	}
	return v
}

func isIdle(in *input) bool { return in.cpu.Idle != nil && *in.cpu.Idle == 1 }

func cpuShares(in *input) string {
	if isIdle(in) {
		return ""
	}
	return nonZero(in.cpu.Shares)
}

func cpuWeight(in *input) string {
	if in.cpu.Shares == nil || *in.cpu.Shares == 0 || isIdle(in) {
		return ""
	}
	return strconv.FormatUint(SharesToWeight(*in.cpu.Shares), 10)
}

// SharesToWeight converts cpu.shares (2 to 262144, default 1024) to
// cpu.weight (1 to 10000, default 100) so that both ends and the default meet:
// 10^((l² + 125·l)/612 − 7/34) with l = log2(shares), rounded up, as runc
// since 1.3.2 and crun since 1.23.
func SharesToWeight(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func cpuIdle(in *input) string {
	if in.cpu.Idle == nil {
		return ""
	}
	return strconv.FormatInt(*in.cpu.Idle, 10)
}

func cpuPeriod(in *input) string { return nonZero(in.cpu.Period) }
func cpuQuota(in *input) string  { return nonZero(in.cpu.Quota) }

func cpuBurst(in *input) string {
	if in.cpu.Burst == nil {
		return ""
	}
	return strconv.FormatUint(*in.cpu.Burst, 10)
}

// cpuMax is "quota period"; the kernel's default period is 100 ms.
func cpuMax(in *input) string {
	quota, period := cpuQuota(in), cpuPeriod(in)
	if quota == "" && period == "" {
		return ""
	}
	if quota == "" || quota[0] == '-' {
		quota = "max"
	}
	if period == "" {
		period = "100000"
	}
	return quota + " " + period
}

func cpuRTPeriod(in *input) string  { return nonZero(in.cpu.RealtimePeriod) }
func cpuRTRuntime(in *input) string { return nonZero(in.cpu.RealtimeRuntime) }

func memLimit(in *input) string       { return nonZero(in.memory.Limit) }
func memReservation(in *input) string { return nonZero(in.memory.Reservation) }
func memKernelTCP(in *input) string   { return nonZero(in.memory.KernelTCP) }

// memSwap is memory plus swap, as the spec and v1 count. Unlimited memory
// without a word about swap lifts both.
func memSwap(in *input) string {
	if nonZero(in.memory.Swap) == "" && memLimit(in) == "-1" {
		return "-1"
	}
	return nonZero(in.memory.Swap)
}

// memSwapV2 is swap alone; validate has seen to it that limit is there and
// not larger.
func memSwapV2(in *input) string {
	swap := memSwap(in)
	if swap == "" || swap == "-1" || memLimit(in) == "-1" {
		return orMax(swap)
	}
	return strconv.FormatInt(*in.memory.Swap-*in.memory.Limit, 10)
}

func memKernel(in *input) string {
	return nonZero(in.memory.Kernel) //nolint:staticcheck // deprecated, and still in configurations
}

func memSwappiness(in *input) string {
	if in.memory.Swappiness == nil {
		return ""
	}
	return strconv.FormatUint(*in.memory.Swappiness, 10)
}

func memNoOOM(in *input) string { return oneIf(in.memory.DisableOOMKiller, true) }
func memFlat(in *input) string  { return oneIf(in.memory.UseHierarchy, false) }

func memOOMGroup(in *input) string { return oneIf(&in.OOMGroup, true) }

// oneIf is "1" when *p has the value that needs a write.
func oneIf(p *bool, needs bool) string {
	if p == nil || *p != needs {
		return ""
	}
	return "1"
}

// pidsMax: nil leaves the group alone, negative is no limit (runtime-spec
// 1.3). 0 becomes 1, as in runc: neither lets anything fork, but under 0 a
// child could not be cloned into the group.
func pidsMax(in *input) string {
	switch {
	case in.Pids == nil || in.Pids.Limit == nil:
		return ""
	case *in.Pids.Limit < 0:
		return "max"
	}
	return strconv.FormatInt(max(*in.Pids.Limit, 1), 10)
}

func ioWeight(in *input) string     { return nonZero(in.blockIO.Weight) }
func ioLeafWeight(in *input) string { return nonZero(in.blockIO.LeafWeight) }

func ioWeightV2(in *input) string {
	if ioWeight(in) == "" {
		return ""
	}
	return "default " + strconv.FormatUint(BlkioToIOWeight(*in.blockIO.Weight), 10)
}

// BlkioToIOWeight converts blkio's 10 to 1000 linearly to io.weight's 1 to
// 10000, as runc and crun do.
func BlkioToIOWeight(w uint16) uint64 {
	return 1 + (uint64(max(w, 10))-10)*9999/990
}

func device(major, minor int64) string {
	return strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
}

func ioWeightDevices(in *input) []line {
	var out []line
	for _, d := range in.blockIO.WeightDevice {
		if w := nonZero(d.Weight); w != "" {
			dev := device(d.Major, d.Minor) + " "
			l := line{value: dev + w, altValue: dev + w}
			if in.v2 {
				l.altValue = dev + strconv.FormatUint(BlkioToIOWeight(*d.Weight), 10)
			}
			out = append(out, l)
		}
	}
	return out
}

func ioLeafWeightDevices(in *input) []line {
	var out []line
	for _, d := range in.blockIO.WeightDevice {
		if w := nonZero(d.LeafWeight); w != "" {
			out = append(out, line{value: device(d.Major, d.Minor) + " " + w})
		}
	}
	return out
}

// throttle: a rate of 0 lifts the limit, which v2 (with a key) spells "max".
func throttle(key string, devices []specs.LinuxThrottleDevice) []line {
	var out []line
	for _, d := range devices {
		rate := strconv.FormatUint(d.Rate, 10)
		if d.Rate == 0 && key != "" {
			rate = "max"
		}
		out = append(out, line{value: device(d.Major, d.Minor) + " " + key + rate})
	}
	return out
}

// hugepages limits use and, where the kernel has it (5.7), reservation, so
// that a fault cannot meet the limit with SIGBUS.
func hugepages(in *input, limit, reserve string) []line {
	var out []line
	for _, h := range in.HugepageLimits {
		v := strconv.FormatUint(h.Limit, 10)
		out = append(out,
			line{resource: "hugepageLimits." + h.Pagesize, file: "hugetlb." + h.Pagesize + limit, value: v},
			line{resource: anyway, file: "hugetlb." + h.Pagesize + reserve, value: v})
	}
	return out
}

func rdmaLines(in *input) []line {
	names := make([]string, 0, len(in.Rdma))
	for name := range in.Rdma {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []line
	for _, name := range names {
		var b strings.Builder
		b.WriteString(name)
		if h := in.Rdma[name].HcaHandles; h != nil {
			b.WriteString(" hca_handle=" + strconv.FormatUint(uint64(*h), 10))
		}
		if o := in.Rdma[name].HcaObjects; o != nil {
			b.WriteString(" hca_object=" + strconv.FormatUint(uint64(*o), 10))
		}
		if b.Len() > len(name) {
			out = append(out, line{resource: "rdma." + name, value: b.String()})
		}
	}
	return out
}
