package compose

import (
	"slices"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

const (
	minMemory  = 6 << 20 // Docker's: below it nothing useful starts
	cfsPeriod  = 100_000 // microseconds, the kernel's default
	minShares  = 2
	maxShares  = 262144
	milliCPU   = 1_000_000 // of NanoCPUs
	maxNanoCPU = 1_000_000_000
)

// Resources turns the limits into the runtime's form, after checking them
// against each other and against the machine. The limits were all asked for:
// one that cannot be given is an error that names the controller.
func Resources(in *Inputs) (*specs.LinuxResources, []string, error) {
	r, f := &in.Config.HostConfig.Resources, &in.Limits
	out := &specs.LinuxResources{}
	var warn []string

	mem, err := memory(r, f)
	if err != nil {
		return nil, nil, err
	}
	if r.Memory > 0 && r.MemorySwap == 0 && !f.Swap {
		warn = append(warn, "this kernel does not account swap: memory is limited without swap")
	}
	if r.OomKillDisable != nil && *r.OomKillDisable && r.Memory <= 0 {
		warn = append(warn, "disabling the OOM killer on containers without setting a '-m/--memory' limit may be dangerous")
	}
	cpu, err := cpus(r, f)
	if err != nil {
		return nil, nil, err
	}
	blk, err := blockIO(r, in)
	if err != nil {
		return nil, nil, err
	}
	out.Memory, out.CPU, out.BlockIO = mem, cpu, blk

	if r.PidsLimit != nil {
		limit := *r.PidsLimit
		if limit <= 0 {
			limit = -1
		} else if err := f.need("pids", "--pids-limit"); err != nil {
			return nil, nil, err
		}
		if f.has("pids") {
			out.Pids = &specs.LinuxPids{Limit: &limit}
		}
	}
	if len(r.Unified) > 0 {
		if !f.Unified {
			return nil, nil, fault.New(fault.Unsupported, "cgroup-conf: raw keys need cgroup v2, and this machine's controllers are on v1")
		}
		for k := range r.Unified {
			if k == "" || slices.ContainsFunc([]byte(k), func(c byte) bool { return c == '/' || c <= ' ' }) {
				return nil, nil, fault.New(fault.Invalid, "cgroup-conf %q: not the name of a cgroup file", k)
			}
		}
		out.Unified = r.Unified
	}
	return out, warn, nil
}

func (f *Limits) has(controller string) bool { return slices.Contains(f.Controllers, controller) }

// need says that an option cannot be given where a controller is missing.
func (f *Limits) need(controller, option string) error {
	if f.has(controller) {
		return nil
	}
	return fault.New(fault.Unsupported, "%s: this machine has no %s cgroup controller", option, controller)
}

func memory(r *api.Resources, f *Limits) (*specs.LinuxMemory, error) {
	m := &specs.LinuxMemory{}
	used := false
	if r.Memory < 0 || r.Memory > 0 && r.Memory < minMemory {
		return nil, fault.New(fault.Invalid, "minimum memory limit allowed is 6MB")
	}
	if r.Memory > 0 {
		if err := f.need("memory", "--memory"); err != nil {
			return nil, err
		}
		m.Limit, used = &r.Memory, true
	}
	switch {
	case r.MemorySwap > 0 && r.Memory == 0:
		return nil, fault.New(fault.Invalid, "you should always set the memory limit when using memory-swap limit")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return nil, fault.New(fault.Invalid, "minimum memory-swap limit should be larger than memory limit")
	case r.MemorySwap < -1:
		return nil, fault.New(fault.Invalid, "invalid memory-swap limit %d: it is -1 or a size", r.MemorySwap)
	case r.MemorySwap > 0:
		if !f.Swap && r.MemorySwap > r.Memory {
			return nil, fault.WithHint(fault.New(fault.Unsupported, "--memory-swap: this kernel does not account swap"), "boot with swapaccount=1")
		}
		if f.Swap {
			m.Swap = &r.MemorySwap
		}
	case r.MemorySwap == -1:
		if r.Memory > 0 && f.Swap {
			m.Swap = &r.MemorySwap
		}
	case r.MemorySwap == 0 && r.Memory > 0 && f.Swap:
		// No swap unless asked for, unlike Docker, which gives as much again: a
		// limit is what it says. Without accounting nothing can be held back.
		m.Swap = &r.Memory
	}
	if r.MemoryReservation < 0 || r.MemoryReservation > 0 && r.MemoryReservation < minMemory {
		return nil, fault.New(fault.Invalid, "minimum memory reservation allowed is 6MB")
	}
	if r.MemoryReservation > 0 {
		if r.Memory > 0 && r.Memory < r.MemoryReservation {
			return nil, fault.New(fault.Invalid, "minimum memory limit can not be less than memory reservation limit")
		}
		if err := f.need("memory", "--memory-reservation"); err != nil {
			return nil, err
		}
		m.Reservation, used = &r.MemoryReservation, true
	}
	if r.MemorySwappiness != nil && *r.MemorySwappiness != -1 {
		n := *r.MemorySwappiness
		if n < 0 || n > 100 {
			return nil, fault.New(fault.Invalid, "invalid value: %d, valid memory swappiness range is 0-100", n)
		}
		if f.Unified {
			return nil, fault.New(fault.Unsupported, "--memory-swappiness: cgroup v2 has no swappiness")
		}
		if err := f.need("memory", "--memory-swappiness"); err != nil {
			return nil, err
		}
		u := uint64(n)
		m.Swappiness, used = &u, true
	}
	if r.OomKillDisable != nil && *r.OomKillDisable {
		if f.Unified {
			return nil, fault.New(fault.Unsupported, "--oom-kill-disable: cgroup v2 cannot disable the OOM killer")
		}
		if err := f.need("memory", "--oom-kill-disable"); err != nil {
			return nil, err
		}
		m.DisableOOMKiller, used = r.OomKillDisable, true
	}
	if !used {
		return nil, nil
	}
	return m, nil
}

func cpus(r *api.Resources, f *Limits) (*specs.LinuxCPU, error) {
	c := &specs.LinuxCPU{}
	if err := bandwidth(c, r, f); err != nil {
		return nil, err
	}
	if r.CPUShares < 0 {
		return nil, fault.New(fault.Invalid, "invalid cpu shares %d: range is %d-%d", r.CPUShares, minShares, maxShares)
	}
	if r.CPUShares > 0 {
		if err := f.need("cpu", "--cpu-shares"); err != nil {
			return nil, err
		}
		shares := uint64(min(max(r.CPUShares, minShares), maxShares)) // the kernel clamps too
		c.Shares = &shares
	}
	for _, set := range [...]struct{ what, option, want, have string }{
		{"CPUs", "cpuset-cpus", r.CpusetCpus, f.CPUs},
		{"memory nodes", "cpuset-mems", r.CpusetMems, f.Mems},
	} {
		if set.want == "" {
			continue
		}
		if err := f.need("cpuset", "--"+set.option); err != nil {
			return nil, err
		}
		want, err := parseCPUList(set.want)
		if err != nil {
			return nil, fault.New(fault.Invalid, "invalid value %s for %s: %w", set.want, set.option, err)
		}
		if set.have == "" {
			continue // not known: the kernel will tell
		}
		have, err := parseCPUList(set.have)
		if err != nil {
			return nil, fault.New(fault.Internal, "%s of this machine: %w", set.what, err)
		}
		if !have.contains(want) {
			return nil, fault.New(fault.Invalid, "requested %s are not available - requested %s, available: %s", set.what, set.want, set.have)
		}
	}
	c.Cpus, c.Mems = r.CpusetCpus, r.CpusetMems
	if *c == (specs.LinuxCPU{}) {
		return nil, nil
	}
	return c, nil
}

// bandwidth fills in quota, period, burst and the realtime pair.
func bandwidth(c *specs.LinuxCPU, r *api.Resources, f *Limits) error {
	if r.NanoCPUs > 0 && r.CPUPeriod > 0 {
		return fault.New(fault.Invalid, "conflicting options: Nano CPUs and CPU Period cannot both be set")
	}
	if r.NanoCPUs > 0 && r.CPUQuota > 0 {
		return fault.New(fault.Invalid, "conflicting options: Nano CPUs and CPU Quota cannot both be set")
	}
	if r.NanoCPUs < 0 || r.NanoCPUs > int64(f.NCPU)*maxNanoCPU {
		return fault.New(fault.Invalid, "range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", f.NCPU, f.NCPU)
	}
	if r.NanoCPUs > 0 && r.NanoCPUs < 10*milliCPU {
		// The kernel takes no quota below 1 ms a period.
		return fault.New(fault.Invalid, "range of CPUs is from 0.01 to %d.00", f.NCPU)
	}
	if r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1_000_000) {
		return fault.New(fault.Invalid, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	}
	if r.CPUQuota > 0 && r.CPUQuota < 1000 {
		return fault.New(fault.Invalid, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	if r.CPUBurst < 0 {
		return fault.New(fault.Invalid, "CPU burst can not be less than 0")
	}
	if r.NanoCPUs != 0 || r.CPUPeriod != 0 || r.CPUQuota != 0 || r.CPUBurst != 0 || r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0 {
		option := "--cpus"
		if r.NanoCPUs == 0 {
			option = "--cpu-quota"
		}
		if err := f.need("cpu", option); err != nil {
			return err
		}
	}
	if r.NanoCPUs > 0 {
		period, quota := uint64(cfsPeriod), r.NanoCPUs*cfsPeriod/maxNanoCPU
		c.Period, c.Quota = &period, &quota
	}
	if r.CPUPeriod != 0 {
		period := uint64(r.CPUPeriod)
		c.Period = &period
	}
	if r.CPUQuota != 0 {
		c.Quota = &r.CPUQuota
	}
	if r.CPUBurst > 0 {
		burst := uint64(r.CPUBurst)
		if c.Quota == nil || *c.Quota <= 0 || r.CPUBurst > *c.Quota {
			return fault.New(fault.Invalid, "CPU burst can not be larger than the quota")
		}
		c.Burst = &burst
	}
	if r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0 {
		if f.Unified {
			return fault.New(fault.Unsupported, "--cpu-rt-runtime: cgroup v2 has no realtime limits")
		}
		if r.CPURealtimePeriod != 0 && r.CPURealtimeRuntime > r.CPURealtimePeriod {
			return fault.New(fault.Invalid, "cpu real-time runtime cannot be higher than cpu real-time period")
		}
		period := uint64(r.CPURealtimePeriod)
		if period != 0 {
			c.RealtimePeriod = &period
		}
		if r.CPURealtimeRuntime != 0 {
			c.RealtimeRuntime = &r.CPURealtimeRuntime
		}
	}
	return nil
}

func blockIO(r *api.Resources, in *Inputs) (*specs.LinuxBlockIO, error) {
	f := &in.Limits
	if r.BlkioWeight == 0 && len(r.BlkioWeightDevice)+len(r.BlkioDeviceReadBps)+len(r.BlkioDeviceWriteBps)+
		len(r.BlkioDeviceReadIOps)+len(r.BlkioDeviceWriteIOps) == 0 {
		return nil, nil
	}
	if r.BlkioWeight != 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000) {
		return nil, fault.New(fault.Invalid, "range of blkio weight is from 10 to 1000")
	}
	b := &specs.LinuxBlockIO{}
	if r.BlkioWeight != 0 {
		if err := f.need("blkio", "--blkio-weight"); err != nil {
			return nil, err
		}
		b.Weight = &r.BlkioWeight
	}
	for _, w := range r.BlkioWeightDevice {
		if w.Weight != 0 && (w.Weight < 10 || w.Weight > 1000) {
			return nil, fault.New(fault.Invalid, "blkio-weight-device %s: range of blkio weight is from 10 to 1000", w.Path)
		}
		if err := f.need("blkio", "--blkio-weight-device"); err != nil {
			return nil, err
		}
		dev, err := blockDevice(in, w.Path)
		if err != nil {
			return nil, err
		}
		b.WeightDevice = append(b.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: dev, Weight: &w.Weight})
	}
	for _, t := range [...]struct {
		option string
		in     []api.ThrottleDevice
		out    *[]specs.LinuxThrottleDevice
	}{
		{"--device-read-bps", r.BlkioDeviceReadBps, &b.ThrottleReadBpsDevice},
		{"--device-write-bps", r.BlkioDeviceWriteBps, &b.ThrottleWriteBpsDevice},
		{"--device-read-iops", r.BlkioDeviceReadIOps, &b.ThrottleReadIOPSDevice},
		{"--device-write-iops", r.BlkioDeviceWriteIOps, &b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.in {
			if err := f.need("blkio", t.option); err != nil {
				return nil, err
			}
			dev, err := blockDevice(in, d.Path)
			if err != nil {
				return nil, err
			}
			*t.out = append(*t.out, specs.LinuxThrottleDevice{LinuxBlockIODevice: dev, Rate: d.Rate})
		}
	}
	return b, nil
}

func blockDevice(in *Inputs, path string) (specs.LinuxBlockIODevice, error) {
	nodes, err := deviceNodes(in, path)
	if err != nil {
		return specs.LinuxBlockIODevice{}, err
	}
	if len(nodes) != 1 || nodes[0].Type != "b" {
		return specs.LinuxBlockIODevice{}, fault.New(fault.Invalid, "%s is not a block device", path)
	}
	return specs.LinuxBlockIODevice{Major: nodes[0].Major, Minor: nodes[0].Minor}, nil
}
