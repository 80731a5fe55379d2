package cgroup

import (
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Options are what a container wants beyond its specs.LinuxResources.
type Options struct {
	Update   bool // only change limits of an existing group: no directories, nothing opened
	OOMGroup bool // kill the whole group on OOM (memory.oom.group, v2 only)
	Lenient  bool // do without every hierarchy that no limit needs and the caller may not write (rootless)
}

// Compute turns resources into a Set. An absolute path starts at each
// hierarchy's mount point, a relative one at the caller's own cgroup. Errors
// are fault.Invalid (malformed path, device rule or unified key, swap below
// limit) or fault.Unsupported (a device rule that v1 cannot hold, a relative
// path where the caller's cgroup is not visible); what the host lacks is in
// Set.Missing.
func Compute(l Layout, path string, r *specs.LinuxResources, o Options) (*Set, error) {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if err := validate(r); err != nil {
		return nil, err
	}
	dirs, err := l.Dirs(path)
	if err != nil {
		return nil, err
	}
	c := &computing{
		set:    &Set{Layout: l, Path: path, Actions: make([]Action, 0, 64)},
		dirs:   dirs,
		writes: make([][]Action, len(dirs)),
		need:   make([]string, 0, 8),
	}
	c.in.LinuxResources, c.in.Options = r, o
	if r.CPU != nil {
		c.in.cpu = *r.CPU
	}
	if r.Memory != nil {
		c.in.memory = *r.Memory
	}
	if r.BlockIO != nil {
		c.in.blockIO = *r.BlockIO
	}
	for i := range controllers {
		c.controller(&controllers[i])
	}
	if err := c.unified(); err != nil {
		return nil, err
	}
	if err := c.devices(); err != nil {
		return nil, err
	}
	for i := range l.Hierarchies {
		c.assemble(i)
	}
	return c.set, nil
}

// Dirs gives the group's directory in each hierarchy, relative to the mount
// point and without a slash at either end. See Compute for path.
func (l Layout) Dirs(path string) ([]string, error) {
	rel, absolute := strings.CutPrefix(path, "/")
	for name := range strings.SplitSeq(rel, "/") {
		if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "\n\x00") {
			return nil, fault.New(fault.Invalid, "use cgroup path %q: malformed", path)
		}
	}
	dirs := make([]string, len(l.Hierarchies))
	for i, h := range l.Hierarchies {
		dirs[i] = rel
		if absolute || h.Self == "/" {
			continue
		}
		if h.Self == "" {
			return nil, fault.New(fault.Unsupported, "use relative cgroup path %q: own cgroup is not visible in %s", path, h.Mount)
		}
		dirs[i] = strings.Trim(h.Self, "/") + "/" + rel
	}
	return dirs, nil
}

// computing is one call of Compute.
type computing struct {
	in     input
	set    *Set
	dirs   []string
	writes [][]Action // by hierarchy
	need   []string   // v2 controllers that a write needs
	bpf    bool
}

func (c *computing) missing(resource, controller, file, cause string) {
	if resource != anyway {
		c.set.Missing = append(c.set.Missing, Missing{resource, controller, file, cause})
	}
}

// place finds the hierarchy of a controller; v2 says which table holds. With
// i < 0 there is none, and cause says why.
func (c *computing) place(v1, v2 string) (i int, isV2 bool, cause string) {
	l := c.set.Layout
	for _, name := range [...]string{v1, v2} {
		i := l.Find(name)
		if name == "" || i < 0 {
			continue
		}
		if l.Hierarchies[i].ReadOnly {
			return -1, l.Hierarchies[i].Unified, name + " controller is mounted read-only"
		}
		return i, l.Hierarchies[i].Unified, ""
	}
	switch {
	case !l.pure():
		return -1, false, "no " + v1 + " controller"
	case v2 == "":
		return -1, false, "cgroup v2 has no " + v1 + " controller"
	}
	return -1, true, "no " + v2 + " controller"
}

// controller computes the writes of one controller's table.
func (c *computing) controller(t *controller) {
	h, v2, cause := c.place(t.v1, t.v2)
	name, rows := t.v1, t.v1Rows
	if v2 {
		name, rows = t.v2, t.v2Rows
	}
	c.in.v2 = v2
	for i := range rows {
		r := &rows[i]
		if r.many != nil {
			for _, l := range r.many(&c.in) {
				c.emit(h, name, cause, r, l)
			}
			continue
		}
		l := line{value: r.value(&c.in)}
		if l.value == "" {
			continue
		}
		l.altValue = l.value
		if r.altValue != nil {
			l.altValue = r.altValue(&c.in)
		}
		if r.resource == "memory.limit" && c.in.Update && c.in.memory.CheckBeforeUpdate != nil && *c.in.memory.CheckBeforeUpdate {
			c.check(h, v2, l.value)
		}
		c.emit(h, name, cause, r, l)
	}
}

// emit adds one write, or says that it is missing.
func (c *computing) emit(h int, name, cause string, r *row, l line) {
	if l.resource == "" {
		l.resource = r.resource
	}
	if l.file == "" {
		l.file = r.file
	}
	switch {
	case h < 0:
		c.missing(l.resource, name, l.file, cause)
		return
	case l.file == "":
		version := "cgroup v1"
		if c.in.v2 {
			version = "cgroup v2"
		}
		c.missing(l.resource, name, "", version+" has no such limit")
		return
	}
	a := c.action(Write, h)
	a.File, a.Value, a.Resource, a.Batch = l.file, l.value, l.resource, r.batch
	if l.resource == anyway {
		a.Resource = ""
	}
	if r.alt != "" {
		a.AltFile, a.AltValue = r.alt, l.altValue
	}
	c.writes[h] = append(c.writes[h], a)
	if c.in.v2 {
		c.require(name)
	}
}

func (c *computing) require(name string) {
	if !slices.Contains(c.need, name) {
		c.need = append(c.need, name)
	}
}

// check refuses a new limit below what is in use, before anything is changed.
func (c *computing) check(h int, v2 bool, limit string) {
	if h < 0 || limit == "-1" || limit == "max" {
		return
	}
	a := c.action(Check, h)
	a.File, a.Value, a.Resource = "memory.usage_in_bytes", limit, "memory.limit"
	if v2 {
		a.File = "memory.current"
	}
	c.writes[h] = append([]Action{a}, c.writes[h]...)
}

func (c *computing) action(k Kind, h int) Action {
	return Action{Kind: k, Hierarchy: h, Mount: c.set.Layout.Hierarchies[h].Mount, Path: c.dirs[h]}
}

// devices turns the device rules into v1 writes or a v2 program.
func (c *computing) devices() error {
	rules, err := parseRules(c.in.Devices)
	if err != nil || len(rules) == 0 {
		return err
	}
	// A new group allows whatever its parent does.
	free := !c.in.Update && len(rules) == 1 && rules[0].isAll() && rules[0].allow
	h := c.set.Layout.Find("devices")
	switch {
	case h >= 0 && c.set.Layout.Hierarchies[h].ReadOnly:
		c.missing("devices", "devices", "", "devices controller is mounted read-only")
	case h >= 0:
		writes, err := rulesV1(rules)
		if err != nil || free {
			return err
		}
		for _, w := range writes {
			a := c.action(Write, h)
			a.File, a.Value, a.Resource = w.file, w.value, "devices"
			c.writes[h] = append(c.writes[h], a)
		}
	case c.set.Layout.Unified() >= 0:
		if free {
			return nil
		}
		c.bpf = true
		c.set.Devices = deviceProgram(rules)
	default:
		c.missing("devices", "devices", "", "no devices controller")
	}
	return nil
}

// stats are the v2 controllers that every container gets where the host has
// them: without limits they still count, and memory reports OOM kills.
var stats = [...]string{"cpu", "memory", "pids", "io"}

// enable is the value for cgroup.subtree_control.
func (c *computing) enable(h *Hierarchy) string {
	var b strings.Builder
	for _, name := range h.Controllers {
		if slices.Contains(c.need, name) || !c.in.Update && slices.Contains(stats[:], name) {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString("+" + name)
		}
	}
	return b.String()
}

// assemble appends the actions of hierarchy i.
func (c *computing) assemble(i int) {
	h := &c.set.Layout.Hierarchies[i]
	if h.ReadOnly {
		return
	}
	s := c.set
	dir := c.dirs[i]
	parent := ""
	if n := strings.LastIndexByte(dir, '/'); n >= 0 {
		parent = dir[:n]
	}
	isCpuset := !h.Unified && s.Layout.Find("cpuset") == i
	isDevices := !h.Unified && s.Layout.Find("devices") == i
	isFreezer := !h.Unified && s.Layout.Find("freezer") == i
	bpf := c.bpf && h.Unified
	// Where nothing was asked for, not being in a hierarchy is no loss; but
	// the devices and freezer ones are isolation, and v2 alone is everything.
	free := len(c.writes[i]) == 0 && !bpf && (c.in.Lenient || !isDevices && !isFreezer && !s.Layout.pure())

	add := func(a Action) { s.Actions = append(s.Actions, a) }
	if !c.in.Update {
		a := c.action(Parent, i)
		a.Path, a.Optional = parent, free
		add(a)
	}
	if h.Unified {
		c.enableAll(i, parent)
	}
	if !c.in.Update {
		a := c.action(Mkdir, i)
		a.Optional = free
		add(a)
		if isCpuset {
			c.inherit(i, "cpuset.cpus")
			c.inherit(i, "cpuset.mems")
		}
	}
	s.Actions = append(s.Actions, c.writes[i]...)
	if bpf {
		a := c.action(Attach, i)
		a.Value, a.Resource = strconv.Itoa(len(s.Devices))+" words", "devices"
		add(a)
	}
	if c.in.Update {
		return
	}
	if h.Unified {
		add(c.action(Unified, i))
		return
	}
	a := c.action(Tasks, i)
	a.File = "tasks"
	add(a)
}

// enableAll enables the controllers in every ancestor, from the mount down.
func (c *computing) enableAll(i int, parent string) {
	value := c.enable(&c.set.Layout.Hierarchies[i])
	if value == "" {
		return
	}
	for end := 0; ; {
		a := c.action(Enable, i)
		a.Path, a.File, a.Value = parent[:end], "cgroup.subtree_control", value
		c.set.Actions = append(c.set.Actions, a)
		if end == len(parent) {
			return
		}
		if end > 0 {
			end++ // over the slash
		}
		if n := strings.IndexByte(parent[end:], '/'); n >= 0 {
			end += n
		} else {
			end = len(parent)
		}
	}
}

// inherit fills a v1 cpuset file: a group without cpus or mems takes no task,
// and one whose parent has none takes no limit.
func (c *computing) inherit(i int, file string) {
	a := c.action(Inherit, i)
	a.File = file
	c.set.Actions = append(c.set.Actions, a)
}
