package containers

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

func summary(r *state.Record, st state.Status) api.ContainerSummary {
	s := api.ContainerSummary{
		ID: r.ID, Name: r.Name, Image: r.Image, ImageID: r.ImageID, Command: r.Command,
		Created: r.Created, Started: r.Started, Finished: r.Finished, ExitCode: r.ExitCode, Labels: r.Labels,
		Status: api.Status(st.String()),
	}
	if st.Running() {
		s.Pid, s.ExitCode = r.Proc.Pid, 0
		s.Health = healthStatus(r.Health)
	}
	return s
}

// Remove removes a container by name, ID or unique ID prefix and returns its
// full ID. A running one is a Conflict unless force is set.
//
// With volumes its anonymous volumes go too; those of --rm always do.
func (e *Room) Remove(ctx context.Context, ref string, force, volumes bool) (string, error) {
	id, err := e.removeNamed(ctx, ref, force)
	if err == nil && volumes {
		err = e.Volumes.Remove(id)
	}
	return id, err
}

func (e *Room) removeNamed(ctx context.Context, ref string, force bool) (string, error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return "", err
	}
	lock, err := e.State.Lock(id)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	r, st, err := e.Load(id)
	if err != nil && force && fault.KindOf(err) != fault.NotFound {
		return id, e.removeUnread(id)
	}
	if err != nil {
		return "", err
	}
	if _, err := st.After(state.Remove); err != nil && !force {
		return "", fault.WithHint(err, "use -f, or: tare stop "+ref)
	}
	switch {
	case st.Running():
		err = e.putDown(ctx, r, st)
	case st == state.Restarting:
		err = r.Keeper.Kill()
	case st == state.Exited && !r.EndWritten():
		// Nobody has got to it yet, or nobody is left to.
		if r.Keeper.Pid != 0 {
			if err = e.keepers.Written(r.Keeper); err != nil {
				return "", err
			}
		}
		if err = e.ended(r).account(); force {
			e.warn(err)
			err = nil
		}
	case st == state.Removing && !r.Removing:
		// The command in whose foreground it ran does it.
		lock.Unlock()
		return id, e.seenOff(ctx, r)
	}
	if err != nil {
		return "", err
	}
	if err := e.remove(r); err != nil {
		return "", err
	}
	if r.Keeper.Pid == 0 {
		// The slot of a foreground run whose command was killed.
		lock.Unlock()
		return id, e.Recover()
	}
	return id, nil
}

// removeUnread removes a container of which nothing is known but the id, which is the
// name of its cgroup and of the directory in which its keeper listens.
func (e *Room) removeUnread(id string) error {
	keeper, err := e.keepers.Find(id)
	if err != nil {
		return err
	}
	if err := e.RemoveGroupsNamed(id); err != nil {
		return err
	}
	if keeper.Pid != 0 { // it may write its log still, and would wait for our lock then
		if err := keeper.Kill(); err != nil {
			return err
		}
	}
	name := e.State.NameOf(id)
	return errors.Join(e.Sandboxes.Release(id, nil), e.discard(id, name, false), e.discard(id, name, true))
}

// endKeeper lets the keeper of a container that has ended tell its clients, and kills
// it if it does not end: it is not needed for anything.
func (e *Room) endKeeper(ctx context.Context, keeper state.Proc) error {
	if keeper.Pid == 0 {
		return nil
	}
	if fd, _, err := keeper.Hold(); err == nil && fd >= 0 {
		_, _ = waitEnd(ctx, fd, keepers.Timeout)
		_ = unix.Close(fd)
	}
	return keeper.Kill()
}

// putDown kills a container that is about to be removed.
func (e *Room) putDown(ctx context.Context, r *state.Record, st state.Status) error {
	t := &target{r: r, st: st, pidfd: -1}
	var err error
	if t.pidfd, _, err = r.Proc.Hold(); err != nil {
		return err
	}
	defer t.close()
	defer e.keepers.Final(ctx, keepers.Of(r)).Close()
	if err := e.signal(ctx, t, unix.SIGKILL); err != nil {
		return err
	}
	if st == state.Paused {
		if err := e.thaw(r); err != nil { // v1 keeps frozen tasks from dying
			return err
		}
	}
	ended, err := waitEnd(ctx, t.pidfd, killTimeout)
	if err != nil || !ended {
		return errors.Join(err, fault.New(fault.Unavailable, "process %d does not die of SIGKILL", r.Proc.Pid))
	}
	r.StopRequested = true
	if err := e.endKeeper(ctx, r.Keeper); err != nil {
		return err
	}
	noted := false
	if r.Keeper.Pid != 0 {
		var err error
		noted, err = e.State.ReadEnd(r)
		e.warn(err) // it goes all the same
	}
	n := &ending{e: e, r: r, seen: killed(), warn: e.Warn}
	if noted {
		n.seen = r.Seen()
	}
	e.warn(n.account()) // it goes all the same
	return nil
}

// killed is what there is to see of an end by SIGKILL.
func killed() exit.Seen {
	s := exit.Status(int(unix.SIGKILL))
	s.Time = time.Now().UnixNano()
	return s
}

// remove takes away everything of a container that does not run.
func (e *Room) remove(r *state.Record) error {
	p, err := e.State.Begin(state.Pending{ID: r.ID, Name: r.Name, Cgroup: r.Cgroup, Remove: r.Remove, Removal: true})
	if err != nil {
		return err
	}
	err = e.RemoveGroup(r.Cgroup)
	if err == nil {
		err = e.Sandboxes.Leave(r, nil)
	}
	if err == nil {
		err = e.discard(r.ID, r.Name, r.Remove)
	}
	if err != nil {
		p.End() // whoever asked for it is told, and may ask again
		return err
	}
	p.End()
	e.Note("destroy", r)
	return nil
}

// discard removes the writable layer, the records and the name.
//
// The note of its end goes last: until the record is gone, somebody may ask.
func (e *Room) discard(id, name string, remove bool) error {
	if err := e.Snapshots.Remove(id); err != nil {
		return err
	}
	if err := errors.Join(e.State.RemoveExecs(id), logs.Remove(e.LogDir(id)), e.State.Delete(id, name, remove)); err != nil {
		return err
	}
	if remove {
		if err := e.Volumes.Remove(id); err != nil {
			return err
		}
	}
	return e.State.RemoveLive(id)
}
