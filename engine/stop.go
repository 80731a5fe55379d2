package engine

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/monitor"
	"github.com/tare-engine/tare/state"
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
func stopOf(c *ContainerConfig, img *image.Config) stopHow {
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
	keeper *monitor.Client // tells when the log is complete; nil: nobody does
}

// watch connects to the keeper before a signal that may end the container.
func (t *target) watch(e *Engine) {
	if t.pidfd >= 0 && t.r.Monitor.Pid != 0 {
		t.keeper, _ = e.dial(t.r.ID, 0) // without it we wait for the keeper's end
	}
}

func (t *target) close() {
	t.keeper.Close()
	if t.pidfd >= 0 {
		_ = unix.Close(t.pidfd)
	}
}

// hold opens a pidfd for the container's process. One that has ended meanwhile
// has none: -1.
func hold(p state.Proc) (int, error) {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if p.Look() == state.Gone { // the number may be another's by now
		_ = unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// Stop stops a container: its stop signal, and SIGKILL when that does not end
// it in time. It returns when the end has been written down. One that does
// not run is no error.
func (cs *Containers) Stop(ctx context.Context, ref string, o StopOptions) error {
	e := cs.e
	id, err := e.state.Find(ref)
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
	c, err := decodeConfig(t.r)
	if err != nil {
		return err
	}
	how := stopOf(c, e.imageConfig(t.r))
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
	e.note("stop", t.r)
	return nil
}

// claim loads a container under its lock, checks that the action is possible,
// lets change alter the record, and holds its process. A running container
// whose monitor was killed gets a new one.
func (e *Engine) claim(id string, a state.Action, change func(*state.Record) bool) (*target, error) {
	lock, err := e.state.Lock(id)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	r, st, err := e.load(id)
	if err != nil {
		return nil, err
	}
	if _, err := st.After(a); err != nil {
		return nil, err
	}
	t := &target{r: r, st: st, pidfd: -1}
	if st.Running() {
		if t.pidfd, err = hold(r.Proc); err != nil {
			return nil, err
		}
	}
	if change != nil && change(r) && (st.Running() || st == state.Restarting) {
		// A full disk keeps nothing from being stopped, unless it would be
		// started again.
		if err := e.state.Put(r); err != nil && restarts(r) {
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
	c, err := decodeConfig(r)
	return err != nil || c.HostConfig.RestartPolicy.Name != "" && c.HostConfig.RestartPolicy.Name != RestartNo
}

// halt sends the stop signal, and SIGKILL when its time is over.
func (e *Engine) halt(ctx context.Context, t *target, how stopHow) error {
	if t.st == state.Paused {
		// A frozen process takes no signal but SIGKILL.
		if err := e.thaw(t.r); err != nil {
			return err
		}
	}
	t.watch(e)
	if err := e.signal(t, how.signal); err != nil {
		return err
	}
	if ended, err := waitEnd(ctx, t.pidfd, how.timeout); err != nil {
		return err
	} else if !ended {
		if err := e.signal(t, unix.SIGKILL); err != nil {
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
func (e *Engine) signal(t *target, sig unix.Signal) error {
	if t.pidfd < 0 {
		return nil
	}
	err := unix.PidfdSendSignal(t.pidfd, sig, nil, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case errors.Is(err, unix.EPERM):
		err = e.askSignal(t.r.ID, sig)
	}
	if err == nil {
		e.note("kill", t.r, "signal", itoa(int(sig)))
	}
	return err
}

// waitEnd waits until a process has ended; false when the time was over
// first.
func waitEnd(ctx context.Context, pidfd int, timeout time.Duration) (bool, error) {
	if pidfd < 0 {
		return true, nil
	}
	deadline := time.Now().Add(min(timeout, 1<<61))
	for {
		left := max(0, time.Until(deadline))
		// In slices, for a context that ends.
		ms := int(min(left+time.Millisecond-1, time.Second) / time.Millisecond)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, ms)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return false, err
		case n > 0:
			return true, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case left == 0 && err == nil:
			return false, nil
		}
	}
}

// writeDown writes down the end of a container whose process has ended. Its
// keeper is about to have that done by a process of its own: this one is here
// already.
func (e *Engine) writeDown(ctx context.Context, t *target) error {
	if t.keeper == nil {
		return e.seenOff(ctx, t.r)
	}
	if _, err := t.keeper.WaitEnd(ctx); err != nil {
		return e.seenOff(ctx, t.r)
	}
	lock, err := e.state.Lock(t.r.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.load(t.r.ID)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || st != state.Exited || r.Monitor.Pid == 0 || r.Proc != t.r.Proc {
		return err
	}
	c, err := decodeConfig(r)
	if err != nil || c.HostConfig.RestartPolicy.wants(r) {
		return err // what follows is the keeper's
	}
	_, err = e.settle(r, state.Proc{})
	return err
}

// seenOff waits until somebody has written down the end of a container whose
// process has ended: its keeper, or the command in whose foreground it runs.
func (e *Engine) seenOff(ctx context.Context, r *state.Record) error {
	if r.Monitor.Pid != 0 {
		fd, err := hold(r.Monitor)
		if err != nil {
			return err
		}
		if fd >= 0 {
			defer func() { _ = unix.Close(fd) }()
		}
		if _, err := waitEnd(ctx, fd, removeTimeout); err != nil {
			return err
		}
		return e.mendNow(r.ID) // nothing, unless the keeper was killed
	}
	for deadline := time.Now().Add(removeTimeout); e.state.Underway(r.ID) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// stopWaiting ends the wait of a container that its policy would start again.
func (e *Engine) stopWaiting(r *state.Record) error {
	lock, err := e.state.Lock(r.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.load(r.ID)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || st != state.Restarting {
		return err // it was started, and has the wish to stop in its record
	}
	if err := r.Monitor.Kill(); err != nil {
		return err
	}
	r.RestartAt, r.Monitor = time.Time{}, state.Proc{}
	return e.putAway(r)
}

// Kill sends a signal to a running container's first process. After one that
// ends it for good it returns when the end has been written down.
func (cs *Containers) Kill(ctx context.Context, ref, signal string) error {
	e := cs.e
	sig := unix.SIGKILL
	var err error
	if signal != "" {
		if sig, err = ParseSignal(signal); err != nil {
			return err
		}
	}
	id, err := e.state.Find(ref)
	if err != nil {
		return err
	}
	t, err := e.claim(id, state.Signal, func(r *state.Record) bool {
		if r.StopRequested {
			return false
		}
		c, err := decodeConfig(r)
		r.StopRequested = err == nil && (sig == unix.SIGKILL || sig == stopOf(c, e.imageConfig(r)).signal)
		return r.StopRequested
	})
	if err != nil {
		return err
	}
	defer t.close()
	if err := e.signal(t, sig); err != nil {
		return err
	}
	if sig != unix.SIGKILL {
		return nil
	}
	if t.st == state.Paused {
		if err := e.thaw(t.r); err != nil { // v1 keeps frozen tasks from dying
			return err
		}
	}
	if ended, err := waitEnd(ctx, t.pidfd, killTimeout); err != nil || !ended {
		return errors.Join(err, fault.New(fault.Unavailable, "process %d does not die of SIGKILL", t.r.Proc.Pid))
	}
	return e.writeDown(ctx, t)
}

// Pause freezes every process of a container.
func (cs *Containers) Pause(_ context.Context, ref string) error {
	return cs.freeze(ref, state.Pause, "pause", func(g *cgroupfs.Group) error { return g.Freeze(freezeTimeout) })
}

// Unpause lets a frozen container go on.
func (cs *Containers) Unpause(_ context.Context, ref string) error {
	return cs.freeze(ref, state.Unpause, "unpause", (*cgroupfs.Group).Thaw)
}

const freezeTimeout = 10 * time.Second

func (cs *Containers) freeze(ref string, a state.Action, event string, do func(*cgroupfs.Group) error) error {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return err
	}
	lock, err := e.state.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.load(id)
	if err != nil {
		return err
	}
	if _, err := st.After(a); err != nil {
		return err
	}
	g, err := e.group(r)
	if err != nil {
		return err
	}
	defer g.Close()
	// The record says that it may be frozen for as long as it may be: readers
	// ask the cgroup then.
	r.Paused = true
	if a == state.Pause {
		if err := e.state.Put(r); err != nil {
			return err
		}
	}
	err = do(g)
	if frozen, ferr := g.Frozen(); ferr == nil && !frozen {
		r.Paused = false
		err = errors.Join(err, e.state.Put(r))
	}
	if err == nil {
		e.note(event, r)
	}
	return err
}

// thaw lets a container that is to be stopped go on.
func (e *Engine) thaw(r *state.Record) error {
	g, err := e.group(r)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	return g.Thaw()
}

func (e *Engine) group(r *state.Record) (*cgroupfs.Group, error) {
	l, err := e.layout()
	if err != nil {
		return nil, err
	}
	return cgroupfs.Open(l, r.Cgroup)
}

// Restart stops a container, if it runs, and starts it.
func (cs *Containers) Restart(ctx context.Context, ref string, o StopOptions) error {
	id, err := cs.e.state.Find(ref)
	if err != nil {
		return err
	}
	r, err := cs.e.state.Get(id)
	if err != nil {
		return err
	}
	if r.Remove {
		return fault.New(fault.Conflict, "container is removed when it stops (--rm)")
	}
	if err := cs.Stop(ctx, id, o); err != nil {
		return err
	}
	if _, err = cs.Start(ctx, id, &LaunchOptions{}); err != nil {
		return err
	}
	cs.e.note("restart", r)
	return nil
}
