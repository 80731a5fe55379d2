package containers

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/pidfd"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// named is seen of the container that a name, an id or its beginning means.
func (e *Room) named(ref string) (*state.Record, state.Status, error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return nil, 0, err
	}
	return e.seen(id)
}

// seen is load for a list: what wants somebody to see to it is seen to.
func (e *Room) seen(id string) (*state.Record, state.Status, error) {
	r, st, err := e.Load(id)
	if err != nil || !r.Unsettled(st) {
		return r, st, err
	}
	if err := e.mendNow(id); err != nil && e.Warn != nil {
		e.Warn(err.Error()) // it is in the list all the same
	}
	return e.Load(id)
}

// Mend sees to a container whose end came, or whose keeper has been killed:
// it takes the keeper's place where the container runs, and otherwise writes
// down the end, cleans up, and starts the container again where its policy
// says so. The keeper executes it as its last act, in its own process.
//
// It does not return where this process becomes a keeper.
func (e *Room) Mend(id string) error {
	lock, err := e.State.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.Load(id)
	if fault.KindOf(err) == fault.NotFound {
		return e.State.RemoveLive(id)
	}
	if err != nil {
		return err
	}
	me, err := self()
	if err != nil {
		return err
	}
	if r.Keeper.Pid == 0 || r.Keeper != me && r.Keeper.Look() != state.Gone {
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
	r.Keeper = me
	if err := e.State.Put(r); err != nil {
		return err
	}
	return e.delay(lock, r)
}

// mendNow does what Mend does and a command can do: it writes down an end that
// nobody has, and lets another process do the rest.
func (e *Room) mendNow(id string) error {
	r, st, err := e.Load(id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || !r.Unsettled(st) {
		return err
	}
	if st != state.Exited {
		return e.SendHelper("mend", id)
	}
	lock, err := e.State.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err = e.Load(id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || st != state.Exited || !r.Unsettled(st) {
		return err
	}
	c, err := ground.Config(r)
	if err != nil {
		return err
	}
	if startsAgain(c.HostConfig.RestartPolicy, r) {
		lock.Unlock()
		return e.SendHelper("mend", id)
	}
	_, err = e.settle(r, state.Proc{})
	return err
}

// settle writes down the end of a container that [state.Store.Load] found to
// have ended. It reports whether starter is to start it again.
func (e *Room) settle(r *state.Record, starter state.Proc) (again bool, err error) {
	n := e.ended(r)
	n.starter = starter
	return n.walk()
}

// ended is the end of a container that [state.Store.Load] found to have ended.
func (e *Room) ended(r *state.Record) *ending {
	return &ending{e: e, r: r, seen: r.Seen(), warn: e.Warn}
}

// delay becomes a keeper that waits and then starts the container.
func (e *Room) delay(lock *state.Lock, r *state.Record) error {
	wait := restartIn(r, time.Now())
	if err := e.keepers.WriteSettings(r.ID, wire.Settings{Delay: int64(max(0, wait))}); err != nil {
		return err
	}
	lock.Unlock()
	return e.keepers.Exec(r.ID)
}

// settingsOf returns what the keeper before was told of a container that runs,
// without what was that process's own. Where it cannot be read, as of a keeper
// that had it as arguments, it is computed as for a start.
func (e *Room) settingsOf(r *state.Record, c *api.ContainerConfig) (*wire.ContainerPart, error) {
	w := wire.NewContainer()
	if s, ok := e.keepers.ReadSettings(r.ID); ok && s.Container.Pid == r.Proc.Pid && s.Container.Start == r.Proc.Start {
		was := s.Container
		w.StdinOnce, w.LogDir, w.Log, w.Tunable = was.StdinOnce, was.LogDir, was.Log, was.Tunable
	} else {
		img, err := e.ImageConfig(r)
		if err != nil {
			return nil, err
		}
		log, err := e.logConfig(r, c)
		if err != nil {
			return nil, err
		}
		e.tell(w, r.ID, c, img, &log)
	}
	w.Pid, w.Start = r.Proc.Pid, r.Proc.Start
	return w, nil
}

// adopt becomes the keeper of a container that runs.
func (e *Room) adopt(lock *state.Lock, r *state.Record) error {
	c, err := ground.Config(r)
	if err != nil {
		return err
	}
	k := newKeeper(e, -1, 0)
	if k.part, err = e.settingsOf(r, c); err != nil {
		return err
	}
	w := k.part
	if w.Pidfd, _, err = r.Proc.Hold(); err != nil {
		return err
	}
	if w.Pidfd < 0 {
		return nil // it has just ended: for the next look
	}
	dir := e.State.LiveDir(r.ID)
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
	if w.Listen, err = keepers.Listen(dir); err != nil {
		return err
	}
	if r.Keeper, err = self(); err != nil {
		return err
	}
	if err := e.keepers.WriteSettings(r.ID, wire.Settings{Container: w}); err != nil {
		return err
	}
	if err := e.State.Put(r); err != nil {
		return err
	}
	lock.Unlock()
	return k.become(r.ID)
}

// Wait waits until a container does not run and its end is written down, and
// returns its exit code. One that has been created and not started has the code
// 0. An end that is known and cannot be written down, as on a full disk, is told
// all the same, and warn is told why it is not on disk.
func (e *Room) Wait(ctx context.Context, ref string, warn func(string)) (int, error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return 0, err
	}
	for {
		r, st, err := e.Load(id)
		if err != nil {
			return 0, err
		}
		switch {
		case st == state.Created:
			return 0, nil
		case !st.Running() && st != state.Removing:
			return r.ExitCode, e.lookWritten(ctx, r, warn)
		}
		end, err := e.waitFor(ctx, r, st)
		if err == nil && r.Keeper.Pid != 0 {
			// Its keeper was to write it down, and may have been killed.
			return end.Code, e.lookWritten(ctx, r, warn)
		}
		if err == nil {
			return end.Code, nil
		}
		if errors.Is(err, client.ErrOther) {
			continue
		}
		if errors.Is(err, client.ErrLost) {
			if err := e.succeed(ctx, r); err != nil {
				return 0, err
			}
			continue
		}
		// Its keeper may have gone between the look and the call.
		if _, now, lerr := e.Load(id); lerr != nil || now == st {
			return 0, err
		}
	}
}

// succeed sees to a container whose keeper has let go of its clients. A process
// that is killed closes its descriptors a moment before it is gone.
func (e *Room) succeed(ctx context.Context, r *state.Record) error {
	fd, _, err := r.Keeper.Hold()
	if err != nil {
		return err
	}
	if fd >= 0 {
		defer func() { _ = unix.Close(fd) }()
		if _, err := waitEnd(ctx, fd, ground.DialTimeout); err != nil {
			return err
		}
	}
	return e.mendNow(r.ID)
}

// lookWritten is writtenDown for whoever knows the end: what keeps it from the
// disk is a warning.
func (e *Room) lookWritten(ctx context.Context, r *state.Record, warn func(string)) error {
	err := e.writtenDown(ctx, r)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if warn != nil {
		warn(err.Error())
	}
	return nil
}

// writtenDown waits until the end of the run that r tells of is on disk: its
// keeper may have noted it, and not have got further.
func (e *Room) writtenDown(ctx context.Context, r *state.Record) error {
	for w := ground.NewWaiter(ground.RemoveTimeout); !r.EndWritten(); {
		again, st, err := e.Load(r.ID)
		if fault.KindOf(err) == fault.NotFound {
			return nil // --rm
		}
		if err != nil {
			return err
		}
		if again.Proc != r.Proc {
			return nil // it has been started again since
		}
		if r = again; r.EndWritten() || r.Unsettled(st) || r.Keeper.Pid == 0 && !e.State.Underway(r.ID) {
			break // or nobody is left to write it
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !w.Wait() {
			return fault.New(fault.Unavailable, "its keeper does not write down the end")
		}
	}
	return e.mendNow(r.ID)
}

// waitFor waits for the end of a run.
func (e *Room) waitFor(ctx context.Context, r *state.Record, st state.Status) (exit.Seen, error) {
	if r.Unsettled(st) {
		if err := e.mendNow(r.ID); err != nil {
			return exit.Seen{}, err
		}
	}
	if r.Keeper.Pid == 0 {
		return e.waitForeground(ctx, r)
	}
	c, err := e.keepers.Dial(ctx, keepers.Of(r), 0)
	if err != nil {
		return exit.Seen{}, err
	}
	defer c.Close()
	fd, _, err := r.Proc.Hold()
	if err != nil {
		return exit.Seen{}, err
	}
	if fd >= 0 {
		defer func() { _ = unix.Close(fd) }()
	}
	return c.WaitExit(ctx, fd)
}

// waitForeground waits for a container in the foreground of another command.
// Its exit code is the kernel's to tell (PIDFD_GET_INFO, Linux 6.15).
func (e *Room) waitForeground(ctx context.Context, r *state.Record) (exit.Seen, error) {
	fd, _, err := r.Proc.Hold()
	if err != nil {
		return exit.Seen{}, err
	}
	end := exit.Seen{Code: exit.NoCode}
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
		return exit.Status(status), nil
	}
	if again, err := e.State.Get(r.ID); err == nil && again.Exited {
		end.Code = again.ExitCode
	}
	return end, nil
}

// startRequired starts the containers that another cannot do without.
func (e *Room) startRequired(ctx context.Context, requires []string) error {
	for _, ref := range requires {
		if _, err := e.Begin(ctx, &Request{Ref: ref, Warn: e.Warn}); err != nil {
			return fault.New(fault.KindOf(err), "start %s, which it requires: %w", ref, err)
		}
	}
	return nil
}
