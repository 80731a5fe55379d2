package state

import "github.com/tare-engine/tare/internal/lib/fault"

// Status is where a container is in its life.
type Status uint8

// The states, with Docker's names.
const (
	Created    Status = iota // never started
	Active                   // its program runs
	Paused                   // and is frozen
	Restarting               // ended; its policy starts it again in a moment
	Exited                   // ended
	Removing                 // being removed
	Dead                     // to be removed, and could not be; or its record is damaged
)

func (s Status) String() string {
	return [...]string{"created", "running", "paused", "restarting", "exited", "removing", "dead"}[s]
}

// Running reports whether there is a process: also a frozen one.
func (s Status) Running() bool { return s == Active || s == Paused }

// Action is what happens to a container, or is asked for.
type Action uint8

// The actions.
const (
	Start   Action = iota // somebody starts it
	Signal                // a signal is sent
	Stop                  // stop signal, wait, SIGKILL
	Pause                 //
	Unpause               //
	End                   // its program has ended, for good
	Retry                 // its program has ended, and will be started again
	Remove                // without force
	Enter                 // a process joins it
	Attach                // a client joins its streams
)

// no is a transition that is refused, and why.
type no string

const (
	notRunning  no = "container is not running"
	running     no = "container is running"
	paused      no = "container is paused"
	beingBorn   no = "container is being restarted: wait until it runs"
	beingBuried no = "container is being removed"
)

// transitions says what follows an action: the new Status, or the reason why
// it cannot be. A row has an entry for each Status, in their order.
var transitions = [...][7]any{
	//        Created     Active      Paused      Restarting  Exited      Removing     Dead
	Start:   {Active, Active, paused, Active, Active, beingBuried, beingBuried},
	Signal:  {notRunning, Active, Paused, beingBorn, notRunning, notRunning, notRunning},
	Stop:    {Created, Exited, Exited, Exited, Exited, beingBuried, beingBuried},
	Pause:   {notRunning, Paused, no("container is already paused"), beingBorn, notRunning, notRunning, notRunning},
	Unpause: {notRunning, no("container is not paused"), Active, notRunning, notRunning, notRunning, notRunning},
	End:     {Exited, Exited, Exited, Exited, Exited, Removing, Dead},
	Retry:   {Restarting, Restarting, Restarting, Restarting, Restarting, Removing, Dead},
	Remove:  {Removing, running, paused, no("container is restarting"), Removing, Removing, Removing},
	Enter:   {notRunning, Active, paused, beingBorn, notRunning, notRunning, notRunning},
	Attach:  {notRunning, Active, paused, beingBorn, notRunning, notRunning, notRunning},
}

// After returns the state that follows an action in state s, or why it cannot
// be: a Conflict.
func (s Status) After(a Action) (Status, error) {
	switch t := transitions[a][s].(type) {
	case Status:
		return t, nil
	case no:
		return s, fault.New(fault.Conflict, "%s", string(t))
	}
	return s, fault.New(fault.Internal, "container: no transition %d from %s", a, s)
}
