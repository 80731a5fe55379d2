package engine

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/events"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/host"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/snapshot"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/state"
)

// Engine is one opened data root.
type Engine struct {
	Containers *Containers
	Images     *Images

	opt       Options
	host      host.Facts
	state     *state.Store
	images    *image.Store
	snapshots *snapshot.Store
	events    *events.Journal

	oldBase string // the built-in image of another tare-base, now without a name

	layout func() (cgroup.Layout, error)
	after  func(where string) // crash tests
}

// Containers is the engine's containers.
type Containers struct{ e *Engine }

// Images is the engine's images.
type Images struct{ e *Engine }

// Open opens the engine of a data root, which need not exist, and cleans up
// after starts that were cut off. It is the one place that wires.
func Open(o Options) (*Engine, error) {
	e, err := open(o)
	if err != nil {
		return nil, err
	}
	if err := e.recover(); err != nil {
		err = fault.New(fault.KindOf(err), "clean up after a start that was cut off: %w", err)
		if o.Warn == nil {
			return nil, err
		}
		o.Warn(err.Error())
	}
	return e, nil
}

func open(o Options) (*Engine, error) {
	for _, dir := range []*string{&o.Root, &o.RunRoot} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return nil, err
		}
		*dir = abs
	}
	facts, err := host.Probe()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		opt:       o,
		host:      facts,
		state:     state.Open(o.Root, o.RunRoot, madeUpName),
		images:    image.Open(o.Root),
		snapshots: snapshot.Open(o.Root),
		events:    events.Open(o.RunRoot),
		layout:    sync.OnceValues(cgroupfs.Probe),
	}
	e.images.UserXattr = facts.UserNS
	e.Containers, e.Images = &Containers{e}, &Images{e}
	return e, nil
}

// harden must come before anything is cloned that another process could get
// hold of. A rootless engine has to stay dumpable until its id map is written.
func (e *Engine) harden() error {
	if !e.host.Root || e.host.UserNS {
		return nil // its own /proc files would belong to nobody it can be
	}
	return spawn.Harden()
}

// facts turns what the host package found into what Compose wants. CPUs and
// memory nodes are read only when a limit names them.
func (e *Engine) facts(c *ContainerConfig) (*Facts, error) {
	l, err := e.layout()
	if err != nil {
		return nil, err
	}
	f := &Facts{
		Arch:         e.host.Arch,
		Hostname:     e.host.Hostname,
		Kernel:       e.host.Kernel,
		Caps:         e.host.Bounding,
		LastCap:      e.host.LastCap,
		NCPU:         runtime.NumCPU(),
		ThermalCPUs:  e.host.ThermalCPUs,
		CgroupParent: cgroupParent,
		AppArmor:     e.host.AppArmor,
		SELinux:      e.host.SELinux,
		Swap:         c.HostConfig.Memory == 0 || hasSwapFile(l),
	}
	for _, h := range l.Hierarchies {
		f.Controllers = append(f.Controllers, v1Names(h.Controllers)...)
		f.Unified = f.Unified || h.Unified && contains(h.Controllers, "memory")
	}
	r := &c.HostConfig.Resources
	if r.NanoCPUs != 0 || r.CpusetCpus != "" || r.CpusetMems != "" {
		f.CPUs, f.NCPU = host.OnlineCPUs()
		f.Mems = host.OnlineMems()
	}
	if c.HostConfig.UsernsMode == "private" {
		uids, gids := host.SubIDs("tare", "containers")
		f.UIDMap, f.GIDMap = idMap(uids), idMap(gids)
	}
	if c.HostConfig.Init != nil && *c.HostConfig.Init {
		f.InitPath = e.helper("tare-base")
	}
	return f, nil
}

// hasSwapFile reports whether the memory controller accounts swap. On v2 the
// root group has no limit files: a missing one is found out when it is
// written.
func hasSwapFile(l cgroup.Layout) bool {
	i := l.Find("memory")
	if i < 0 || l.Hierarchies[i].Unified {
		return true
	}
	_, err := os.Stat(l.Hierarchies[i].Mount + "/memory.memsw.limit_in_bytes")
	return err == nil
}

// idMap lays the ranges end to end, from id 0 of the container on.
func idMap(ranges []host.IDRange) []specs.LinuxIDMapping {
	var m []specs.LinuxIDMapping
	next := uint32(0)
	for _, r := range ranges {
		m = append(m, specs.LinuxIDMapping{ContainerID: next, HostID: r.First, Size: r.Count})
		next += r.Count
	}
	return m
}

const cgroupParent = "/tare"

// v1Names gives the controllers their v1 names, which the options are named
// after.
func v1Names(names []string) []string {
	var out []string
	for _, n := range names {
		switch n {
		case "io":
			out = append(out, "blkio")
		case "cpu":
			out = append(out, "cpu", "cpuacct")
		default:
			out = append(out, n)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// helper returns the path of a program that is installed beside this one, or
// in ../libexec/tare, or "".
func (e *Engine) helper(name string) string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Dir(exe)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "../libexec/tare", name)} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}
