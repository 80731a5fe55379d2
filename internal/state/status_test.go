package state

import (
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

var statuses = []Status{Created, Active, Paused, Restarting, Exited, Removing, Dead}

// TestTransitions: the table has an answer for everything, and what it says
// is what Docker does.
func TestTransitions(t *testing.T) {
	for a := Start; a <= Attach; a++ {
		for _, s := range statuses {
			next, err := s.After(a)
			if err != nil && (fault.KindOf(err) != fault.Conflict || next != s) {
				t.Errorf("action %d in %s: %v, state %s", a, s, err, next)
			}
		}
	}
	for _, tt := range []struct {
		s    Status
		a    Action
		next Status
		err  string
	}{
		{Created, Start, Active, ""},
		{Active, Start, Active, ""},
		{Paused, Start, Paused, "container is paused"},
		{Restarting, Start, Active, ""},
		{Exited, Stop, Exited, ""},
		{Paused, Stop, Exited, ""},
		{Exited, Signal, Exited, "container is not running"},
		{Active, Pause, Paused, ""},
		{Paused, Pause, Paused, "container is already paused"},
		{Active, Unpause, Active, "container is not paused"},
		{Active, Remove, Active, "container is running"},
		{Paused, Remove, Paused, "container is paused"},
		{Exited, Remove, Removing, ""},
		{Removing, Remove, Removing, ""},
		{Paused, Enter, Paused, "container is paused"},
		{Active, End, Exited, ""},
		{Active, Retry, Restarting, ""},
		{Removing, End, Removing, ""},
	} {
		next, err := tt.s.After(tt.a)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if next != tt.next || text != tt.err {
			t.Errorf("%s, action %d: %s and %q, want %s and %q", tt.s, tt.a, next, text, tt.next, tt.err)
		}
	}
}
