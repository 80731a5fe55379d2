package ground

import (
	"github.com/tare-engine/tare/internal/state"
	"github.com/tare-engine/tare/internal/state/events"
)

// Note writes an event of a container into the journal; attrs are attributes
// besides image, name and labels, name and value in turns. An event that
// cannot be written stops nothing: what it tells of has happened.
func (g *Ground) Note(action string, r *state.Record, attrs ...string) {
	g.Journal(events.OfContainer(action, r.ID, r.Name, r.Image, r.Labels, attrs...))
}

// Journal writes an event. One that cannot be written is a warning.
func (g *Ground) Journal(ev *events.Event) {
	if err := g.Events.Append(ev); err != nil && g.Warn != nil {
		g.Warn(err.Error())
	}
}
