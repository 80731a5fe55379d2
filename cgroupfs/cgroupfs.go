package cgroupfs

import (
	"time"

	"github.com/tare-engine/tare/cgroup"
)

// Probe reads where this process's cgroup hierarchies are.
func Probe() (cgroup.Layout, error) { return cgroup.Layout{}, nil }

// Group is one container's cgroup in all hierarchies, held by directory fds.
// It is not safe for concurrent use.
type Group struct{}

// Create executes s.Actions in order and calls after(i) (when not nil) after
// each. On error it removes exactly what it made.
func Create(s *cgroup.Set, after func(i int)) (*Group, error) { return &Group{}, nil }

// Open finds the group of an earlier Create, for any process. Hierarchies
// that lack the directory are left out; a group that exists nowhere is
// fault.NotFound. path is Set.Path, which must be absolute.
func Open(l cgroup.Layout, path string) (*Group, error) { return &Group{}, nil }

// Missing lists limits whose file turned out to be absent (Create, Update).
func (g *Group) Missing() []cgroup.Missing { return nil }

// TasksFDs returns one fd for each v1 hierarchy, to which the child writes
// "0" to join. They belong to the Group.
func (g *Group) TasksFDs() []int { return nil }

// UnifiedFD returns the v2 directory for CLONE_INTO_CGROUP, or -1. Hybrid
// hosts have both this and TasksFDs.
func (g *Group) UnifiedFD() int { return -1 }

// CloseTasks closes the fds of TasksFDs once the child has joined.
func (g *Group) CloseTasks() {}

// Update executes a Set computed with Options.Update on this group.
func (g *Group) Update(s *cgroup.Set) error { return nil }

// Freeze stops every process of the group and waits until they are.
func (g *Group) Freeze(timeout time.Duration) error { return nil }

// Thaw undoes Freeze.
func (g *Group) Thaw() error { return nil }

// Frozen tells whether the group is frozen (or freezing).
func (g *Group) Frozen() (bool, error) { return false, nil }

// Kill sends SIGKILL to everything in the group and its sub-groups, thaws it,
// and waits until it is empty.
func (g *Group) Kill(timeout time.Duration) error { return nil }

// Remove removes the group's directories with all sub-groups, waiting for
// dying processes. Directories that are already gone are no error.
func (g *Group) Remove(timeout time.Duration) error { return nil }

// Procs lists the processes of the group and its sub-groups, unsorted.
func (g *Group) Procs() ([]int, error) { return nil, nil }

// OOMKills returns how many processes of the group the kernel has OOM-killed.
func (g *Group) OOMKills() (uint64, error) { return 0, nil }

// Close closes all fds; the group itself stays.
func (g *Group) Close() {}

// RemoveParent removes the empty directories of an absolute path, from its
// end towards the root, in every hierarchy; non-empty ones stay.
func RemoveParent(l cgroup.Layout, path string) error { return nil }
