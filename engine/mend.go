package engine

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/monitor"
	"github.com/tare-engine/tare/monitor/wire"
	"github.com/tare-engine/tare/pidfd"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// load is state.Load, with the cgroup's word on whether a container is frozen.
func (e *Engine) load(id string) (*state.Record, state.Status, error) {
	r, st, err := e.state.Load(id)
	if err == nil && st == state.Paused {
		st = e.frozen(r)
	}
	return r, st, err
}

// seen is load for a list: what wants somebody to see to it is seen to.
func (e *Engine) seen(id string) (*state.Record, state.Status, error) {
	r, st, err := e.load(id)
	if err != nil || !r.Unsettled(st) {
		return r, st, err
	}
	if err := e.mendNow(id); err != nil && e.opt.Warn != nil {
		e.opt.Warn(err.Error()) // it is in the list all the same
	}
	return e.load(id)
}

func (e *Engine) frozen(r *state.Record) state.Status {
	g, err := e.group(r)
	if err != nil {
		return state.Active
	}
	defer g.Close()
	if frozen, err := g.Frozen(); err != nil || !frozen {
		return state.Active
	}
	return state.Paused
}

func decodeConfig(r *state.Record) (*ContainerConfig, error) {
	c := &ContainerConfig{}
	if err := json.Unmarshal(r.Config, c); err != nil {
		return nil, fault.New(fault.Internal, "container %s: damaged configuration: %w", r.ID[:12], err)
	}
	return c, nil
}

// imageConfig returns the defaults of the container's image, or nil where it
// has none any more.
func (e *Engine) imageConfig(r *state.Record) *image.Config {
	if r.ImageID == "" {
		return nil
	}
	img, err := e.images.Resolve(r.ImageID, image.Platform{})
	if err != nil {
		return nil
	}
	return &img.Config
}

// Mend sees to a container whose end came, or whose keeper has been killed:
// it takes the keeper's place where the container runs, and otherwise writes
// down the end, cleans up, and starts the container again where its policy
// says so. The keeper executes it as its last act, in its own process.
//
// It does not return where this process becomes a keeper.
func (cs *Containers) Mend(id string) error {
	e := cs.e
	lock, err := e.state.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.load(id)
	if fault.KindOf(err) == fault.NotFound {
		return e.state.RemoveLive(id)
	}
	if err != nil {
		return err
	}
	me, err := self()
	if err != nil {
		return err
	}
	if r.Monitor.Pid == 0 || r.Monitor != me && r.Monitor.Look() != state.Gone {
		return nil // it has been seen to
	}
	switch {
	case st.Running():
		return e.adopt(lock, r)
	case st == state.Exited:
		again, err := e.settle(r, me)
		if err != nil || !again {
			return err
		}
	case st != state.Restarting:
		return nil
	}
	r.Monitor = me
	if err := e.state.Put(r); err != nil {
		return err
	}
	wait := restartIn(r, time.Now())
	lock.Unlock()
	return e.delay(r.ID, wait)
}

// mendNow does what Mend does and a command can do: it writes down an end that
// nobody has, and lets another process do the rest.
func (e *Engine) mendNow(id string) error {
	r, st, err := e.load(id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || !r.Unsettled(st) {
		return err
	}
	if st != state.Exited {
		return e.sendHelper("mend", id)
	}
	lock, err := e.state.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err = e.load(id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || st != state.Exited || !r.Unsettled(st) {
		return err
	}
	c, err := decodeConfig(r)
	if err != nil {
		return err
	}
	if c.HostConfig.RestartPolicy.wants(r) {
		lock.Unlock()
		return e.sendHelper("mend", id)
	}
	_, err = e.settle(r, state.Proc{})
	return err
}

// settle writes down the end of a container that has ended, and removes what
// it does not need any more: with --rm everything. It reports whether its
// policy starts it again; monitor is who will.
func (e *Engine) settle(r *state.Record, monitor state.Proc) (again bool, err error) {
	c, err := decodeConfig(r)
	if err != nil {
		return false, err
	}
	if err := e.lastLook(r, c); err != nil && e.opt.Warn != nil {
		e.opt.Warn(err.Error()) // a receipt less
	}
	if err := e.removeGroup(r.Cgroup); err != nil {
		return false, err
	}
	// Notes come before the record: the journal may say it twice, but does not
	// miss it.
	e.noteEnd(r)
	if r.Remove {
		return false, e.remove(r)
	}
	r.Monitor = state.Proc{}
	if c.HostConfig.RestartPolicy.wants(r) {
		wait := backoff(time.Duration(r.Backoff), r.Finished.Sub(r.Started))
		r.Backoff, r.RestartAt = int64(wait), now().Add(wait)
		r.Restarts++
		r.Monitor = monitor
		return true, e.state.Put(r)
	}
	r.RestartAt, r.Backoff = time.Time{}, 0
	return false, e.putAway(r)
}

// putAway writes the record of a container that does not run, and then removes
// what it needed while it did: where there is no room for the record, the note
// of its end stays.
func (e *Engine) putAway(r *state.Record) error {
	if err := e.state.Put(r); err != nil {
		return fault.New(fault.KindOf(err), "write the record: %w", err)
	}
	return e.state.RemoveLive(r.ID)
}

// lastLook reads what only the cgroup knows of a container's run, and computes
// the receipt.
func (e *Engine) lastLook(r *state.Record, c *ContainerConfig) error {
	if r.Finished.IsZero() || r.Finished.Before(r.Started) {
		r.Finished = now() // nobody saw it
	}
	g, err := e.group(r)
	if err != nil {
		return e.writeReceipt(r, c, nil)
	}
	defer g.Close()
	if n, err := g.OOMKills(); err == nil && n > 0 && r.ExitSignal == int(unix.SIGKILL) {
		r.OOM, r.Cause = true, state.CauseOOM
	}
	return e.writeReceipt(r, c, g)
}

// delay becomes a process that waits and then starts the container.
func (e *Engine) delay(id string, wait time.Duration) error {
	bin, err := e.keeperPath()
	if err != nil {
		return err
	}
	args, err := e.helperArgs("retry", id)
	if err != nil {
		return err
	}
	ns := strconv.FormatInt(int64(max(0, wait)), 10)
	return execAs(bin, append([]string{"tare-monitor", "delay", ns}, args...))
}

// adopt becomes the keeper of a container that runs.
func (e *Engine) adopt(lock *state.Lock, r *state.Record) error {
	c, err := decodeConfig(r)
	if err != nil {
		return err
	}
	k := newKept(e, -1, 0)
	w := &k.keeper
	if w.Pidfd, err = hold(r.Proc); err != nil {
		return err
	}
	if w.Pidfd < 0 {
		return nil // it has just ended: for the next look
	}
	log, err := e.logConfig(r, c)
	if err != nil {
		return err
	}
	k.logTo(&log)
	dir := e.state.LiveDir(r.ID)
	const flags = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOFOLLOW
	if !c.Tty {
		if c.OpenStdin {
			w.In, _ = unix.Open(dir+"/in", unix.O_WRONLY|flags, 0) // -1: nobody reads it any more
		}
		if w.Out, err = unix.Open(dir+"/out", unix.O_RDONLY|flags, 0); err != nil {
			return fault.New(fault.KindOf(err), "adopt container %s: %w", r.ID[:12], err)
		}
		if w.Err, err = unix.Open(dir+"/err", unix.O_RDONLY|flags, 0); err != nil {
			return fault.New(fault.KindOf(err), "adopt container %s: %w", r.ID[:12], err)
		}
	}
	if w.Listen, err = listen(dir); err != nil {
		return err
	}
	if r.Monitor, err = self(); err != nil {
		return err
	}
	if err := e.state.Put(r); err != nil {
		return err
	}
	k.describe(r, c, e.imageConfig(r))
	lock.Unlock()
	return k.become()
}

// Wait waits until a container does not run, and returns its exit code. One
// that has been created and not started is waited for until it ends.
func (cs *Containers) Wait(ctx context.Context, ref string) (int, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return 0, err
	}
	for {
		r, st, err := e.load(id)
		if err != nil {
			return 0, err
		}
		switch {
		case st == state.Created:
			return 0, nil
		case !st.Running() && st != state.Removing:
			return r.ExitCode, e.mendNow(id)
		}
		end, err := e.waitFor(ctx, r, st)
		if err == nil {
			return end.Code, nil
		}
		if errors.Is(err, monitor.ErrLost) {
			continue
		}
		// Its keeper may have gone between the look and the call.
		if _, now, lerr := e.load(id); lerr != nil || now == st {
			return 0, err
		}
	}
}

// waitFor waits for the end of a run.
func (e *Engine) waitFor(ctx context.Context, r *state.Record, st state.Status) (wire.End, error) {
	if r.Unsettled(st) {
		if err := e.mendNow(r.ID); err != nil {
			return wire.End{}, err
		}
	}
	if r.Monitor.Pid == 0 {
		return e.waitForeground(ctx, r)
	}
	c, err := e.dial(r.ID, 0)
	if err != nil {
		return wire.End{}, err
	}
	defer c.Close()
	return c.WaitExit(ctx)
}

// waitForeground waits for a container in the foreground of another command.
// Its exit code is the kernel's to tell (PIDFD_GET_INFO, Linux 6.15).
func (e *Engine) waitForeground(ctx context.Context, r *state.Record) (wire.End, error) {
	fd, err := hold(r.Proc)
	if err != nil {
		return wire.End{}, err
	}
	end := wire.End{Code: -1}
	if fd >= 0 {
		defer func() { _ = unix.Close(fd) }()
		if _, err := waitEnd(ctx, fd, forever); err != nil {
			return end, err
		}
	}
	if err := e.seenOff(ctx, r); err != nil {
		return end, err
	}
	if status, ok := pidfd.ExitStatus(r.Proc.Pid, fd); ok {
		return wire.EndOf(status), nil
	}
	if again, err := e.state.Get(r.ID); err == nil && again.Exited {
		end.Code = again.ExitCode
	}
	return end, nil
}

// startRequired starts the containers that c cannot do without.
func (e *Engine) startRequired(ctx context.Context, c *ContainerConfig) error {
	for _, ref := range c.Requires {
		if _, err := e.Containers.Start(ctx, ref, &LaunchOptions{}); err != nil {
			return fault.New(fault.KindOf(err), "start %s, which it requires: %w", ref, err)
		}
	}
	return nil
}
