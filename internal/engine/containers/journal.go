package containers

import (
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/state"
)

// noteEnd writes the events of an end.
func (e *Room) noteEnd(r *state.Record) {
	if r.OOM {
		e.Note("oom", r)
	}
	attrs := []string{"exitCode", strconv.Itoa(r.ExitCode)}
	if len(r.Receipt) > 0 {
		seconds := int64(max(0, r.Finished.Sub(r.Started)) / time.Second)
		attrs = append(attrs, "execDuration", strconv.FormatInt(seconds, 10), "receipt", string(r.Receipt))
	}
	e.Note("die", r, attrs...)
}
