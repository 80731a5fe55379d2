package cli

import (
	"context"
	"strconv"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// The commands that change what containers do, each a row: they differ in
// flags and in what they call.

func stopCommand() Command {
	return Command{
		Name: "stop", Aliases: []string{"container stop"}, Args: "CONTAINER [CONTAINER...]", Short: "Stop containers: stop signal, then SIGKILL",
		Flags: stopFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running", "paused", "restarting"},
		New: func() Action { return &stopAction{} },
	}
}

func restartCommand() Command {
	return Command{
		Name: "restart", Aliases: []string{"container restart"}, Args: "CONTAINER [CONTAINER...]", Short: "Stop containers and start them again",
		Flags: stopFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &stopAction{restart: true} },
	}
}

var stopFlags = []flags.Flag{
	{
		Name: "signal", Short: 's', Value: "signal", Usage: "Signal to send first, instead of the container's stop signal",
		Set: func(a any, v string) error { return flags.String(&a.(*stopAction).o.Signal, v) },
	},
	{
		Name: "time", Short: 't', Value: "seconds", Usage: "Time before SIGKILL, instead of the container's; -1 is for ever", Default: "10",
		Set: func(a any, v string) error { return flags.SetNew(&a.(*stopAction).o.Timeout, v, parseSeconds) },
	},
	{
		Name: "timeout", Value: "seconds", Usage: "The same as --time", Hidden: true,
		Set: func(a any, v string) error { return flags.SetNew(&a.(*stopAction).o.Timeout, v, parseSeconds) },
	},
}

type stopAction struct {
	restart bool
	o       containers.StopOptions
}

func (s *stopAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	if s.o.Signal != "" {
		if _, err := containers.ParseSignal(s.o.Signal); err != nil {
			return exitError, err
		}
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	name, do := "stop", e.Containers.Stop
	if s.restart {
		name, do = "restart", e.Containers.Restart
	}
	return parallelArgs(app, name, args, func(arg string) error { return do(ctx, arg, s.o) })
}

func killCommand() Command {
	return Command{
		Name: "kill", Aliases: []string{"container kill"}, Args: "CONTAINER [CONTAINER...]", Short: "Send a signal to running containers",
		Flags: killFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running", "paused"},
		New: func() Action { return &killAction{} },
	}
}

var killFlags = []flags.Flag{
	{
		Name: "signal", Short: 's', Value: "signal", Usage: "Signal to send: a name or a number", Default: "KILL",
		Set: func(a any, v string) error { return flags.String(&a.(*killAction).signal, v) },
	},
}

type killAction struct{ signal string }

func (k *killAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	if k.signal != "" {
		if _, err := containers.ParseSignal(k.signal); err != nil {
			return exitError, err
		}
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return parallelArgs(app, "kill", args, func(arg string) error { return e.Containers.Kill(ctx, arg, k.signal) })
}

func pauseCommand() Command {
	return Command{
		Name: "pause", Aliases: []string{"container pause"}, Args: "CONTAINER [CONTAINER...]", Short: "Freeze every process of containers",
		MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return plain("pause", (*containers.Room).Pause) },
	}
}

func unpauseCommand() Command {
	return Command{
		Name: "unpause", Aliases: []string{"container unpause"}, Args: "CONTAINER [CONTAINER...]", Short: "Let frozen containers go on",
		MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"paused"},
		New: func() Action { return plain("unpause", (*containers.Room).Unpause) },
	}
}

func waitCommand() Command {
	return Command{
		Name: "wait", Aliases: []string{"container wait"}, Args: "CONTAINER [CONTAINER...]", Short: "Wait until containers end, and print their exit codes",
		MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running", "paused", "restarting"},
		New: func() Action { return waitAction{} },
	}
}

// plainAction is a command without flags that does one thing to each of its
// arguments.
type plainAction struct {
	name string
	do   func(*containers.Room, string) error
}

func plain(name string, do func(*containers.Room, string) error) Action {
	return &plainAction{name, do}
}

func (p *plainAction) Run(_ context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return parallelArgs(app, p.name, args, func(arg string) error { return p.do(e.Containers, arg) })
}

type waitAction struct{}

func (waitAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return EachArg(app, "wait", args, func(arg string) error {
		code, err := e.Containers.Wait(ctx, arg, app.warning)
		if err == nil {
			app.Print(strconv.Itoa(code) + "\n")
		}
		return err
	})
}

// parallelWidth is how many containers a command works on at once: their ends
// are waits, for the kernel and for each other's.
const parallelWidth = 8

// parallelArgs is EachArg with several at once. What it prints is in the order
// of the arguments; each container's name when it is done.
func parallelArgs(app *App, where string, args []string, do func(string) error) (int, error) {
	errs := make([]error, len(args))
	done := make([]chan struct{}, len(args))
	room := make(chan struct{}, parallelWidth)
	for i := range args {
		done[i] = make(chan struct{})
	}
	go func() {
		for i, arg := range args {
			room <- struct{}{}
			go func() {
				errs[i] = do(arg)
				close(done[i])
				<-room
			}()
		}
	}()
	i := -1
	return EachArg(app, where, args, func(arg string) error {
		i++
		<-done[i]
		if errs[i] == nil {
			app.Print(arg + "\n")
		}
		return errs[i]
	})
}
