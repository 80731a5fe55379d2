package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tare-engine/tare/engine"
)

func eventsCommand() Command {
	return Command{
		Name: "events", Aliases: []string{"system events"}, Short: "Print what happens to containers and images, as it happens",
		Example: "tare events --since 1h --until 0s\ntare events --filter event=die --format '{{.Actor.Attributes.name}}'",
		Flags:   eventsFlags, Complete: CompleteNothing,
		New: func() Action { return &eventsAction{} },
	}
}

var eventsFlags = []Flag{
	{Name: "filter", Short: 'f', Value: "filter", Usage: "Print only what matches: container, event, image, label or type (event=die)"},
	{Name: "format", Value: "string", Usage: "Format of the output: json or a template of {{.Name}}"},
	{Name: "since", Value: "time", Usage: "Begin with the events since then (a time, or 10m for ten minutes ago)"},
	{Name: "until", Value: "time", Usage: "Stop at that time"},
}

type eventsAction struct {
	o      engine.EventOptions
	format string
}

func (a *eventsAction) Set(flag, v string) (err error) {
	switch flag {
	case "filter":
		return a.o.Add(v)
	case "format":
		a.format = v
	case "since":
		a.o.Since, err = ParseWhen(v, time.Now())
	case "until":
		a.o.Until, err = ParseWhen(v, time.Now())
	}
	return err
}

func (a *eventsAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	asJSON := a.format == "json" || a.format == "{{json .}}"
	var fill func(any) (string, error)
	if a.format != "" && !asJSON {
		var err error
		if fill, err = app.Compile(a.format); err != nil {
			return 0, err
		}
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return 0, e.Events(ctx, a.o, func(ev *engine.Event, text []byte) error {
		var s string
		var err error
		switch {
		case asJSON:
			s = string(text)
		case fill != nil:
			s, err = fill(ev)
		default:
			s = eventLine(ev)
		}
		if err == nil {
			_, err = app.Stdout.WriteString(s + "\n")
		}
		return err
	})
}

// eventLine is an event as Docker prints it.
func eventLine(ev *engine.Event) string {
	var b strings.Builder
	b.WriteString(ev.When().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + ev.Type + " " + ev.Action + " " + ev.Actor.ID)
	for i, k := range slices.Sorted(maps.Keys(ev.Actor.Attributes)) {
		if i == 0 {
			b.WriteString(" (")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(k + "=" + ev.Actor.Attributes[k])
	}
	if len(ev.Actor.Attributes) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}
