package cli

import (
	"context"
	"errors"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func rmCommand() Command {
	return Command{
		Name: "rm", Aliases: []string{"container rm", "container remove"}, Args: "CONTAINER [CONTAINER...]", Short: "Remove containers",
		Flags: rmFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &rmAction{} },
	}
}

var rmFlags = []flags.Flag{
	{Name: "force", Short: 'f', Usage: "Kill a container that runs", Set: func(a any, v string) error { return flags.Bool(&a.(*rmAction).force, v) }},
	{Name: "volumes", Short: 'v', Usage: "Remove its anonymous volumes too", Set: func(a any, v string) error { return flags.Bool(&a.(*rmAction).volumes, v) }},
}

type rmAction struct{ force, volumes bool }

func (r *rmAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return parallelArgs(app, "rm", args, func(arg string) error {
		_, err := e.Containers.Remove(ctx, arg, r.force, r.volumes)
		if r.force && fault.KindOf(err) == fault.NotFound {
			app.Warn("rm: " + arg + ": " + err.Error())
			return errSaid // as docker rm -f: it is gone, and that was wanted
		}
		return err
	})
}

// errSaid says that there is nothing more to say, and nothing to print.
var errSaid = errors.New("said")

// EachArg does all that can be done, says what could not, and gives 1 then.
func EachArg(app *App, where string, args []string, do func(string) error) (int, error) {
	code := 0
	for _, arg := range args {
		if err := do(arg); err != nil && !errors.Is(err, errSaid) {
			code = app.fail(exitError, where, Within(arg, err))
		}
	}
	return code, nil
}
