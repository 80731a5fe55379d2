package state

import (
	"time"

	"github.com/tare-engine/tare/internal/lib/exit"
)

// seenOff bounds the wait for a keeper that has its container's end before
// it, and is about to note it.
const seenOff = 100 * time.Millisecond

// Load reads the record of a full id and completes it with what has happened
// since it was written: the status is the truth of this moment, whoever
// started the container and whoever of them was killed. Paused is what the
// record says; the cgroup knows better.
//
// The record of a container that has ended unseen says so in memory only:
// Unsettled tells.
func (s *Store) Load(id string) (*Record, Status, error) {
	r, err := s.Get(id)
	if err != nil {
		return nil, Dead, err
	}
	deadline := time.Time{}
	for {
		st, sure, err := s.look(r)
		if err != nil {
			return nil, Dead, err
		}
		if sure {
			return r, st, nil
		}
		// Between our two looks it may have been written down, or removed.
		again, err := s.Get(id)
		if err != nil {
			return nil, Dead, err
		}
		same := again.Proc == r.Proc && again.Exited == r.Exited && again.Keeper == r.Keeper
		r = again
		if !same {
			continue
		}
		if r.Keeper.Look() == Gone {
			r.Unseen()
			return r, Exited, nil
		}
		switch {
		case deadline.IsZero():
			deadline = time.Now().Add(seenOff)
		case time.Now().After(deadline):
			return r, Active, nil // a stopped keeper: nobody has seen the end yet
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// look is the status as far as one look tells; sure is false for a process
// that is gone and whose end is nowhere.
func (s *Store) look(r *Record) (st Status, sure bool, err error) {
	switch {
	case r.Removing:
		return Removing, true, nil
	case r.Exited && !r.RestartAt.IsZero() && ThisBoot(r.Keeper.Boot):
		return Restarting, true, nil
	case r.Exited:
		return Exited, true, nil
	case r.Proc.Pid == 0:
		return Created, true, nil
	case r.Proc.Look() != Gone:
		if r.Paused {
			return Paused, true, nil
		}
		return Active, true, nil
	}
	switch noted, err := s.ReadEnd(r); {
	case err != nil || noted:
		return Exited, true, err
	case r.Keeper.Pid == 0 && s.Underway(r.ID):
		return Removing, true, nil // in the foreground, and its command is cleaning up
	}
	return Exited, false, nil
}

// Unseen notes that nobody saw the end.
func (r *Record) Unseen() {
	r.End(exit.Seen{Pid: r.Proc.Pid, Start: r.Proc.Start, Code: exit.NoCode}, 0, r.Finished)
}

// Unsettled reports whether a container with status st, as Load has it, wants
// somebody to see to it, because whoever was to do it has been killed. What
// the machine took down with it waits for somebody to start it.
func (r *Record) Unsettled(st Status) bool {
	if r.Keeper.Pid != 0 && !ThisBoot(r.Keeper.Boot) {
		return false
	}
	switch st {
	case Created, Dead:
		return false
	case Removing:
		return r.Removing
	case Exited:
		// On disk it still runs: nothing of it has been cleaned up.
		return r.Keeper.Pid != 0 && r.Keeper.Look() == Gone
	case Active, Paused, Restarting:
		return r.Keeper.Pid != 0 && r.Keeper.Look() == Gone
	}
	return false
}
