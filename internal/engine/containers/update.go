package containers

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// UpdateOptions are changes of a container. What is zero stays as it is.
type UpdateOptions struct {
	Resources     api.Resources      // take effect at once on a running container
	RestartPolicy *api.RestartPolicy // counts from the next end on

	// These take effect at once too: the container's keeper has them.
	StopSignal     string
	StopTimeout    *int              // seconds; negative is never
	Timeout        *int64            // ns from the start of the run; 0 is never
	HealthInterval int64             // ns
	LogLimits      map[string]string // max-size, max-file

	// These take effect with the next start.
	Env          []string          // NAME=VALUE replaces or adds, NAME alone removes
	Labels       map[string]string // at once: nothing running knows of them
	LabelsRemove []string
	Binds        []string
	Mounts       []api.Mount
	MountsRemove []string // destinations
	Publish      map[string][]api.PortBinding
	PublishStop  []string // "80/tcp"
}

// Update changes a container. Everything is checked before anything is
// changed; limits that are refused by the kernel leave the configuration as
// it was.
//
// What a keeper of an older tare cannot take is a warning.
func (e *Room) Update(ctx context.Context, ref string, o *UpdateOptions) (warnings []string, err error) {
	err = e.change(ref, func(r *state.Record, st state.Status) error {
		old, err := ground.Config(r)
		if err != nil {
			return err
		}
		c, err := updated(old, o)
		if err != nil {
			return err
		}
		in, err := e.Inputs(r.ID, c)
		if err != nil {
			return err
		}
		if err := compose.Check(c, in.Host); err != nil {
			return err
		}
		if _, err := compose.UserMounts(c, "/"); err != nil {
			return err
		}
		_, warnings, err = compose.Resources(in)
		if err != nil {
			return err
		}
		if st.Running() {
			if err := e.limit(r, c, liveResources(&old.HostConfig.Resources, &o.Resources), &in.Limits); err != nil {
				return err
			}
		}
		tuned, err := e.tuned(r, st, c)
		if err != nil {
			return err
		}
		r.Labels, r.Config = c.Labels, c.Append(nil)
		if err := e.State.Put(r); err != nil {
			return err
		}
		e.Note("update", r)
		if tuned == nil {
			return nil
		}
		err = e.keepers.Retune(ctx, keepers.Of(r), tuned)
		if errors.Is(err, unix.EOPNOTSUPP) {
			warnings = append(warnings, "the container was started by an older tare: what concerns its stop, log and health takes effect with its next start")
			err = nil
		}
		return err
	})
	return warnings, err
}

// limit writes limits into the cgroup of a running container.
func (e *Room) limit(r *state.Record, c *api.ContainerConfig, limits api.Resources, can *compose.Limits) error {
	asked := *c
	limits.CgroupParent = c.HostConfig.CgroupParent
	asked.HostConfig.Resources = limits
	res, _, err := compose.Resources(&compose.Inputs{ID: r.ID, Config: &asked, Host: &e.Host, Limits: *can, Devices: ground.FindDevices(&asked)})
	if err != nil {
		return err
	}
	g, err := e.Group(r)
	if err != nil {
		return err
	}
	defer g.Close()
	layout, err := e.Layout()
	if err != nil {
		return err
	}
	set, err := cgroup.Compute(layout, r.Cgroup, res, cgroup.Options{Update: true})
	if err != nil {
		return err
	}
	if err := g.Update(set); err != nil {
		return err
	}
	free := optional(&asked)
	for _, m := range append(set.Missing, g.Missing()...) {
		if !free(m.Resource) {
			return fault.New(fault.Unsupported, "%s", m.String())
		}
	}
	return nil
}

// liveResources completes a change with what the kernel wants together: a
// period with its quota, memory with swap.
func liveResources(old, change *api.Resources) api.Resources {
	r := *change
	if r.Memory != 0 && r.MemorySwap == 0 {
		r.MemorySwap = old.MemorySwap
	}
	if r.MemorySwap != 0 && r.Memory == 0 {
		r.Memory = old.Memory
	}
	if r.CPUQuota != 0 && r.CPUPeriod == 0 {
		r.CPUPeriod = old.CPUPeriod
	}
	if r.CPUPeriod != 0 && r.CPUQuota == 0 {
		r.CPUQuota = old.CPUQuota
	}
	return r
}

// updated is the configuration with the changes in it. It is pure.
func updated(old *api.ContainerConfig, o *UpdateOptions) (*api.ContainerConfig, error) {
	c := *old
	h := &c.HostConfig
	if err := updateResources(&h.Resources, &o.Resources); err != nil {
		return nil, err
	}
	if o.RestartPolicy != nil {
		if h.AutoRemove && o.RestartPolicy.Name != "" && o.RestartPolicy.Name != api.RestartNo {
			return nil, fault.New(fault.Invalid, "restart policy cannot be updated because the container is removed when it ends (--rm)")
		}
		h.RestartPolicy = *o.RestartPolicy
	}
	if err := updateKeeper(&c, o); err != nil {
		return nil, err
	}
	c.Env = slices.Clone(c.Env)
	for _, v := range o.Env {
		name, _, set := strings.Cut(v, "=")
		c.Env = slices.DeleteFunc(c.Env, func(have string) bool {
			n, _, _ := strings.Cut(have, "=")
			return n == name
		})
		if set || !set && name != "" {
			c.Env = append(c.Env, v) // a name alone takes an image's away
		}
	}
	if len(o.Labels)+len(o.LabelsRemove) > 0 {
		c.Labels = maps.Clone(c.Labels)
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		for _, k := range o.LabelsRemove {
			delete(c.Labels, k)
		}
		maps.Copy(c.Labels, o.Labels)
	}
	for _, dst := range o.MountsRemove {
		if !removeMount(h, path.Clean(dst)) {
			return nil, fault.New(fault.NotFound, "no mount at %s", dst)
		}
	}
	h.Binds = slices.Concat(h.Binds, o.Binds)
	h.Mounts = slices.Concat(h.Mounts, o.Mounts)
	if len(o.Publish)+len(o.PublishStop) > 0 {
		h.PortBindings = maps.Clone(h.PortBindings)
		if h.PortBindings == nil {
			h.PortBindings = map[string][]api.PortBinding{}
		}
		for _, p := range o.PublishStop {
			if _, ok := h.PortBindings[p]; !ok {
				return nil, fault.New(fault.NotFound, "port %s is not published", p)
			}
			delete(h.PortBindings, p)
		}
		for p, list := range o.Publish {
			h.PortBindings[p] = slices.Concat(h.PortBindings[p], list)
		}
	}
	return &c, nil
}

// updateKeeper changes what the keeper has.
func updateKeeper(c *api.ContainerConfig, o *UpdateOptions) error {
	replace(&c.StopSignal, o.StopSignal)
	replace(&c.StopTimeout, o.StopTimeout)
	if o.Timeout != nil {
		c.Timeout = *o.Timeout
	}
	if o.HealthInterval != 0 {
		var h api.Healthcheck
		if c.Healthcheck != nil {
			h = *c.Healthcheck
		}
		h.Interval = o.HealthInterval
		c.Healthcheck = &h
	}
	if len(o.LogLimits) == 0 {
		return nil
	}
	l := &c.HostConfig.LogConfig
	l.Config = maps.Clone(l.Config)
	if l.Config == nil {
		l.Config = map[string]string{}
	}
	for k, v := range o.LogLimits {
		if k != "max-size" && k != "max-file" {
			return fault.New(fault.Invalid, "log option %s cannot be updated; max-size and max-file can", k)
		}
		l.Config[k] = v
	}
	return nil
}

// removeMount takes away what is mounted at a path.
func removeMount(h *api.HostConfig, at string) bool {
	binds := slices.DeleteFunc(slices.Clone(h.Binds), func(b string) bool {
		parts := strings.SplitN(b, ":", 3)
		return len(parts) > 1 && path.Clean(parts[1]) == at
	})
	mounts := slices.DeleteFunc(slices.Clone(h.Mounts), func(m api.Mount) bool { return path.Clean(m.Target) == at })
	found := len(binds) < len(h.Binds) || len(mounts) < len(h.Mounts)
	if found {
		h.Binds, h.Mounts = binds, mounts
	}
	if _, ok := h.Tmpfs[at]; ok {
		h.Tmpfs = maps.Clone(h.Tmpfs)
		delete(h.Tmpfs, at)
		found = true
	}
	return found
}

// updateResources is Docker's order of checks and of replacement.
func updateResources(r, o *api.Resources) error {
	switch {
	case o.NanoCPUs != 0 && (o.CPUPeriod != 0 || o.CPUQuota != 0):
		return fault.New(fault.Invalid, "conflicting options: CPUs, and CPU period or quota, cannot both be set")
	case r.NanoCPUs != 0 && o.CPUPeriod != 0:
		return fault.New(fault.Conflict, "conflicting options: CPU period cannot be updated as CPUs has already been set")
	case r.NanoCPUs != 0 && o.CPUQuota != 0:
		return fault.New(fault.Conflict, "conflicting options: CPU quota cannot be updated as CPUs has already been set")
	case r.CPUQuota != 0 && o.NanoCPUs != 0:
		return fault.New(fault.Conflict, "conflicting options: CPUs cannot be updated as CPU quota has already been set")
	case r.CPUPeriod != 0 && o.NanoCPUs != 0:
		return fault.New(fault.Conflict, "conflicting options: CPUs cannot be updated as CPU period has already been set")
	case o.Memory > 0 && o.MemorySwap == 0 && r.MemorySwap > 0 && o.Memory > r.MemorySwap:
		return fault.New(fault.Conflict, "memory limit should be smaller than the memory-swap limit that is set, update memory-swap at the same time")
	}
	replace(&r.BlkioWeight, o.BlkioWeight)
	replace(&r.CPUShares, o.CPUShares)
	replace(&r.NanoCPUs, o.NanoCPUs)
	replace(&r.CPUPeriod, o.CPUPeriod)
	replace(&r.CPUQuota, o.CPUQuota)
	replace(&r.CPURealtimePeriod, o.CPURealtimePeriod)
	replace(&r.CPURealtimeRuntime, o.CPURealtimeRuntime)
	replace(&r.CPUBurst, o.CPUBurst)
	replace(&r.CpusetCpus, o.CpusetCpus)
	replace(&r.CpusetMems, o.CpusetMems)
	replace(&r.Memory, o.Memory)
	replace(&r.MemorySwap, o.MemorySwap)
	replace(&r.MemoryReservation, o.MemoryReservation)
	if o.PidsLimit != nil {
		r.PidsLimit = o.PidsLimit
	}
	for _, l := range [...]struct {
		to   *[]api.ThrottleDevice
		from []api.ThrottleDevice
	}{
		{&r.BlkioDeviceReadBps, o.BlkioDeviceReadBps},
		{&r.BlkioDeviceWriteBps, o.BlkioDeviceWriteBps},
		{&r.BlkioDeviceReadIOps, o.BlkioDeviceReadIOps},
		{&r.BlkioDeviceWriteIOps, o.BlkioDeviceWriteIOps},
	} {
		if len(l.from) > 0 {
			*l.to = l.from
		}
	}
	if len(o.BlkioWeightDevice) > 0 {
		r.BlkioWeightDevice = o.BlkioWeightDevice
	}
	if len(o.Unified) > 0 {
		r.Unified = maps.Clone(r.Unified)
		if r.Unified == nil {
			r.Unified = map[string]string{}
		}
		maps.Copy(r.Unified, o.Unified)
	}
	return nil
}

func replace[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}
