package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/engine/system"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func eventsCommand() Command {
	return Command{
		Name: "events", Aliases: []string{"system events"}, Short: "Print what happens to containers and images, as it happens",
		Example: "tare events --since 1h --until 0s\ntare events --filter event=die --format '{{.Actor.Attributes.name}}'",
		Flags:   eventsFlags, Complete: CompleteNothing,
		New: func() Action { return &eventsAction{} },
	}
}

var eventsFlags = []flags.Flag{
	{
		Name: "filter", Short: 'f', Value: "filter", Usage: "Print only what matches: container, event, image, label or type (event=die)",
		Set: func(a any, v string) error { return a.(*eventsAction).o.Add(v) },
	},
	{
		Name: "format", Value: "string", Usage: "Format of the output: json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*eventsAction).format, v) },
	},
	{
		Name: "since", Value: "time", Usage: "Begin with the events since then (a time, or 10m for ten minutes ago)",
		Set: func(a any, v string) error { return flags.Set(&a.(*eventsAction).o.Since, v, sinceNow) },
	},
	{Name: "until", Value: "time", Usage: "Stop at that time", Set: func(a any, v string) error { return flags.Set(&a.(*eventsAction).o.Until, v, sinceNow) }},
}

type eventsAction struct {
	o      system.EventOptions
	format string
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
	return 0, e.System.Events(ctx, a.o, func(ev *system.Event, text []byte) error {
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
func eventLine(ev *system.Event) string {
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
