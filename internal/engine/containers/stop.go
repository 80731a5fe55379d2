package containers

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// stopHow is how a container is stopped.
type stopHow struct {
	signal  unix.Signal
	timeout time.Duration
}

// DefaultStopTimeout is the time that a container has between its stop signal
// and SIGKILL, where neither the caller nor the container says otherwise.
const DefaultStopTimeout = 10 * time.Second

// stopOf is how the container is stopped where nobody says otherwise; img may
// be nil.
func stopOf(c *api.ContainerConfig, img *api.ImageDefaults) stopHow {
	s := stopHow{unix.SIGTERM, DefaultStopTimeout}
	name := c.StopSignal
	if name == "" && img != nil {
		name = img.StopSignal
	}
	if sig, err := ParseSignal(name); err == nil {
		s.signal = sig
	}
	if c.StopTimeout != nil {
		s.timeout = time.Duration(*c.StopTimeout) * time.Second
		if *c.StopTimeout < 0 {
			s.timeout = forever
		}
	}
	return s
}

// forever is a wait without end.
const forever = time.Duration(1<<63 - 1)

// StopOptions say how to stop a container. The zero value leaves both to the
// container.
type StopOptions struct {
	Signal  string // name or number
	Timeout *int   // seconds before SIGKILL; negative is never
}

// target is a running container that is held by its pidfd.
type target struct {
	r      *state.Record
	st     state.Status
	pidfd  int
	keeper *client.Client // tells when the log is complete; nil: nobody does
}

// watch connects to the keeper before a signal that may end the container. It
// waits for no answer: the signal does not need the keeper.
func (t *target) watch(ctx context.Context, e *Room) {
	if t.pidfd < 0 || t.r.Keeper.Pid == 0 {
		return
	}
	c, err := e.keepers.Connect(ctx, keepers.Of(t.r))
	if err != nil {
		return // without it we wait for the keeper's end
	}
	if err := c.Greet(ctx, 0); err != nil {
		c.Close()
		return
	}
	t.keeper = c
}

func (t *target) close() {
	t.keeper.Close()
	if t.pidfd >= 0 {
		_ = unix.Close(t.pidfd)
	}
}

// Stop stops a container: its stop signal, and SIGKILL when that does not end
// it in time. It returns when the end has been written down. One that does
// not run is no error.
func (e *Room) Stop(ctx context.Context, ref string, o StopOptions) error {
	id, err := e.State.Find(ref)
	if err != nil {
		return err
	}
	t, err := e.claim(id, state.Stop, func(r *state.Record) bool {
		changed := !r.StopRequested // the receipt says it too
		r.StopRequested = true
		return changed
	})
	if err != nil || t == nil {
		return err
	}
	defer t.close()
	if t.st == state.Restarting {
		return e.stopWaiting(t.r)
	}
	if !t.st.Running() {
		return nil
	}
	c, err := ground.Config(t.r)
	if err != nil {
		return err
	}
	img, err := e.ImageConfig(t.r)
	if err != nil && o.Signal == "" && c.StopSignal == "" {
		return err // which signal it wants is not known
	}
	how := stopOf(c, img)
	if o.Signal != "" {
		if how.signal, err = ParseSignal(o.Signal); err != nil {
			return err
		}
	}
	if o.Timeout != nil {
		how.timeout = time.Duration(*o.Timeout) * time.Second
		if *o.Timeout < 0 {
			how.timeout = forever
		}
	}
	if err := e.halt(ctx, t, how); err != nil {
		return err
	}
	e.Note("stop", t.r)
	return nil
}

// claim loads a container under its lock, checks that the action is possible,
// lets change alter the record, and holds its process. A running container
// whose keeper was killed gets a new one.
func (e *Room) claim(id string, a state.Action, change func(*state.Record) bool) (*target, error) {
	lock, err := e.State.Lock(id)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	r, st, err := e.Load(id)
	if err != nil {
		return nil, err
	}
	if _, err := st.After(a); err != nil {
		return nil, err
	}
	t := &target{r: r, st: st, pidfd: -1}
	if st.Running() {
		if t.pidfd, _, err = r.Proc.Hold(); err != nil {
			return nil, err
		}
	}
	if change != nil && change(r) && (st.Running() || st == state.Restarting) {
		// A full disk keeps nothing from being stopped, nor lets it be started again.
		if err := e.State.Put(r); err != nil && restarts(r) && e.State.NoteStop(r) != nil {
			t.close()
			return nil, err
		}
	}
	if r.Unsettled(st) {
		lock.Unlock()
		if err := e.mendNow(id); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// restarts reports whether the container has a policy that may start it again.
func restarts(r *state.Record) bool {
	c, err := ground.Config(r)
	return err != nil || c.HostConfig.RestartPolicy.Name != "" && c.HostConfig.RestartPolicy.Name != api.RestartNo
}

// halt sends the stop signal, and SIGKILL when its time is over.
func (e *Room) halt(ctx context.Context, t *target, how stopHow) error {
	if t.st == state.Paused {
		// A frozen process takes no signal but SIGKILL.
		if err := e.thaw(t.r); err != nil {
			return err
		}
	}
	t.watch(ctx, e)
	if err := e.signal(ctx, t, how.signal); err != nil {
		return err
	}
	if ended, err := waitEnd(ctx, t.pidfd, how.timeout); err != nil {
		return err
	} else if !ended {
		if err := e.signal(ctx, t, unix.SIGKILL); err != nil {
			return err
		}
		if ended, err := waitEnd(ctx, t.pidfd, killTimeout); err != nil || !ended {
			return errors.Join(err, fault.New(fault.Unavailable, "process %d does not die of SIGKILL", t.r.Proc.Pid))
		}
	}
	return e.writeDown(ctx, t)
}

// killTimeout bounds the wait for a process that got SIGKILL.
const killTimeout = 30 * time.Second

// signal sends a signal to the container's first process. Rootless, a process
// of another user of the container is its keeper's to signal.
func (e *Room) signal(ctx context.Context, t *target, sig unix.Signal) error {
	if t.pidfd < 0 {
		return nil
	}
	err := unix.PidfdSendSignal(t.pidfd, sig, nil, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case errors.Is(err, unix.EPERM):
		err = e.keepers.Ask(ctx, keepers.Of(t.r), wire.Signal, byte(sig))
	}
	if err == nil {
		e.Note("kill", t.r, "signal", strconv.Itoa(int(sig)))
	}
	return err
}

// stopWaiting ends the wait of a container that its policy would start again.
func (e *Room) stopWaiting(r *state.Record) error {
	lock, err := e.State.Lock(r.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.Load(r.ID)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || st != state.Restarting {
		return err // it was started, and has the wish to stop in its record
	}
	if err := r.Keeper.Kill(); err != nil {
		return err
	}
	r.RestartAt, r.Keeper = time.Time{}, state.Proc{}
	return e.putAway(r)
}

// Kill sends a signal to a running container's first process. After SIGKILL it
// returns when the end has been written down. SIGKILL and the container's stop signal
// wake a paused one, which has to see to its end; others wait until it goes on.
func (e *Room) Kill(ctx context.Context, ref, signal string) error {
	sig := unix.SIGKILL
	var err error
	if signal != "" {
		if sig, err = ParseSignal(signal); err != nil {
			return err
		}
	}
	id, err := e.State.Find(ref)
	if err != nil {
		return err
	}
	ends := false
	t, err := e.claim(id, state.Signal, func(r *state.Record) bool {
		c, err := ground.Config(r)
		img, ierr := e.ImageConfig(r)
		ends = sig == unix.SIGKILL || err == nil && ierr == nil && sig == stopOf(c, img).signal
		changed := ends && !r.StopRequested
		r.StopRequested = r.StopRequested || ends
		return changed
	})
	if err != nil {
		return err
	}
	defer t.close()
	if err := e.signal(ctx, t, sig); err != nil {
		return err
	}
	if ends && t.st == state.Paused {
		if err := e.thaw(t.r); err != nil { // v1 keeps frozen tasks from dying
			return err
		}
	}
	if sig != unix.SIGKILL {
		return nil
	}
	if ended, err := waitEnd(ctx, t.pidfd, killTimeout); err != nil || !ended {
		return errors.Join(err, fault.New(fault.Unavailable, "process %d does not die of SIGKILL", t.r.Proc.Pid))
	}
	return e.writeDown(ctx, t)
}

// Pause freezes every process of a container.
func (e *Room) Pause(ref string) error {
	return e.freeze(ref, state.Pause, "pause", func(g *cgroupfs.Group) error { return g.Freeze(freezeTimeout) })
}

// Unpause lets a frozen container go on.
func (e *Room) Unpause(ref string) error {
	return e.freeze(ref, state.Unpause, "unpause", (*cgroupfs.Group).Thaw)
}

const freezeTimeout = 10 * time.Second

func (e *Room) freeze(ref string, a state.Action, event string, do func(*cgroupfs.Group) error) error {
	return e.change(ref, func(r *state.Record, st state.Status) error {
		if _, err := st.After(a); err != nil {
			return err
		}
		g, err := e.Group(r)
		if err != nil {
			return err
		}
		defer g.Close()
		// The record says that it may be frozen for as long as it may be: readers
		// ask the cgroup then.
		r.Paused = true
		if a == state.Pause {
			if err := e.State.Put(r); err != nil {
				return err
			}
		}
		err = do(g)
		if frozen, ferr := g.Frozen(); ferr == nil && !frozen {
			r.Paused = false
			err = errors.Join(err, e.State.Put(r))
		}
		if err == nil {
			e.Note(event, r)
		}
		return err
	})
}

// thaw lets a container that is to be stopped go on.
func (e *Room) thaw(r *state.Record) error {
	g, err := e.Group(r)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	return g.Thaw()
}

// Restart stops a container, if it runs, and starts it.
func (e *Room) Restart(ctx context.Context, ref string, o StopOptions) error {
	id, err := e.State.Find(ref)
	if err != nil {
		return err
	}
	r, err := e.State.Get(id)
	if err != nil {
		return err
	}
	if r.Remove {
		return fault.New(fault.Conflict, "container is removed when it stops (--rm)")
	}
	if err := e.Stop(ctx, id, o); err != nil {
		return err
	}
	if _, err = e.Begin(ctx, &Request{Ref: id, Warn: e.Warn}); err != nil {
		return err
	}
	e.Note("restart", r)
	return nil
}
