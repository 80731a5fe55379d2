package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
)

func createCommand() Command {
	return Command{
		Name: "create", Aliases: []string{"container create"}, Args: "IMAGE [COMMAND] [ARG...]", Short: "Create a container without starting it",
		Example: "tare create --name web -m 64m tare/base httpd -f\ntare start web",
		Flags:   createFlags(), Stop: true, MaxArgs: -1, Complete: CompleteImages,
		New: func() Action { r := newRun(); r.create = true; return r },
	}
}

// createFlags are those of run that are not about being there.
func createFlags() []Flag {
	return slices.DeleteFunc(slices.Clone(runFlags), func(f Flag) bool {
		switch f.Name {
		case "detach", "detach-keys", "plan", "sig-proxy":
			return true
		}
		return false
	})
}

func startCommand() Command {
	return Command{
		Name: "start", Aliases: []string{"container start"}, Args: "CONTAINER [CONTAINER...]", Short: "Start containers that do not run",
		Flags: startFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"created", "exited"},
		New: func() Action { return &startAction{sigProxy: true} },
	}
}

var startFlags = []Flag{
	{Name: "attach", Short: 'a', Usage: "Show what it writes, forward signals, and end with its exit code"},
	{Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the container goes on", Default: monitor.DefaultDetachKeys},
	{Name: "interactive", Short: 'i', Usage: "Attach standard input"},
	{Name: "sig-proxy", Usage: "Forward the signals that tare gets", Default: "true"},
}

type startAction struct {
	attach, stdin, sigProxy bool
	keys                    string
}

func (s *startAction) Set(flag, v string) error {
	switch flag {
	case "attach":
		return SetBool(&s.attach, v)
	case "interactive":
		return SetBool(&s.stdin, v)
	case "sig-proxy":
		return SetBool(&s.sigProxy, v)
	}
	s.keys = v
	_, err := monitor.ParseDetachKeys(v)
	return err
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
			_, err := e.Containers.Start(ctx, arg, &engine.LaunchOptions{Warn: app.warning})
			if err == nil {
				app.Print(arg + "\n")
			}
			return err
		})
	}
	o := &engine.AttachOptions{SigProxy: s.sigProxy, Keys: s.keys, Warn: app.warning}
	o.Out, o.Err = app.Stdout, app.Stderr
	if s.stdin {
		o.In = app.Stdin
	}
	l, err := e.Containers.Start(ctx, args[0], &engine.LaunchOptions{Attach: o, Warn: app.warning})
	if err != nil {
		return exitError, Within(args[0], err)
	}
	code, err := l.Attach(ctx, o)
	if errors.Is(err, engine.ErrDetached) {
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

var attachFlags = []Flag{
	{Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the container goes on", Default: monitor.DefaultDetachKeys},
	{Name: "no-stdin", Usage: "Do not attach standard input"},
	{Name: "sig-proxy", Usage: "Forward the signals that tare gets", Default: "true"},
}

type attachAction struct {
	noStdin, sigProxy bool
	keys              string
}

func (a *attachAction) Set(flag, v string) error {
	switch flag {
	case "no-stdin":
		return SetBool(&a.noStdin, v)
	case "sig-proxy":
		return SetBool(&a.sigProxy, v)
	}
	a.keys = v
	_, err := monitor.ParseDetachKeys(v)
	return err
}

func (a *attachAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	o := &engine.AttachOptions{SigProxy: a.sigProxy, Keys: a.keys, Warn: app.warning}
	o.Out, o.Err = app.Stdout, app.Stderr
	if !a.noStdin {
		o.In = app.Stdin
	}
	code, err := e.Containers.Attach(ctx, args[0], o)
	return code, Within(args[0], err)
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
