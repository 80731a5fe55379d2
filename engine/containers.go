package engine

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/logs"
	"github.com/tare-engine/tare/state"
)

// removeTimeout bounds the wait for a cgroup's last processes to die.
const removeTimeout = 10 * time.Second

func summary(r *state.Record) ContainerSummary {
	s := ContainerSummary{
		ID: r.ID, Name: r.Name, Image: r.Image, ImageID: r.ImageID, Command: r.Command,
		Created: r.Created, Started: r.Started, Finished: r.Finished, ExitCode: r.ExitCode, Labels: r.Labels,
	}
	switch {
	case r.Exited:
		s.Status = StatusExited
	case r.Proc.Pid == 0:
		s.Status = StatusCreated
	case r.Proc.Look() == state.Gone:
		// Whoever ran it was killed before it could write the exit code down.
		s.Status, s.ExitCode = StatusExited, -1
	default:
		s.Status, s.Pid = StatusRunning, r.Proc.Pid
	}
	return s
}

// Remove removes a container by name, ID or unique ID prefix and returns its
// full ID. A running one is a Conflict unless force is set.
func (cs *Containers) Remove(_ context.Context, ref string, force bool) (string, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return "", err
	}
	r, err := e.state.Get(id)
	if err != nil && force && fault.KindOf(err) != fault.NotFound {
		// Nothing is known of it but the id.
		name := e.state.NameOf(id)
		return id, errors.Join(e.removeGroup(cgroupParent+"/"+id), e.discard(id, name, false), e.discard(id, name, true))
	}
	if err != nil {
		return "", err
	}
	if !r.Exited && r.Proc.Look() != state.Gone {
		if !force {
			return "", fault.WithHint(fault.New(fault.Conflict, "container is running"), "use -f to kill it")
		}
		if err := r.Proc.Kill(); err != nil {
			return "", err
		}
		e.note("kill", r, "signal", "9")
	}
	return id, e.remove(r)
}

// remove takes away everything of a container that does not run.
func (e *Engine) remove(r *state.Record) error {
	err := errors.Join(e.removeGroup(r.Cgroup), e.discard(r.ID, r.Name, r.Remove))
	if err == nil {
		e.note("destroy", r)
	}
	return err
}

// discard removes the writable layer, the records and the name.
func (e *Engine) discard(id, name string, remove bool) error {
	if err := e.snapshots.Remove(id); err != nil {
		return err
	}
	return errors.Join(e.state.RemoveExecs(id), logs.Remove(e.logDir(id)), e.state.Delete(id, name, remove))
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

// recover undoes starts whose process died before the container ran. One that
// runs is left alone: it is listed as running, and can be removed.
func (e *Engine) recover() error {
	return e.state.CutOff(func(p *state.Pending) error {
		r, err := e.state.Get(p.ID)
		switch {
		case err == nil && r.Proc.Look() == state.Running:
			return e.snapshots.Sweep(p.ID)
		case err == nil && p.Started && !p.Remove:
			// It ran and ended with nobody to see it: it stays, as exited.
			return errors.Join(e.removeGroup(p.Cgroup), e.snapshots.Sweep(p.ID))
		case err == nil:
			if kerr := r.Proc.Kill(); kerr != nil {
				return kerr
			}
			p.Name = r.Name
		case fault.KindOf(err) != fault.NotFound:
			return err
		}
		if p.Name == "" {
			p.Name = e.state.NameOf(p.ID)
		}
		return errors.Join(e.removeGroup(p.Cgroup), e.discard(p.ID, p.Name, p.Remove), e.snapshots.Sweep(p.ID))
	})
}
