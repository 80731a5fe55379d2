package containers

import (
	"context"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/state"
)

// resolve looks up what a configuration names, once in a container's life: its
// record keeps the answer, and every later command goes by that. The image is
// nil with RootFS.
//
// Precondition: the caller holds a lease of the image store.
func (e *Room) resolve(ctx context.Context, c *api.ContainerConfig, plan bool) (*state.Resolved, *store.Image, error) {
	var img *store.Image
	if c.RootFS == "" {
		m, err := e.Images.Find(ctx, c.Image, plan)
		if err != nil {
			return nil, nil, err
		}
		img = &m
	}
	res, err := e.resolveNames(c)
	if err == nil && img != nil {
		res.Layers = img.Layers
	}
	return res, img, err
}

// resolveNames is resolve without the image.
func (e *Room) resolveNames(c *api.ContainerConfig) (*state.Resolved, error) {
	res := &state.Resolved{}
	if c.HostConfig.UsernsMode == "private" {
		uids, gids := host.SubIDs("tare", "containers")
		res.UIDMap, res.GIDMap = idRanges(uids), idRanges(gids)
	}
	for _, j := range ground.Joins(c) {
		id, err := j.Ref, error(nil) // a sandbox has no name
		if !j.Sandbox {
			id, err = e.State.Find(j.Ref)
		}
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "--%s %s: %w", j.Option, j.Mode(), err)
		}
		if res.Joined == nil {
			res.Joined = make(map[string]string, 3)
		}
		res.Joined[j.Option] = id
	}
	for _, ref := range c.Requires {
		id, err := e.State.Find(ref)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "--requires %s: %w", ref, err)
		}
		res.Requires = append(res.Requires, id)
	}
	var err error
	res.VolumesFrom, err = e.volumesFrom(c)
	return res, err
}

// resolved returns what was resolved when a container was made, and its image.
func (e *Room) resolved(r *state.Record, c *api.ContainerConfig) (*state.Resolved, *store.Image, error) {
	img, err := e.ImageOf(r)
	if err != nil {
		return nil, nil, err
	}
	if r.Resolved != nil {
		return r.Resolved, img, nil
	}
	if img == nil && c.RootFS == "" {
		return nil, nil, fault.WithHint(fault.New(fault.Unsupported, "its record, of an older tare, does not say which image it is of"), "create it anew")
	}
	res, err := e.resolveNames(c) // as the tare did that wrote the record
	if err == nil && img != nil {
		res.Layers = img.Layers
	}
	return res, img, err
}

// idRanges lays the ranges end to end, from id 0 of the container on.
func idRanges(ranges []host.IDRange) []state.IDRange {
	var m []state.IDRange
	next := uint32(0)
	for _, r := range ranges {
		m = append(m, state.IDRange{Container: next, Host: r.First, Size: r.Count})
		next += r.Count
	}
	return m
}

// idMappings is a map in the words of the runtime-spec.
func idMappings(ranges []state.IDRange) []specs.LinuxIDMapping {
	var m []specs.LinuxIDMapping
	for _, r := range ranges {
		m = append(m, specs.LinuxIDMapping{ContainerID: r.Container, HostID: r.Host, Size: r.Size})
	}
	return m
}

// volumesFrom returns the mounts of the containers that --volumes-from names:
// their -v and --mount, their anonymous volumes, and what they have from
// others themselves. One that several have is the first one's.
func (e *Room) volumesFrom(c *api.ContainerConfig) ([]state.ForeignMount, error) {
	var all []state.ForeignMount
	for _, ref := range c.HostConfig.VolumesFrom {
		name, mode, _ := strings.Cut(ref, ":")
		if mode != "" && mode != "ro" && mode != "rw" {
			return nil, fault.New(fault.Invalid, "volumes from %s: invalid mode: %s", name, mode)
		}
		id, err := e.State.Find(name)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "volumes from %s: %w", name, err)
		}
		more, err := e.mountsOf(id)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "volumes from %s: %w", name, err)
		}
		for _, m := range more {
			if slices.ContainsFunc(all, func(o state.ForeignMount) bool { return o.Destination == m.Destination }) {
				continue
			}
			if mode == "ro" && !slices.Contains(m.Options, "ro") {
				m.Options = append(slices.Clone(m.Options), "ro")
			}
			all = append(all, m)
		}
	}
	return all, nil
}

// mountsOf lists the binds and volumes of a container, its own before those
// that it has from others.
func (e *Room) mountsOf(id string) ([]state.ForeignMount, error) {
	r, err := e.State.Get(id)
	if err != nil {
		return nil, err
	}
	c, err := ground.Config(r)
	if err != nil {
		return nil, err
	}
	set, err := compose.UserMounts(c, e.Volumes.Dir(id))
	if err != nil {
		return nil, err
	}
	var list []state.ForeignMount
	for _, m := range set.Mounts {
		if m.Type == "bind" { // a tmpfs is its container's own
			list = append(list, state.ForeignMount{Source: m.Source, Destination: m.Destination, Options: m.Options})
		}
	}
	if r.Resolved != nil {
		list = append(list, r.Resolved.VolumesFrom...)
	}
	return list, nil
}
