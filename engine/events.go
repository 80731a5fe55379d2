package engine

import (
	"strconv"

	"github.com/tare-engine/tare/events"
	"github.com/tare-engine/tare/state"
)

// note writes an event of a container into the journal; attrs are attributes
// besides image, name and labels, name and value in turns. An event that
// cannot be written stops nothing: what it tells of has happened.
func (e *Engine) note(action string, r *state.Record, attrs ...string) {
	e.journal(events.OfContainer(action, r.ID, r.Name, r.Image, r.Labels, attrs...))
}

// noteEnd writes the events of an end.
func (e *Engine) noteEnd(r *state.Record) {
	if r.OOM {
		e.note("oom", r)
	}
	e.note("die", r, "exitCode", strconv.Itoa(r.ExitCode))
}

// noteImage is note for an image.
func (e *Engine) noteImage(action, id, name string) {
	e.journal(events.OfImage(action, id, name, nil))
}

func (e *Engine) journal(ev *events.Event) {
	if err := e.events.Append(ev); err != nil && e.opt.Warn != nil {
		e.opt.Warn(err.Error())
	}
}
