package systemd

import (
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Scope is the unit that a container's cgroup belongs to.
type Scope struct {
	Slice string // "machine.slice"
	Unit  string // "libpod-ID.scope"; ".slice" where the caller asks for one
	Root  string // the manager's own cgroup, "" for the root
}

// ParseScope reads a cgroupsPath of the form slice:prefix:name, as runc does:
// the unit is prefix-name.scope, or name if that ends in ".slice". Without a
// slice it is system.slice, or user.slice of a user's manager. An empty path
// is that of the container id.
func ParseScope(cgroupsPath, id string, user bool) (Scope, error) {
	s := Scope{Slice: "system.slice"}
	if user {
		s.Slice = "user.slice"
	}
	slice, prefix, name := "", "tare", id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return s, fault.New(fault.Invalid, "cgroupsPath %q: not of the form slice:prefix:name", cgroupsPath)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	if slice != "" {
		s.Slice = slice
	}
	s.Unit = name
	if !strings.HasSuffix(name, ".slice") {
		s.Unit = name + ".scope"
		if prefix != "" {
			s.Unit = prefix + "-" + s.Unit
		}
	}
	if _, err := expandSlice(s.Slice); err != nil || name == "" || !validUnit(s.Unit) {
		return s, fault.New(fault.Invalid, "cgroupsPath %q: not names of a slice and a unit", cgroupsPath)
	}
	return s, nil
}

func validUnit(name string) bool {
	return len(name) < 256 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") == "" && name[0] != '.'
}

// Path is the scope's cgroup. A dash in a slice's name is a level of its own
// (systemd.slice(5)): a-b.slice lies in a.slice.
func (s Scope) Path() string {
	dir, _ := expandSlice(s.Slice)
	if strings.HasSuffix(s.Unit, ".slice") {
		if d, err := expandSlice(s.Unit); err == nil && strings.HasPrefix(d, dir+"/") {
			return s.Root + d
		}
	}
	return s.Root + dir + "/" + s.Unit
}

func expandSlice(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || !validUnit(slice) {
		return "", fault.New(fault.Invalid, "slice %q: not a name of one", slice)
	}
	if name == "-" {
		return "", nil // the root slice
	}
	path, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fault.New(fault.Invalid, "slice %q: an empty level", slice)
		}
		path += "/" + prefix + part + ".slice"
		prefix += part + "-"
	}
	return path, nil
}

// Properties are those that the unit begins with: it takes the process, may
// make cgroups of its own, is collected when it has failed, and counts.
func (s Scope) Properties(description string, pid int, v2 bool) []Property {
	list := []Property{
		{"Description", description},
		{"DefaultDependencies", false},
		{"CPUAccounting", true},
		{"MemoryAccounting", true},
		{"TasksAccounting", true},
		{"CollectMode", "inactive-or-failed"}, // systemd 236
	}
	if v2 {
		list = append(list, Property{"IOAccounting", true})
	} else {
		list = append(list, Property{"BlockIOAccounting", true})
	}
	if strings.HasSuffix(s.Unit, ".slice") {
		return append(list, Property{"Wants", s.Slice})
	}
	return append(list, Property{"Slice", s.Slice}, Property{"Delegate", true}, Property{"PIDs", []uint32{uint32(pid)}})
}

// Resources are the limits that systemd knows too: when it looks at the unit
// again it would take the others for a mistake. What it does not know is
// written beside it, which Delegate allows.
func Resources(r *specs.LinuxResources, v2 bool) []Property {
	var list []Property
	add := func(v1Name, v2Name string, v uint64) {
		name := v1Name
		if v2 {
			name = v2Name
		}
		if name != "" {
			list = append(list, Property{name, v})
		}
	}
	if r == nil {
		return nil
	}
	if m := r.Memory; m != nil {
		if m.Limit != nil && *m.Limit != 0 {
			add("MemoryLimit", "MemoryMax", limit(*m.Limit))
			if m.Swap != nil && *m.Swap != 0 {
				swap := limit(*m.Swap)
				if swap != math.MaxUint64 && *m.Limit > 0 {
					swap = uint64(max(*m.Swap-*m.Limit, 0)) // of swap alone
				}
				add("", "MemorySwapMax", swap)
			}
		}
		if m.Reservation != nil && *m.Reservation != 0 {
			add("", "MemoryLow", limit(*m.Reservation))
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil && *c.Shares != 0 {
			if v2 {
				add("", "CPUWeight", cgroup.SharesToWeight(*c.Shares))
			} else {
				add("CPUShares", "", *c.Shares)
			}
		}
		list = append(list, cpuQuota(c)...)
		for _, set := range []struct{ name, list string }{{"AllowedCPUs", c.Cpus}, {"AllowedMemoryNodes", c.Mems}} {
			if mask := cpuMask(set.list); v2 && mask != nil { // systemd 244
				list = append(list, Property{set.name, mask})
			}
		}
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		n := limit(*r.Pids.Limit)
		list = append(list, Property{"TasksMax", max(n, 1)})
	}
	if b := r.BlockIO; b != nil && b.Weight != nil && *b.Weight != 0 {
		if v2 {
			add("", "IOWeight", cgroup.BlkioToIOWeight(*b.Weight))
		} else {
			add("BlockIOWeight", "", uint64(*b.Weight))
		}
	}
	return list
}

// limit is systemd's "infinity" for what the specification calls -1.
func limit(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64
	}
	return uint64(n)
}

// cpuQuota: systemd keeps whole percents, so the share is rounded up to one;
// the exact quota is written afterwards.
func cpuQuota(c *specs.LinuxCPU) []Property {
	var list []Property
	period := uint64(100_000)
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
		list = append(list, Property{"CPUQuotaPeriodUSec", period}) // systemd 242
	}
	if c.Quota == nil || *c.Quota == 0 {
		return list
	}
	perSec := uint64(math.MaxUint64)
	if *c.Quota > 0 {
		const percent = 10_000 // microseconds of a second
		perSec = uint64(*c.Quota) * 1_000_000 / period
		perSec = (perSec + percent - 1) / percent * percent
	}
	return append(list, Property{"CPUQuotaPerSecUSec", perSec})
}

// cpuMask reads "0-3,7" as a bit mask, lowest byte first; nil for what is no
// list, which package cgroup has refused.
func cpuMask(list string) []byte {
	var mask []byte
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 13)
		b, err2 := strconv.ParseUint(last, 10, 13)
		if err != nil || err2 != nil {
			return nil
		}
		for ; a <= b; a++ {
			for uint64(len(mask)) <= a/8 {
				mask = append(mask, 0)
			}
			mask[a/8] |= 1 << (a % 8)
		}
	}
	return mask
}
