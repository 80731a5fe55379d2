package cgroup

import "strconv"

// Kind is the kind of an Action.
type Kind uint8

// The kinds of host action, in the order in which a group meets them.
const (
	Parent  Kind = iota // open the parent directory Path, making it and its ancestors where missing
	Enable              // add the controllers in Value ("+cpu +memory") to Path/cgroup.subtree_control
	Mkdir               // make the container's own directory
	Inherit             // v1 cpuset: fill an empty Path/File from the nearest ancestor that has a value
	Check               // fail when the number in Path/File exceeds Value
	Write               // write Value to Path/File
	Attach              // load Set.Devices and attach it to Path
	Tasks               // open Path/tasks for writing: a child joins by writing "0"
	Unified             // open the directory Path for CLONE_INTO_CGROUP
)

// Action is one thing that the host does; Set.Actions holds them in order.
type Action struct {
	Kind      Kind
	Hierarchy int    // index into Set.Layout.Hierarchies
	Mount     string // mount point of that hierarchy
	Path      string // directory relative to Mount, no slash at either end; "" is Mount itself
	File      string // file in that directory
	Value     string // what is written
	AltFile   string // Write: taken with AltValue where File does not exist
	AltValue  string
	Resource  string // the limit this serves ("memory.swap"), named by Missing; a Write without one may find no file
	Batch     int    // Write: adjacent writes of one non-zero batch may depend on each other; one that gets EINVAL is tried again after the others
	Optional  bool   // Parent, Mkdir: where permission is missing, leave this hierarchy out
}

// Target is the absolute path that the action works on.
func (a Action) Target() string {
	s := a.Mount
	if a.Path != "" {
		s += "/" + a.Path
	}
	if a.File != "" {
		s += "/" + a.File
	}
	return s
}

// String is the line that `tare run --plan` prints.
func (a Action) String() string {
	switch a.Kind {
	case Parent:
		return "mkdir -p " + a.Target()
	case Enable, Write:
		s := "write " + a.Target() + " " + strconv.Quote(a.Value)
		if a.AltFile != "" {
			s += " or " + a.AltFile + " " + strconv.Quote(a.AltValue)
		}
		return s
	case Mkdir:
		return "mkdir " + a.Target()
	case Inherit:
		return "inherit " + a.Target()
	case Check:
		return "check " + a.Target() + " <= " + a.Value
	case Attach:
		return "bpf-attach " + a.Target() + " " + a.Value
	case Tasks:
		return "open-tasks " + a.Target()
	case Unified:
		return "open-dir " + a.Target()
	}
	return "unknown action"
}

// Missing is a limit that this host cannot give. The caller decides whether
// that is an error (somebody asked for it) or a warning (a default).
type Missing struct {
	Resource   string // "memory.swap", "cpu.quota", "unified.memory.high", "devices": the names of the runtime-spec
	Controller string // "memory"
	File       string // the file that would hold it; "" where this cgroup version has no such thing
	Cause      string // "no memory controller", "the kernel lacks memory.memsw.limit_in_bytes"
}

// String gives one line: "memory.swappiness: cgroup v2 has no such limit".
func (m Missing) String() string { return m.Resource + ": " + m.Cause }

// Set is everything that has to happen for one container's cgroup.
type Set struct {
	Layout  Layout
	Path    string    // as given to Compute
	Actions []Action  // in order
	Devices []uint64  // BPF_PROG_TYPE_CGROUP_DEVICE instructions for Attach; nil without one
	Missing []Missing // known before anything is done; executing may find more (absent files)
}
