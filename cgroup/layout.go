package cgroup

// Hierarchy is one mounted cgroup hierarchy.
type Hierarchy struct {
	Mount       string   // absolute mount point
	Root        string   // what of the hierarchy the mount shows (mountinfo field 4), mostly "/"
	Self        string   // the caller's cgroup relative to Mount, "/"-rooted; "" when the mount does not show it
	Controllers []string // v1: "cpu", "cpuacct" or "name=systemd"; v2: the controllers that the mount can hand out
	Unified     bool     // cgroup v2
	ReadOnly    bool     // mounted read-only: no group can be made here
}

// Layout says where each hierarchy is mounted. Controllers may be spread over
// v1 hierarchies and the unified one; each controller lives in at most one.
type Layout struct {
	Hierarchies []Hierarchy // in mount order
}

// Find returns the index of the hierarchy that has the controller ("memory",
// "name=systemd"), or -1.
func (l Layout) Find(controller string) int {
	for i := range l.Hierarchies {
		for _, c := range l.Hierarchies[i].Controllers {
			if c == controller {
				return i
			}
		}
	}
	return -1
}

// Unified returns the index of the v2 hierarchy, or -1.
func (l Layout) Unified() int {
	for i := range l.Hierarchies {
		if l.Hierarchies[i].Unified {
			return i
		}
	}
	return -1
}

// Mount is one entry of a container's /sys/fs/cgroup.
type Mount struct {
	Target string   // below /sys/fs/cgroup, "" for the directory itself
	FSType string   // "cgroup" or "cgroup2"
	Data   string   // "cpu,cpuacct", "none,name=systemd"; "" on v2
	Links  []string // names beside Target that are symlinks to it ("cpu" to "cpu,cpuacct")
}

// Mounts lists what a container's /sys/fs/cgroup consists of, seen from a new
// cgroup namespace. One mount with an empty Target means pure v2; otherwise
// /sys/fs/cgroup is a tmpfs that holds the mounts.
func (l Layout) Mounts() []Mount { return nil }

// ParseLayout reads the three texts mountinfo (/proc/self/mountinfo),
// selfCgroup (/proc/self/cgroup) and unifiedControllers (cgroup.controllers
// at the root of the cgroup2 mount, "" where there is none). A host without
// any cgroup mount gives an empty Layout and no error.
func ParseLayout(mountinfo, selfCgroup, unifiedControllers string) (Layout, error) {
	return Layout{}, nil
}

// UnifiedMount returns the mount point of the cgroup2 hierarchy that
// ParseLayout would take, or "".
func UnifiedMount(mountinfo string) string { return "" }
