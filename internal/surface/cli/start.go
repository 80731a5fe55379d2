package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/container/stdio/signals"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func createCommand() Command {
	return Command{
		Name: "create", Aliases: []string{"container create"}, Args: "IMAGE [COMMAND] [ARG...]", Short: "Create a container without starting it",
		Example: "tare create --name web -m 64m tare/base httpd -f\ntare start web",
		// What the others are about is who is there while it runs.
		Flags: runFlags, Without: []string{"detach", "detach-keys", "plan", "sig-proxy"}, Stop: true, MaxArgs: -1, Complete: CompleteImages,
		New: func() Action { r := newRun(); r.create = true; return r },
	}
}

func startCommand() Command {
	return Command{
		Name: "start", Aliases: []string{"container start"}, Args: "CONTAINER [CONTAINER...]", Short: "Start containers that do not run",
		Flags: startFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"created", "exited"},
		New: func() Action { return &startAction{sigProxy: true} },
	}
}

var startFlags = []flags.Flag{
	{
		Name: "attach", Short: 'a', Usage: "Show what it writes, forward signals, and end with its exit code",
		Set: func(a any, v string) error { return flags.Bool(&a.(*startAction).attach, v) },
	},
	{
		Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the container goes on", Default: stdio.DefaultDetachKeys,
		Set: func(a any, v string) error { return setDetachKeys(&a.(*startAction).keys, v) },
	},
	{Name: "interactive", Short: 'i', Usage: "Attach standard input", Set: func(a any, v string) error { return flags.Bool(&a.(*startAction).stdin, v) }},
	{
		Name: "sig-proxy", Usage: "Forward the signals that tare gets", Default: "true",
		Set: func(a any, v string) error { return flags.Bool(&a.(*startAction).sigProxy, v) },
	},
}

type startAction struct {
	attach, stdin, sigProxy bool
	keys                    string
}

func (s *startAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	attach := s.attach || s.stdin
	if attach && len(args) > 1 {
		return exitError, fault.New(fault.Invalid, "you cannot start and attach multiple containers at once")
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	if !attach {
		return EachArg(app, "start", args, func(arg string) error {
			_, err := e.Containers.Begin(ctx, &containers.Request{Ref: arg, Warn: app.warning, Passed: containers.ListenFDs()})
			if err == nil {
				app.Print(arg + "\n")
			}
			return err
		})
	}
	o := app.attach(s.stdin, s.sigProxy)
	o.Keys = s.keys
	b, err := e.Containers.Begin(ctx, &containers.Request{Ref: args[0], Attach: o, Warn: app.warning, Passed: containers.ListenFDs()})
	if err != nil {
		return exitError, Within(args[0], err)
	}
	code, err := b.Wait(ctx, o)
	if errors.Is(err, stdio.ErrDetached) {
		return 0, nil
	}
	return code, Within(args[0], err)
}

func attachCommand() Command {
	return Command{
		Name: "attach", Aliases: []string{"container attach"}, Args: "CONTAINER", Short: "Connect the terminal with a running container",
		Flags: attachFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return &attachAction{sigProxy: true} },
	}
}

var attachFlags = []flags.Flag{
	{
		Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the container goes on", Default: stdio.DefaultDetachKeys,
		Set: func(a any, v string) error { return setDetachKeys(&a.(*attachAction).keys, v) },
	},
	{Name: "no-stdin", Usage: "Do not attach standard input", Set: func(a any, v string) error { return flags.Bool(&a.(*attachAction).noStdin, v) }},
	{
		Name: "sig-proxy", Usage: "Forward the signals that tare gets", Default: "true",
		Set: func(a any, v string) error { return flags.Bool(&a.(*attachAction).sigProxy, v) },
	},
}

type attachAction struct {
	noStdin, sigProxy bool
	keys              string
}

func (a *attachAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	o := app.attach(!a.noStdin, a.sigProxy)
	o.Keys = a.keys
	code, err := e.Containers.Attach(ctx, args[0], o)
	return code, Within(args[0], err)
}

// attach connects this process with a container.
func (app *App) attach(stdin, sigProxy bool) *containers.AttachOptions {
	return &containers.AttachOptions{Streams: app.streams(stdin, sigProxy), Warn: app.warning}
}

// streams are those of this process, and its signals: with sigProxy those that
// it gets are the container's.
func (app *App) streams(stdin, sigProxy bool) stdio.Streams {
	s := stdio.Streams{
		Out: app.Stdout, Err: app.Stderr,
		Signals: func(tty bool) (stdio.Signals, error) { return signals.Catch(sigProxy, tty) },
	}
	if stdin {
		s.In = app.Stdin
	}
	return s
}

// warning prints one line that begins with "warning:".
func (app *App) warning(text string) { app.Warn("warning: " + text) }

// oneOf refuses a value that is none of those.
func oneOf(v string, values ...string) error {
	if slices.Contains(values, v) {
		return nil
	}
	text := ""
	for i, w := range values {
		if i > 0 {
			text += ", "
		}
		text += w
	}
	return fault.New(fault.Invalid, "not one of %s", text)
}

// parseTimeout reads a duration; a number is seconds.
func parseTimeout(v string) (int64, error) {
	d, err := time.ParseDuration(v)
	if n, nerr := strconv.ParseInt(v, 10, 32); nerr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return 0, fault.New(fault.Invalid, "not a duration: %q", v)
	}
	return int64(d), nil
}
