package containers

import (
	"errors"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// Recover undoes what a command that was killed was about: starts whose
// program did not run, and removals. A container that runs is left alone: it
// is listed as running, and can be removed.
func (e *Room) Recover() error {
	return e.State.CutOff(func(p *state.Pending) error {
		lock, err := e.State.Lock(p.ID)
		if err != nil {
			return err
		}
		defer lock.Unlock()
		r, err := e.State.Get(p.ID)
		if fault.KindOf(err) == fault.NotFound {
			return e.recoverUnrecorded(p, nil)
		}
		if err != nil {
			return err
		}
		p.Name = r.Name
		life := r.Proc.Look()
		switch {
		case p.Removal:
		case life == state.Unknown:
			return state.ErrLater
		case life == state.Running, life == state.Waiting && p.Started: // it waits for nothing then: a thread executes a program
			if err := e.Snapshots.Sweep(p.ID); err != nil || r.Keeper.Pid != 0 {
				return err
			}
			return state.ErrLater // in the foreground of a command that was killed
		case p.Kept:
			return e.recoverKept(p, r)
		case p.Started && !p.Remove:
			// It ran and ended with nobody to see it: it stays, as exited.
			return errors.Join(e.recoverEnded(r), e.Snapshots.Sweep(p.ID))
		}
		if err := r.Proc.Kill(); err != nil {
			return err
		}
		if !p.Started || p.Removal {
			return e.recoverUnrecorded(p, r)
		}
		// A run in the foreground of a command that was killed. What has been told
		// is not told again when the rest fails.
		if !r.Exited {
			if err := e.seeEnd(r); err != nil {
				return err
			}
			e.warn(e.ended(r).account())
			e.warn(e.State.Put(r))
		}
		if err := e.recoverUnrecorded(p, r); err != nil {
			return err
		}
		e.Note("destroy", r)
		return nil
	})
}

// recoverUnrecorded removes what there may be of a container, whose record is r if
// there is one.
func (e *Room) recoverUnrecorded(p *state.Pending, r *state.Record) error {
	if p.Name == "" {
		p.Name = e.State.NameOf(p.ID)
	}
	if err := e.RemoveGroup(p.Cgroup); err != nil {
		return err // something of it may run
	}
	err := errors.Join(e.leave(p, r), e.discard(p.ID, p.Name, p.Remove), e.Snapshots.Sweep(p.ID))
	if err == nil && !p.Removal { // nobody has seen what was in them
		err = e.Volumes.Remove(p.ID)
	}
	return err
}

// leave takes back what a start that was cut off may have of sandboxes.
func (e *Room) leave(p *state.Pending, r *state.Record) error {
	err := e.Sandboxes.Release(p.ID, nil)
	if r != nil {
		err = errors.Join(err, e.Sandboxes.Leave(r, nil))
	}
	return err
}

// recoverKept makes a container whose start was cut off what it was before.
func (e *Room) recoverKept(p *state.Pending, r *state.Record) error {
	if r.Exited || r.Proc.Pid == 0 {
		return errors.Join(e.RemoveGroup(p.Cgroup), e.leave(p, r)) // the start did not get as far as the record
	}
	if p.Started {
		return nil // its end is to be written down: whoever looks at it does
	}
	if err := r.Proc.Kill(); err != nil {
		return err
	}
	if err := errors.Join(e.RemoveGroup(p.Cgroup), e.leave(p, r)); err != nil {
		return err
	}
	r.CutOff()
	return e.putAway(r)
}

// recoverEnded writes down that a container has ended.
func (e *Room) recoverEnded(r *state.Record) error {
	if r.Keeper.Pid != 0 || r.Exited {
		return nil // its end is to be written down: whoever looks at it does
	}
	if err := e.seeEnd(r); err != nil {
		return err
	}
	_, err := e.settle(r, state.Proc{})
	return err
}

// seeEnd adds to the record what there is to see of an end. Load would take the
// slot, which this process holds, for that of a command that is cleaning up.
func (e *Room) seeEnd(r *state.Record) error {
	noted, err := e.State.ReadEnd(r)
	if err == nil && !noted {
		r.Unseen()
	}
	return err
}

// warn tells of what stops nothing.
func (e *Room) warn(err error) {
	if err != nil && e.Warn != nil {
		e.Warn(err.Error())
	}
}
