package cli

import (
	"context"
	"os"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
)

func execCommand() Command {
	return Command{
		Name: "exec", Aliases: []string{"container exec"}, Args: "CONTAINER COMMAND [ARG...]", Short: "Run a command in a running container",
		Example: "tare exec web cat /etc/os-release\ntare exec -it web sh\ntare exec -u www-data -w /tmp web id",
		Flags:   execFlags, Stop: true, MinArgs: 2, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return &execAction{getenv: os.LookupEnv} },
	}
}

var execFlags = []Flag{
	{Name: "detach", Short: 'd', Usage: "Run the command in the background"},
	{Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the command goes on", Default: monitor.DefaultDetachKeys},
	{Name: "env", Short: 'e', Value: "list", Usage: "Set an environment variable (NAME=value, or NAME for the caller's value)"},
	{Name: "env-file", Value: "list", Usage: "Read environment variables from a file"},
	{Name: "interactive", Short: 'i', Usage: "Keep standard input open"},
	{Name: "privileged", Usage: "Give the command all capabilities"},
	{Name: "tty", Short: 't', Usage: "Give the command a terminal"},
	{Name: "user", Short: 'u', Value: "string", Usage: "User and group, names or numbers (user[:group])"},
	{Name: "workdir", Short: 'w', Value: "dir", Usage: "Working directory in the container"},
}

type execAction struct {
	cfg     engine.ExecConfig
	envFile []string // before those of -e
	stdin   bool
	getenv  func(string) (string, bool)
}

func (x *execAction) Set(flag, v string) error {
	c := &x.cfg
	switch flag {
	case "detach":
		return SetBool(&c.Detach, v)
	case "detach-keys":
		c.DetachKeys = v
		_, err := monitor.ParseDetachKeys(v)
		return err
	case "env":
		return addEnv(&c.Env, v, x.getenv)
	case "env-file":
		return readEnvFile(&x.envFile, v, x.getenv)
	case "interactive":
		return SetBool(&x.stdin, v)
	case "privileged":
		return SetBool(&c.Privileged, v)
	case "tty":
		return SetBool(&c.Tty, v)
	case "user":
		c.User = v
	case "workdir":
		c.WorkingDir = v
	}
	return nil
}

func (x *execAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	c := &x.cfg
	c.Cmd, c.Env = args[1:], append(x.envFile, c.Env...)
	if c.Tty && x.stdin && !c.Detach && !IsTerminal(app.Stdin) {
		return exitError, fault.New(fault.Invalid, "the input device is not a TTY")
	}
	if !c.Detach {
		c.AttachStdin, c.AttachStdout, c.AttachStderr = x.stdin, true, true
	}
	if c.Tty {
		c.ConsoleSize = consoleSize(app.Stdout)
	}
	e, err := app.engineAsCaller()
	if err != nil {
		return exitError, err
	}
	o := &engine.ExecOptions{Warn: func(msg string) { app.Warn("warning: " + msg) }}
	o.Out, o.Err = app.Stdout, app.Stderr
	if x.stdin {
		o.In = app.Stdin
	}
	code, err := e.Containers.Exec(ctx, args[0], c, o)
	return code, Within(args[0], err)
}
