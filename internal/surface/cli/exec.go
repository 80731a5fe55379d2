package cli

import (
	"context"
	"os"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/execs"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func execCommand() Command {
	return Command{
		Name: "exec", Aliases: []string{"container exec"}, Args: "CONTAINER COMMAND [ARG...]", Short: "Run a command in a running container",
		Example: "tare exec web cat /etc/os-release\ntare exec -it web sh\ntare exec -u www-data -w /tmp web id",
		Flags:   execFlags, Stop: true, MinArgs: 2, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return &execAction{getenv: os.LookupEnv} },
	}
}

var execFlags = []flags.Flag{
	{Name: "detach", Short: 'd', Usage: "Run the command in the background", Set: func(a any, v string) error { return flags.Bool(&a.(*execAction).cfg.Detach, v) }},
	{
		Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the command goes on", Default: stdio.DefaultDetachKeys,
		Set: func(a any, v string) error { return setDetachKeys(&a.(*execAction).cfg.DetachKeys, v) },
	},
	{
		Name: "env", Short: 'e', Value: "list", Usage: "Set an environment variable (NAME=value, or NAME for the caller's value)",
		Set: func(a any, v string) error {
			x := a.(*execAction)
			return addEnv(&x.cfg.Env, v, x.getenv)
		},
	},
	{
		Name: "env-file", Value: "list", Usage: "Read environment variables from a file",
		Set: func(a any, v string) error {
			x := a.(*execAction)
			return readEnvFile(&x.envFile, v, x.getenv)
		},
	},
	{Name: "interactive", Short: 'i', Usage: "Keep standard input open", Set: func(a any, v string) error { return flags.Bool(&a.(*execAction).stdin, v) }},
	{Name: "privileged", Usage: "Give the command all capabilities", Set: func(a any, v string) error { return flags.Bool(&a.(*execAction).cfg.Privileged, v) }},
	{Name: "tty", Short: 't', Usage: "Give the command a terminal", Set: func(a any, v string) error { return flags.Bool(&a.(*execAction).cfg.Tty, v) }},
	{
		Name: "user", Short: 'u', Value: "string", Usage: "User and group, names or numbers (user[:group])",
		Set: func(a any, v string) error { return flags.String(&a.(*execAction).cfg.User, v) },
	},
	{
		Name: "workdir", Short: 'w', Value: "dir", Usage: "Working directory in the container",
		Set: func(a any, v string) error { return flags.String(&a.(*execAction).cfg.WorkingDir, v) },
	},
}

type execAction struct {
	cfg     api.ExecConfig
	envFile []string // before those of -e
	stdin   bool
	getenv  func(string) (string, bool)
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
	o := &execs.Options{Streams: app.streams(x.stdin, false), Warn: app.warning}
	code, err := e.Execs.Exec(ctx, args[0], c, o)
	return code, Within(args[0], err)
}
