package cli

import (
	"context"

	"github.com/tare-engine/tare/engine"
)

// execHelperCommand is what the engine runs of this program to look after a
// command in a container that its caller may leave.
func execHelperCommand() Command {
	return Command{
		Name: engine.ExecHelper, Hidden: true, Stop: true, MinArgs: 1, MaxArgs: 1, Complete: CompleteNothing,
		New: func() Action { return execHelper{} },
	}
}

type execHelper struct{}

func (execHelper) Set(string, string) error { return nil }

func (execHelper) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.engineAsCaller()
	if err != nil {
		return exitError, err
	}
	return e.Containers.HelpExec(ctx, args[0])
}
