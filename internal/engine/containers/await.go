package containers

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

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
func (e *Room) writeDown(ctx context.Context, t *target) error {
	if t.keeper == nil {
		return e.seenOff(ctx, t.r)
	}
	if _, err := t.keeper.WaitEnd(ctx, -1); err != nil {
		return e.seenOff(ctx, t.r)
	}
	lock, err := e.State.Lock(t.r.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.Load(t.r.ID)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || st != state.Exited || r.Keeper.Pid == 0 || r.Proc != t.r.Proc {
		return err
	}
	c, err := ground.Config(r)
	if err != nil || startsAgain(c.HostConfig.RestartPolicy, r) {
		return err // what follows is the keeper's
	}
	_, err = e.settle(r, state.Proc{})
	return err
}

// farewellTimeout bounds the wait for a keeper that has seen the end: it gives
// clients that do not read ten seconds, and then each of them one more.
const farewellTimeout = 25 * time.Second

// seenOff waits until somebody has written down the end of a container whose
// process has ended: its keeper, or the command in whose foreground it runs.
func (e *Room) seenOff(ctx context.Context, r *state.Record) error {
	if r.Keeper.Pid != 0 {
		fd, _, err := r.Keeper.Hold()
		if err != nil {
			return err
		}
		if fd >= 0 {
			defer func() { _ = unix.Close(fd) }()
		}
		if err := r.Keeper.Continue(); err != nil {
			return err
		}
		for deadline := time.Now().Add(farewellTimeout); ; {
			ended, err := waitEnd(ctx, fd, 100*time.Millisecond)
			if err != nil {
				return err
			}
			// It may be about to start the container again.
			if ended || e.over(r) {
				return e.mendNow(r.ID) // nothing, unless the keeper was killed
			}
			if time.Now().After(deadline) {
				return fault.New(fault.Unavailable, "container has ended, but its keeper (process %d) does not write that down", r.Keeper.Pid)
			}
		}
	}
	for deadline := time.Now().Add(ground.RemoveTimeout); e.State.Underway(r.ID) && time.Now().Before(deadline); {
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// over reports whether the end of the run that r tells of is on disk.
func (e *Room) over(r *state.Record) bool {
	again, err := e.State.Get(r.ID)
	return fault.KindOf(err) == fault.NotFound || err == nil && (again.Proc != r.Proc || again.EndWritten())
}
