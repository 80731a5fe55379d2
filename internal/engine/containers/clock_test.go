package containers

import (
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/state"
)

// TestClockJumps: a clock that is set while containers run ends none, and
// keeps none from starting again.
func TestClockJumps(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, tt := range []struct {
		name string
		now  time.Time
		want time.Duration
	}{
		{"as it should be", at.Add(-300 * time.Millisecond), 300 * time.Millisecond},
		{"late", at.Add(time.Second), 0},
		{"set back a year", at.AddDate(-1, 0, 0), 400 * time.Millisecond},
		{"set forward a year", at.AddDate(1, 0, 0), 0},
	} {
		r := state.Record{RestartAt: at, Backoff: int64(400 * time.Millisecond)}
		if got := restartIn(&r, tt.now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	r := state.Record{Started: at, Finished: at.AddDate(-1, 0, 0)}
	if got := backoff(firstBackoff, r.Finished.Sub(r.Started)); got != 2*firstBackoff {
		t.Errorf("a run that took less than no time: %v", got)
	}
}
