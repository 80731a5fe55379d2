package ground

import (
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/image/store"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/state"
)

// Load is state.Load, with the cgroup's word on whether a container is frozen.
func (g *Ground) Load(id string) (*state.Record, state.Status, error) {
	r, st, err := g.State.Load(id)
	if err == nil && st == state.Paused {
		st = g.frozen(r)
	}
	return r, st, err
}

func (g *Ground) frozen(r *state.Record) state.Status {
	group, err := g.Group(r)
	if err != nil {
		return state.Active
	}
	defer group.Close()
	if frozen, err := group.Frozen(); err != nil || !frozen {
		return state.Active
	}
	return state.Paused
}

// ErrNotRunning says that a container does not run.
var ErrNotRunning error = &fault.Error{Kind: fault.Conflict, Text: "container is not running"}

// RemoveTimeout bounds the wait for a cgroup's last processes to die.
const RemoveTimeout = 10 * time.Second

// Config is the configuration in a record. The error is Internal.
func Config(r *state.Record) (*api.ContainerConfig, error) {
	c := &api.ContainerConfig{}
	if err := api.ReadContainerConfig(r.Config, c); err != nil {
		return nil, fault.New(fault.Internal, "container %s: damaged configuration: %w", r.ID[:12], err)
	}
	return c, nil
}

// Group opens the cgroup of a container. The error is NotFound where it has none.
func (g *Ground) Group(r *state.Record) (*cgroupfs.Group, error) {
	l, err := g.Layout()
	if err != nil {
		return nil, err
	}
	return cgroupfs.Open(l, r.Cgroup)
}

// RemoveGroup kills what is left in a cgroup and removes it.
func (g *Ground) RemoveGroup(path string) error {
	if path == "" {
		return nil
	}
	l, err := g.Layout()
	if err != nil {
		return err
	}
	group, err := cgroupfs.Open(l, path)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer group.Close()
	if err := group.Kill(RemoveTimeout); err != nil {
		return err
	}
	return group.Remove(RemoveTimeout)
}

// RemoveGroupsNamed kills what is left in each cgroup of that name, wherever it is,
// and removes it: a container's last resort when its record cannot be read.
func (g *Ground) RemoveGroupsNamed(name string) error {
	l, err := g.Layout()
	if err != nil {
		return err
	}
	paths, err := cgroupfs.Named(l, name)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := g.RemoveGroup(p); err != nil {
			return err
		}
	}
	return nil
}

// ImageOf returns the image that a container was made from, or nil for one of
// --rootfs. Its name is not asked: it may mean another image by now.
func (g *Ground) ImageOf(r *state.Record) (*store.Image, error) {
	if r.ImageID == "" {
		return nil, nil //nolint:nilnil // it has none
	}
	img, err := g.ImageStore.Resolve(r.ImageID, store.Platform{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, fault.New(fault.NotFound, "the container's image %s is gone", r.ImageID)
	}
	if err == nil && r.Resolved != nil {
		img.Layers, img.Lower = r.Resolved.Layers, g.ImageStore.Lower(r.Resolved.Layers)
	}
	return &img, err
}

// ImageConfig returns the defaults of the container's image; nil where it is of
// none.
func (g *Ground) ImageConfig(r *state.Record) (*api.ImageDefaults, error) {
	img, err := g.ImageOf(r)
	if err != nil || img == nil {
		return nil, err
	}
	return &img.Config, nil
}

// LogDir is where a container's output is kept.
func (g *Ground) LogDir(id string) string { return g.Root + "/logs/" + id }
