package cgroup

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// unified adds the raw v2 keys of the spec, in the order of their names and
// after everything else, so that they win.
func (c *computing) unified() error {
	if len(c.in.Unified) == 0 {
		return nil
	}
	keys := make([]string, 0, len(c.in.Unified))
	for k := range c.in.Unified {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		name, err := unifiedController(k)
		if err != nil {
			return err
		}
		h := c.set.Layout.Unified()
		switch {
		case h < 0:
			c.missing("unified."+k, name, k, "no cgroup v2 hierarchy")
			continue
		case c.set.Layout.Hierarchies[h].ReadOnly:
			c.missing("unified."+k, name, k, "cgroup v2 is mounted read-only")
			continue
		case name != "cgroup" && c.set.Layout.Find(name) != h:
			c.missing("unified."+k, name, k, "no "+name+" controller on cgroup v2")
			continue
		}
		if name != "cgroup" {
			c.require(name)
		}
		// io.max and the like take one entry for each write.
		for v := range strings.SplitSeq(strings.TrimRight(c.in.Unified[k], "\n"), "\n") {
			a := c.action(Write, h)
			a.File, a.Value, a.Resource = k, v, "unified."+k
			c.writes[h] = append(c.writes[h], a)
		}
	}
	return nil
}

// unifiedController names the controller of a raw key. Of the core files only
// the two limits may be written: cgroup.procs, cgroup.kill or
// cgroup.subtree_control would be a way to act on other processes.
func unifiedController(key string) (string, error) {
	name, rest, ok := strings.Cut(key, ".")
	if !ok || rest == "" || strings.ContainsAny(key, "/\n\x00") {
		return "", fault.New(fault.Invalid, "use unified key %q: malformed", key)
	}
	switch name {
	case "cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc", "dmem":
		return name, nil
	}
	if key == "cgroup.max.descendants" || key == "cgroup.max.depth" {
		return name, nil
	}
	return "", fault.New(fault.Invalid, "use unified key %q: no such controller", key)
}

// validate finds what no host could do, so that the tables need not.
func validate(r *specs.LinuxResources) error {
	if m := r.Memory; m != nil {
		if err := validateMemory(m); err != nil {
			return err
		}
	}
	if c := r.CPU; c != nil {
		if c.Quota != nil && *c.Quota < -1 {
			return fault.New(fault.Invalid, "set cpu.quota %d: must be -1 or more", *c.Quota)
		}
		if c.Idle != nil && *c.Idle != 0 && *c.Idle != 1 {
			return fault.New(fault.Invalid, "set cpu.idle %d: must be 0 or 1", *c.Idle)
		}
		for _, s := range [...]string{c.Cpus, c.Mems} {
			if strings.Trim(s, "0123456789-, ") != "" {
				return fault.New(fault.Invalid, "set cpuset %q: malformed list", s)
			}
		}
	}
	for _, h := range r.HugepageLimits {
		if h.Pagesize == "" || strings.Trim(h.Pagesize, "0123456789KMGB") != "" {
			return fault.New(fault.Invalid, "set hugepage limit %q: malformed page size", h.Pagesize)
		}
	}
	for name := range r.Rdma {
		if name == "" || strings.ContainsAny(name, " \t\n") {
			return fault.New(fault.Invalid, "set rdma limit %q: malformed device name", name)
		}
	}
	if r.Network != nil {
		for _, p := range r.Network.Priorities {
			if p.Name == "" || strings.ContainsAny(p.Name, " \t\n/") {
				return fault.New(fault.Invalid, "set network priority %q: malformed interface name", p.Name)
			}
		}
	}
	return nil
}

func validateMemory(m *specs.LinuxMemory) error {
	for _, f := range [...]struct {
		name string
		v    *int64
	}{{"limit", m.Limit}, {"swap", m.Swap}, {"reservation", m.Reservation}, {"kernelTCP", m.KernelTCP}} {
		if f.v != nil && *f.v < -1 {
			return fault.New(fault.Invalid, "set memory.%s %d: must be -1 or more", f.name, *f.v)
		}
	}
	if m.Swap == nil || *m.Swap <= 0 {
		return nil
	}
	switch {
	case m.Limit == nil || *m.Limit == 0:
		return fault.New(fault.Invalid, "set memory.swap %d: needs a memory limit beside it", *m.Swap)
	case *m.Limit > *m.Swap:
		return fault.New(fault.Invalid, "set memory.swap %d: below the memory limit %d", *m.Swap, *m.Limit)
	}
	return nil
}
