package system

import (
	"context"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/state/events"
)

// Event is what has happened to a container or an image, in Docker's form.
type Event = events.Event

// EventOptions choose events.
type EventOptions struct {
	Since time.Time // zero: only what is to come, unless Until is set
	Until time.Time // zero: without end
	api.Filters
}

// Events calls each with events, the line that holds one as JSON included, as
// they come; it returns at o.Until, with an error of each, and without one at
// the end of ctx.
func (sy *Room) Events(ctx context.Context, o EventOptions, each func(ev *Event, line []byte) error) error {
	if err := o.Only("container", "daemon", "event", "image", "label", "network", "plugin", "scope", "type", "volume"); err != nil {
		return err
	}
	return sy.Ground.Events.Read(ctx, events.Query{Since: o.Since, Until: o.Until, Match: o.match}, each)
}

// match is Docker's: containers by a prefix of name or ID, images with and
// without their tag.
func (o *EventOptions) match(ev *Event) bool {
	a := ev.Actor
	action, _, _ := strings.Cut(ev.Action, ":") // "exec_start: ls" is an exec_start too
	return (o.Exact("event", ev.Action) || o.Exact("event", action)) &&
		o.Exact("type", ev.Type) && o.Exact("scope", ev.Scope) && !o.Has("daemon") && !o.Has("plugin") &&
		o.object(events.Container, ev) && o.object(events.Volume, ev) && o.object(events.Network, ev) &&
		o.image(ev) && o.Labels("label", a.Attributes)
}

func (o *EventOptions) object(kind string, ev *Event) bool {
	return !o.Has(kind) || ev.Type == kind && (o.Prefix(kind, ev.Actor.ID) || o.Prefix(kind, ev.Actor.Attributes["name"]))
}

func (o *EventOptions) image(ev *Event) bool {
	if !o.Has("image") {
		return true
	}
	name := ev.Actor.Attributes["image"]
	if ev.Type == events.Image {
		name = ev.Actor.Attributes["name"]
	}
	r, err := reference.Parse(name)
	return o.Exact("image", ev.Actor.ID) || o.Exact("image", name) ||
		err == nil && (o.Exact("image", r.FamiliarName()) || o.Exact("image", r.Familiar()))
}
