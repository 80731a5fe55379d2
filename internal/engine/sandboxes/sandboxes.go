// Package sandboxes is the engine's room for what a container shares with those
// who join it: its network and its namespaces.
package sandboxes

import (
	"context"
	"errors"
	"strconv"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/network"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// Room is the engine's sandboxes.
type Room struct {
	*ground.Ground

	drivers map[string]network.Driver // by network
}

// New returns a room, without I/O. Its networks are none, host and more.
func New(g *ground.Ground, more map[string]network.Driver) *Room {
	all := map[string]network.Driver{"none": network.None{}, "host": network.Host{}}
	for name, d := range more {
		all[name] = d
	}
	return &Room{g, all}
}

// driver is who gives a container its network; nil where it has that of another
// one, or of a path.
func (r *Room) driver(c *api.ContainerConfig) network.Driver {
	mode := c.HostConfig.NetworkMode
	if mode == "" || mode == "default" {
		mode = "none"
	}
	return r.drivers[mode]
}

// Prepare prepares a sandbox: the namespaces that are there already are opened,
// the network's addresses are known before the container is composed, and a
// thread begins to make the network namespace meanwhile.
func (r *Room) Prepare(ctx context.Context, w *ground.SandboxWant) (_ *ground.Sandbox, err error) {
	s := &ground.Sandbox{Release: func() error { return nil }, Enter: func(state.Proc) error { return nil }}
	defer func() {
		if err != nil {
			s.Drop()
			s.Close()
		}
	}()
	if err := r.join(s, w); err != nil {
		return nil, err
	}
	_, again := s.Shared[ofNetwork]
	if w.Runs && !again && ground.PlainNetwork(w.Config) && !r.Host.UserNS {
		s.NetNS = container.NewNetNS()
	}
	d := r.driver(w.Config)
	if d == nil {
		return s, nil
	}
	s.Net, err = d.Prepare(ctx, &network.Want{Owner: w.ID, Hostname: w.Config.Hostname, Preview: w.Preview, Addresses: w.Addresses})
	switch {
	case err != nil:
		return nil, fault.New(fault.KindOf(err), "prepare network: %w", err)
	case again:
		return s, nil // its links are there, and go with those who hold them
	case s.Net.Links:
		s.Gates = []container.Gate{attach(ctx, d, s.Net)}
	}
	if !w.Preview {
		s.Release = func() error { return d.Release(context.Background(), w.ID) }
	}
	return s, nil
}

// attach is the gate where the links of a container are made: the child has come
// into its namespaces, and does not look for a network before.
func attach(ctx context.Context, d network.Driver, prepared *network.Prepared) container.Gate {
	return container.Gate{Name: "network", Meet: true, Work: func(p spawn.Process) error {
		fd, err := unix.Open("/proc/"+strconv.Itoa(p.Pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fault.New(fault.KindOf(err), "open the network namespace: %w", err)
		}
		defer func() { _ = unix.Close(fd) }()
		if err := d.Attach(ctx, prepared, fd); err != nil {
			return fault.New(fault.KindOf(err), "attach network: %w", err)
		}
		return nil
	}}
}

// Leave is the end of a container's part in all sandboxes: its own network goes,
// unless others hold it, and so does that of one whose last holder it was. With
// c, its own is that container's driver's; nil asks all of them.
func (r *Room) Leave(rec *state.Record, c *api.ContainerConfig) error {
	var errs []error
	for _, owner := range rec.Sandboxes {
		errs = append(errs, r.leave(owner, rec.ID))
	}
	if rec.Network != nil {
		errs = append(errs, r.Release(rec.ID, c))
	}
	return errors.Join(errs...)
}

// leave takes a member out of a sandbox.
func (r *Room) leave(owner, member string) error {
	lock, err := r.State.LockSandboxes(owner)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	b, err := r.State.Sandbox(owner)
	if err != nil || len(b.Members) == 0 {
		return err
	}
	b.Leave(member)
	if p, err := b.Holder(ofNetwork); err != nil || p.Pid != 0 {
		return errors.Join(err, r.State.PutSandbox(b))
	}
	rec, st, err := r.State.Load(owner)
	gone := fault.KindOf(err) == fault.NotFound
	if err != nil && !gone {
		return err // unknown: whoever asks again finds the member still
	}
	if gone || !st.Running() && rec.Network != nil {
		if err := r.release(owner, nil); err != nil {
			return err
		}
	}
	return r.State.PutSandbox(b)
}

// Release gives back what any driver has of an owner, unless others hold its
// network: of one whose start was cut off nothing else is known. With c, it is
// that container's driver alone.
func (r *Room) Release(owner string, c *api.ContainerConfig) error {
	lock, err := r.State.LockSandboxes(owner)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if held, err := r.held(owner); err != nil || held {
		return err
	}
	return r.release(owner, c)
}

// held reports whether others hold the network of a sandbox.
//
// Precondition: the caller holds its lock.
func (r *Room) held(owner string) (bool, error) {
	b, err := r.State.Sandbox(owner)
	if err != nil {
		return false, err
	}
	p, err := b.Holder(ofNetwork)
	return p.Pid != 0, err
}

func (r *Room) release(owner string, c *api.ContainerConfig) error {
	if c != nil {
		if d := r.driver(c); d != nil {
			return d.Release(context.Background(), owner)
		}
		return nil
	}
	var errs []error
	for name, d := range r.drivers {
		if err := d.Release(context.Background(), owner); err != nil {
			errs = append(errs, fault.New(fault.KindOf(err), "release network %s of %s: %w", name, owner[:min(12, len(owner))], err))
		}
	}
	return errors.Join(errs...)
}

// Recover gives back what drivers have of containers that do not run. An
// owner whose record cannot be read is left alone, and so is one that a start
// has: it holds the lock, or its slot.
func (r *Room) Recover(ctx context.Context) error {
	gone := func(owner string, release func() error) error {
		lock, err := r.State.Lock(owner)
		if err != nil {
			return err
		}
		defer lock.Unlock()
		if r.State.Underway(owner) {
			return nil
		}
		_, st, err := r.State.Load(owner)
		switch {
		case fault.KindOf(err) == fault.NotFound:
		case err != nil:
			return fault.New(fault.KindOf(err), "network of %s: %w", owner[:min(12, len(owner))], err)
		case st.Running(), st == state.Restarting:
			return nil
		}
		shared, err := r.State.LockSandboxes(owner)
		if err != nil {
			return err
		}
		defer shared.Unlock()
		if held, err := r.held(owner); err != nil || held {
			return err
		}
		return release()
	}
	var errs []error
	for _, d := range r.drivers {
		errs = append(errs, d.Recover(ctx, gone))
	}
	return errors.Join(errs...)
}
