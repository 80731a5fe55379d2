package engine

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/logs"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// removeTimeout bounds the wait for a cgroup's last processes to die.
const removeTimeout = 10 * time.Second

func summary(r *state.Record, st state.Status) ContainerSummary {
	s := ContainerSummary{
		ID: r.ID, Name: r.Name, Image: r.Image, ImageID: r.ImageID, Command: r.Command,
		Created: r.Created, Started: r.Started, Finished: r.Finished, ExitCode: r.ExitCode, Labels: r.Labels,
		Status: Status(st.String()),
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
func (cs *Containers) Remove(ctx context.Context, ref string, force, volumes bool) (string, error) {
	id, err := cs.remove(ctx, ref, force)
	if err == nil && volumes {
		err = os.RemoveAll(cs.e.volumesDir(id))
	}
	return id, err
}

func (cs *Containers) remove(ctx context.Context, ref string, force bool) (string, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return "", err
	}
	lock, err := e.state.Lock(id)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	r, st, err := e.load(id)
	if err != nil && force && fault.KindOf(err) != fault.NotFound {
		// Nothing is known of it but the id.
		name := e.state.NameOf(id)
		return id, errors.Join(e.removeGroup(cgroupParent+"/"+id), e.discard(id, name, false), e.discard(id, name, true))
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
		err = r.Monitor.Kill()
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
	if r.Monitor.Pid == 0 {
		// The slot of a foreground run whose command was killed.
		lock.Unlock()
		return id, e.recover()
	}
	return id, nil
}

// putDown kills a container that is about to be removed.
func (e *Engine) putDown(ctx context.Context, r *state.Record, st state.Status) error {
	t := &target{r: r, st: st, pidfd: -1}
	var err error
	if t.pidfd, err = hold(r.Proc); err != nil {
		return err
	}
	defer t.close()
	defer e.finalKeeper(r).Close()
	if err := e.signal(t, unix.SIGKILL); err != nil {
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
	// Its clients learn the exit code. A keeper that does not end is not
	// needed for anything.
	if r.Monitor.Pid != 0 {
		if fd, err := hold(r.Monitor); err == nil && fd >= 0 {
			_, _ = waitEnd(ctx, fd, keeperTimeout)
			_ = unix.Close(fd)
		}
		if err := r.Monitor.Kill(); err != nil {
			return err
		}
		if !e.state.ReadEnd(r) {
			r.ExitCode = 128 + int(unix.SIGKILL)
		}
		e.note("die", r, "exitCode", itoa(r.ExitCode))
	}
	return nil
}

// keeperTimeout bounds the wait for a keeper whose container is being removed.
const keeperTimeout = 2 * time.Second

// remove takes away everything of a container that does not run.
func (e *Engine) remove(r *state.Record) error {
	p, err := e.state.Begin(state.Pending{ID: r.ID, Name: r.Name, Cgroup: r.Cgroup, Remove: r.Remove, Removal: true})
	if err != nil {
		return err
	}
	if err := errors.Join(e.removeGroup(r.Cgroup), e.discard(r.ID, r.Name, r.Remove)); err != nil {
		p.End() // whoever asked for it is told, and may ask again
		return err
	}
	p.End()
	e.note("destroy", r)
	return nil
}

// discard removes the writable layer, the records and the name.
//
// The note of its end goes last: until the record is gone, somebody may ask.
func (e *Engine) discard(id, name string, remove bool) error {
	if err := e.snapshots.Remove(id); err != nil {
		return err
	}
	if err := errors.Join(e.state.RemoveExecs(id), logs.Remove(e.logDir(id)), e.state.Delete(id, name, remove)); err != nil {
		return err
	}
	if remove {
		if err := os.RemoveAll(e.volumesDir(id)); err != nil {
			return err
		}
	}
	return e.state.RemoveLive(id)
}

// removeGroup kills what is left in a cgroup and removes it.
func (e *Engine) removeGroup(path string) error {
	if path == "" {
		return nil
	}
	l, err := e.layout()
	if err != nil {
		return err
	}
	g, err := cgroupfs.Open(l, path)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.Kill(removeTimeout); err != nil {
		return err
	}
	return g.Remove(removeTimeout)
}

// recover undoes what a command that was killed was about: starts whose
// program did not run, and removals. A container that runs is left alone: it
// is listed as running, and can be removed.
func (e *Engine) recover() error {
	return e.state.CutOff(func(p *state.Pending) error {
		lock, err := e.state.Lock(p.ID)
		if err != nil {
			return err
		}
		defer lock.Unlock()
		r, err := e.state.Get(p.ID)
		if fault.KindOf(err) == fault.NotFound {
			return e.recoverUnrecorded(p)
		}
		if err != nil {
			return err
		}
		p.Name = r.Name
		switch {
		case p.Removal:
		case r.Proc.Look() == state.Running:
			if err := e.snapshots.Sweep(p.ID); err != nil || r.Monitor.Pid != 0 {
				return err
			}
			return state.ErrLater // in the foreground of a command that was killed
		case p.Kept:
			return e.recoverKept(p, r)
		case p.Started && !p.Remove:
			// It ran and ended with nobody to see it: it stays, as exited.
			return errors.Join(e.recoverEnded(r), e.snapshots.Sweep(p.ID))
		}
		if err := r.Proc.Kill(); err != nil {
			return err
		}
		return e.recoverUnrecorded(p)
	})
}

// recoverUnrecorded removes what there may be of a container.
func (e *Engine) recoverUnrecorded(p *state.Pending) error {
	if p.Name == "" {
		p.Name = e.state.NameOf(p.ID)
	}
	err := errors.Join(e.removeGroup(p.Cgroup), e.discard(p.ID, p.Name, p.Remove), e.snapshots.Sweep(p.ID))
	if err == nil && !p.Removal { // nobody has seen what was in them
		err = os.RemoveAll(e.volumesDir(p.ID))
	}
	return err
}

// recoverKept makes a container whose start was cut off what it was before.
func (e *Engine) recoverKept(p *state.Pending, r *state.Record) error {
	if r.Exited || r.Proc.Pid == 0 {
		return e.removeGroup(p.Cgroup) // the start did not get as far as the record
	}
	if p.Started {
		return nil // its end is to be written down: whoever looks at it does
	}
	if err := errors.Join(r.Proc.Kill(), e.removeGroup(p.Cgroup)); err != nil {
		return err
	}
	if r.Exited = !r.Finished.IsZero(); !r.Exited {
		r.Proc, r.Started = state.Proc{}, time.Time{}
	}
	r.Monitor = state.Proc{}
	return e.putAway(r)
}

// recoverEnded writes down that a container has ended.
func (e *Engine) recoverEnded(r *state.Record) error {
	if r.Monitor.Pid != 0 || r.Exited {
		return nil // its end is to be written down: whoever looks at it does
	}
	loaded, st, err := e.state.Load(r.ID)
	if err != nil || st != state.Exited {
		return err
	}
	return errors.Join(e.removeGroup(r.Cgroup), e.state.Put(loaded))
}
