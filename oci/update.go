package oci

import (
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/host"
)

// limit is one flag of update: what it is called, and where its value goes.
type limit struct {
	names, value, usage string
	set                 func(r *specs.LinuxResources, v string) error
}

func number[T int64 | uint64 | uint16](parse func(string) (T, error), field func(*specs.LinuxResources) **T) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, v string) error {
		n, err := parse(v)
		if err == nil {
			*field(r) = &n
		}
		return err
	}
}

func cpu(r *specs.LinuxResources) *specs.LinuxCPU {
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	return r.CPU
}

func memory(r *specs.LinuxResources) *specs.LinuxMemory {
	if r.Memory == nil {
		r.Memory = &specs.LinuxMemory{}
	}
	return r.Memory
}

func blockIO(r *specs.LinuxResources) *specs.LinuxBlockIO {
	if r.BlockIO == nil {
		r.BlockIO = &specs.LinuxBlockIO{}
	}
	return r.BlockIO
}

func pids(r *specs.LinuxResources) *specs.LinuxPids {
	if r.Pids == nil {
		r.Pids = &specs.LinuxPids{}
	}
	return r.Pids
}

// limits are the flags of update.
func limits() []limit {
	resctrl := func(*specs.LinuxResources, string) error {
		return fault.New(fault.Unsupported, "no resctrl file system is used by this runtime")
	}
	return []limit{
		{"blkio-weight", "n", "weight of block I/O, 10 to 1000", number(parseUint16, func(r *specs.LinuxResources) **uint16 { return &blockIO(r).Weight })},
		{"cpu-period", "us", "period of the CPU limit", number(parseUint, func(r *specs.LinuxResources) **uint64 { return &cpu(r).Period })},
		{"cpu-quota", "us", "CPU time in a period; -1: no limit", number(parseInt, func(r *specs.LinuxResources) **int64 { return &cpu(r).Quota })},
		{"cpu-burst", "us", "unused CPU time that may be used later", number(parseUint, func(r *specs.LinuxResources) **uint64 { return &cpu(r).Burst })},
		{"cpu-share,cpu-shares", "n", "weight of CPU time", number(parseUint, func(r *specs.LinuxResources) **uint64 { return &cpu(r).Shares })},
		{"cpu-rt-period", "us", "period of the realtime limit (v1)", number(parseUint, func(r *specs.LinuxResources) **uint64 { return &cpu(r).RealtimePeriod })},
		{"cpu-rt-runtime", "us", "realtime CPU time in a period (v1)", number(parseInt, func(r *specs.LinuxResources) **int64 { return &cpu(r).RealtimeRuntime })},
		{"cpu-idle", "n", "1: run only when nobody else does", number(parseInt, func(r *specs.LinuxResources) **int64 { return &cpu(r).Idle })},
		{"cpuset-cpus", "list", "CPUs to use", func(r *specs.LinuxResources, v string) error { cpu(r).Cpus = v; return nil }},
		{"cpuset-mems", "list", "memory nodes to use", func(r *specs.LinuxResources, v string) error { cpu(r).Mems = v; return nil }},
		{"memory", "bytes", "memory limit; -1: none", number(parseBytes, func(r *specs.LinuxResources) **int64 { return &memory(r).Limit })},
		{"memory-reservation", "bytes", "memory that is kept when others need some", number(parseBytes, func(r *specs.LinuxResources) **int64 { return &memory(r).Reservation })},
		{"memory-swap", "bytes", "limit of memory and swap together; -1: none", number(parseBytes, func(r *specs.LinuxResources) **int64 { return &memory(r).Swap })},
		{"kernel-memory-tcp", "bytes", "limit of TCP buffers (v1)", number(parseBytes, func(r *specs.LinuxResources) **int64 { return &memory(r).KernelTCP })},
		{"kernel-memory", "bytes", "no effect: the kernel has no such limit any more (6.1)", func(*specs.LinuxResources, string) error { return nil }},
		{"pids-limit", "n", "how many processes; -1: any number", number(parseInt, func(r *specs.LinuxResources) **int64 { return &pids(r).Limit })},
		{"l3-cache-schema", "text", "refused: resctrl", resctrl},
		{"mem-bw-schema", "text", "refused: resctrl", resctrl},
	}
}

func parseInt(s string) (int64, error)   { return strconv.ParseInt(s, 10, 64) }
func parseUint(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func parseUint16(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// parseBytes reads a size such as 512, 64m or 1.5GiB; -1 is no limit.
func parseBytes(s string) (int64, error) {
	bad := fault.New(fault.Invalid, "invalid size: %q", s)
	if s == "-1" {
		return -1, nil
	}
	unit := strings.TrimLeft(s, "0123456789.")
	n, err := strconv.ParseFloat(s[:len(s)-len(unit)], 64)
	shift := strings.IndexByte("bkmgtp", byteOf(unit))
	rest := strings.TrimPrefix(strings.ToLower(unit), unitOf(unit))
	if err != nil || shift < 0 || rest != "" && rest != "b" && rest != "ib" {
		return 0, bad
	}
	n *= math.Pow(1024, float64(shift))
	if n >= math.MaxInt64 {
		return 0, bad
	}
	return int64(n), nil
}

func byteOf(unit string) byte {
	if unit == "" {
		return 'b'
	}
	return strings.ToLower(unit)[0]
}

func unitOf(unit string) string {
	if unit == "" {
		return ""
	}
	return strings.ToLower(unit[:1])
}

func newUpdate(f *flags) action {
	var file string
	given := map[string]string{}
	f.string(&file, "resources,r", "file", "take the limits from JSON of the runtime-spec's form instead; - for standard input")
	list := limits()
	for i := range list {
		l := &list[i]
		f.each(l.names, l.value, l.usage, func(n string) {
			f.set.Func(n, "", func(v string) error { given[l.names] = v; return nil })
		})
	}
	return func(a *App, args []string) error {
		r := &specs.LinuxResources{}
		if file != "" {
			if _, err := readJSON(a, file, r, readLinuxResources); err != nil {
				return err
			}
		} else {
			for i := range list {
				v, ok := given[list[i].names]
				if !ok || v == "" {
					continue
				}
				if err := list[i].set(r, v); err != nil {
					return fault.New(fault.Invalid, "invalid value %q for --%s: %w", v, list[i].names, err)
				}
			}
		}
		return a.update(args[0], r)
	}
}

func (a *App) update(id string, r *specs.LinuxResources) error {
	c, err := a.openLocked(id)
	if err != nil {
		return err
	}
	defer c.release()
	if c.life() == specs.StateStopped {
		return fault.New(fault.Conflict, "update %s: %w", id, errStopped)
	}
	r.Devices = nil // update changes limits; containerd sends all that it knows
	l, err := a.layout()
	if err != nil {
		return err
	}
	set, err := cgroup.Compute(l, c.rec.Cgroup, r, cgroup.Options{Update: true})
	if err != nil {
		return err
	}
	for _, m := range set.Missing {
		return fault.New(fault.Unsupported, "update %s: %s", id, m)
	}
	g, err := a.group(&c.rec)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := a.updateGroup(&c.rec, l, g, set, r, host.InUserNS() || !host.IsRoot()); err != nil {
		return err
	}
	for _, m := range g.Missing() {
		return fault.New(fault.Unsupported, "update %s: %s", id, m)
	}
	return nil
}
