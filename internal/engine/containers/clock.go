package containers

import (
	"time"

	"github.com/tare-engine/tare/internal/state"
)

// restartIn is the wait before a container's next start, whatever has become
// of the clock.
func restartIn(r *state.Record, now time.Time) time.Duration {
	return min(max(0, r.RestartAt.Sub(now)), time.Duration(r.Backoff), lastBackoff)
}
