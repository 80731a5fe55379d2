package runc

import (
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

func cpu(o any) *specs.LinuxCPU {
	r := o.(*specs.LinuxResources)
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	return r.CPU
}

func memory(o any) *specs.LinuxMemory {
	r := o.(*specs.LinuxResources)
	if r.Memory == nil {
		r.Memory = &specs.LinuxMemory{}
	}
	return r.Memory
}

func blockIO(o any) *specs.LinuxBlockIO {
	r := o.(*specs.LinuxResources)
	if r.BlockIO == nil {
		r.BlockIO = &specs.LinuxBlockIO{}
	}
	return r.BlockIO
}

func pids(o any) *specs.LinuxPids {
	r := o.(*specs.LinuxResources)
	if r.Pids == nil {
		r.Pids = &specs.LinuxPids{}
	}
	return r.Pids
}

// updateRows are the flags of update. All but the first set a
// *specs.LinuxResources, once all have been read.
var updateRows = []flags.Flag{
	{
		Name: "resources", Short: 'r', Value: "file", Usage: "take the limits from JSON of the runtime-spec's form instead; - for standard input",
		Set: func(o any, v string) error { return flags.String(&o.(*updateOptions).file, v) },
	},
	{
		Name: "blkio-weight", Value: "n", Usage: "weight of block I/O, 10 to 1000",
		Set: func(o any, v string) error { return flags.SetNew(&blockIO(o).Weight, v, parseUint16) },
	},
	{Name: "cpu-period", Value: "us", Usage: "period of the CPU limit", Set: func(o any, v string) error { return flags.SetNew(&cpu(o).Period, v, parseUint) }},
	{Name: "cpu-quota", Value: "us", Usage: "CPU time in a period; -1: no limit", Set: func(o any, v string) error { return flags.SetNew(&cpu(o).Quota, v, parseInt) }},
	{
		Name: "cpu-burst", Value: "us", Usage: "unused CPU time that may be used later",
		Set: func(o any, v string) error { return flags.SetNew(&cpu(o).Burst, v, parseUint) },
	},
	{
		Name: "cpu-share", Also: "cpu-shares", Value: "n", Usage: "weight of CPU time",
		Set: func(o any, v string) error { return flags.SetNew(&cpu(o).Shares, v, parseUint) },
	},
	{
		Name: "cpu-rt-period", Value: "us", Usage: "period of the realtime limit (v1)",
		Set: func(o any, v string) error { return flags.SetNew(&cpu(o).RealtimePeriod, v, parseUint) },
	},
	{
		Name: "cpu-rt-runtime", Value: "us", Usage: "realtime CPU time in a period (v1)",
		Set: func(o any, v string) error { return flags.SetNew(&cpu(o).RealtimeRuntime, v, parseInt) },
	},
	{Name: "cpu-idle", Value: "n", Usage: "1: run only when nobody else does", Set: func(o any, v string) error { return flags.SetNew(&cpu(o).Idle, v, parseInt) }},
	{Name: "cpuset-cpus", Value: "list", Usage: "CPUs to use", Set: func(o any, v string) error { return flags.String(&cpu(o).Cpus, v) }},
	{Name: "cpuset-mems", Value: "list", Usage: "memory nodes to use", Set: func(o any, v string) error { return flags.String(&cpu(o).Mems, v) }},
	{Name: "memory", Value: "bytes", Usage: "memory limit; -1: none", Set: func(o any, v string) error { return flags.SetNew(&memory(o).Limit, v, parseBytes) }},
	{
		Name: "memory-reservation", Value: "bytes", Usage: "memory that is kept when others need some",
		Set: func(o any, v string) error { return flags.SetNew(&memory(o).Reservation, v, parseBytes) },
	},
	{
		Name: "memory-swap", Value: "bytes", Usage: "limit of memory and swap together; -1: none",
		Set: func(o any, v string) error { return flags.SetNew(&memory(o).Swap, v, parseBytes) },
	},
	{
		Name: "kernel-memory-tcp", Value: "bytes", Usage: "limit of TCP buffers (v1)",
		Set: func(o any, v string) error { return flags.SetNew(&memory(o).KernelTCP, v, parseBytes) },
	},
	{Name: "kernel-memory", Value: "bytes", Usage: "no effect: the kernel has no such limit any more (6.1)", Set: func(any, string) error { return nil }},
	{Name: "pids-limit", Value: "n", Usage: "how many processes; -1: any number", Set: func(o any, v string) error { return flags.SetNew(&pids(o).Limit, v, parseInt) }},
	{Name: "l3-cache-schema", Value: "text", Usage: "refused: resctrl", Set: refuseResctrl},
	{Name: "mem-bw-schema", Value: "text", Usage: "refused: resctrl", Set: refuseResctrl},
}

func refuseResctrl(any, string) error {
	return fault.New(fault.Unsupported, "no resctrl file system is used by this runtime")
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

type updateOptions struct {
	file  string
	given map[string]string // by the name of the flag
}

// Take waits with a limit: of several values of one flag the last counts, and
// with a file none does.
func (o *updateOptions) Take(f *flags.Flag, v string) error {
	if f.Name == "resources" {
		return f.Set(o, v)
	}
	o.given[f.Name] = v
	return nil
}

func (o *updateOptions) run(a *App, args []string) error {
	r := &specs.LinuxResources{}
	if o.file != "" {
		if _, err := readJSON(a, o.file, r, readLinuxResources); err != nil {
			return err
		}
		return a.update(args[0], r)
	}
	for i := range updateRows {
		f := &updateRows[i]
		v := o.given[f.Name]
		if v == "" {
			continue
		}
		if err := f.Set(r, v); err != nil {
			return fault.New(fault.Invalid, "invalid value %q for --%s: %w", v, strings.Join(names(f), ","), err)
		}
	}
	return a.update(args[0], r)
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
	if err := a.updateGroup(&c.rec, l, g, set, r, rootlessCaller()); err != nil {
		return err
	}
	for _, m := range g.Missing() {
		return fault.New(fault.Unsupported, "update %s: %s", id, m)
	}
	return nil
}
