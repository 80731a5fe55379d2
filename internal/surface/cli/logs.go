package cli

import (
	"context"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func logsCommand() Command {
	return Command{
		Name: "logs", Aliases: []string{"container logs"}, Args: "CONTAINER", Short: "Print what a container has written",
		Example: "tare logs -f --tail 10 web\ntare logs -t --since 10m --until 5m web",
		Flags:   logsFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteContainers,
		New: func() Action { return &logsAction{LogOptions: containers.LogOptions{Tail: -1}} },
	}
}

var logsFlags = []flags.Flag{
	{
		Name: "details", Usage: "Begin lines with the attributes of --log-opt tag, labels and env",
		Set: func(a any, v string) error { return flags.Bool(&a.(*logsAction).Details, v) },
	},
	{
		Name: "follow", Short: 'f', Usage: "Go on with what is written from now on, until the container has ended",
		Set: func(a any, v string) error { return flags.Bool(&a.(*logsAction).Follow, v) },
	},
	{
		Name: "since", Value: "time", Usage: "From this time on (2026-01-02T13:23:37Z, or 42m for so long ago)",
		Set: func(a any, v string) error { return flags.Set(&a.(*logsAction).Since, v, sinceNow) },
	},
	{
		Name: "tail", Short: 'n', Value: "lines", Usage: "Only the last lines", Default: "all",
		Set: func(a any, v string) error {
			l := a.(*logsAction)
			l.Tail = -1 // as Docker: what is no number is all
			if n, err := strconv.Atoi(v); err == nil && n >= 0 {
				l.Tail = n
			}
			return nil
		},
	},
	{
		Name: "timestamps", Short: 't', Usage: "Begin lines with the time at which they came",
		Set: func(a any, v string) error { return flags.Bool(&a.(*logsAction).Timestamps, v) },
	},
	{
		Name: "until", Value: "time", Usage: "Up to this time (2026-01-02T13:23:37Z, or 42m for so long ago)",
		Set: func(a any, v string) error { return flags.Set(&a.(*logsAction).Until, v, sinceNow) },
	},
}

type logsAction struct{ containers.LogOptions }

func (l *logsAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	l.Out, l.Err = app.Stdout, app.Stderr
	l.Lost = func(n uint64, at time.Time) {
		app.Warn("logs: " + args[0] + ": " + strconv.FormatUint(n, 10) + " bytes lost at " +
			at.UTC().Format(time.RFC3339Nano) + ": the log could not be written")
	}
	err = e.Containers.Logs(ctx, args[0], &l.LogOptions)
	if errors.Is(err, unix.EPIPE) {
		return 0, nil // nobody reads any more
	}
	return 0, Within(args[0], err)
}
