package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/engine"
	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// App is one invocation of tare.
type App struct {
	Stdin, Stdout, Stderr *os.File
	Getenv                func(string) (string, bool)

	// Cold makes the actions of the commands that are marked so, of what their
	// flags have set, or of nil where they have none; Template fills
	// in templates of lists that need a language, Value those of one value, and
	// Regexp compiles a regular expression. They are tared's; without them the
	// command is handed over to it.
	Cold     func(command string, options any) Action
	Template func(format string, columns []string, rows [][]Cell) (string, error)
	Value    func(format string) (func(v any) (string, error), error)
	Regexp   func(pattern string) (func(s string) bool, error)

	args    []string // as the program was given them
	options engine.Options

	// Carriers move images from and to other places; tare has none.
	Carriers images.Carriers
	opened   *engine.Engine
}

// Exit codes besides those of a container.
const (
	exitError = 1   // a command other than run failed
	exitUsage = 125 // the arguments make no sense
)

// New returns the invocation of this process.
func New() *App {
	return &App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv}
}

// globalFlags come before the command.
var globalFlags = []flags.Flag{
	{Name: "debug", Short: 'D', Usage: "Log what is done to standard error", Set: func(a any, v string) error { return flags.Bool(&a.(*globals).Debug, v) }},
	{
		Name: "root", Value: "dir", Usage: "Directory of images and containers (or TARE_ROOT)", Default: engine.DefaultRoot,
		Set: func(a any, v string) error { return flags.Set(&a.(*globals).Root, v, absolute) },
	},
	{
		Name: "run-root", Value: "dir", Usage: "Directory of the state of running containers (or TARE_RUN_ROOT)", Default: engine.DefaultRunRoot,
		Set: func(a any, v string) error { return flags.Set(&a.(*globals).RunRoot, v, absolute) },
	},
	{Name: "version", Short: 'v', Usage: "Print the version and quit", Set: func(a any, v string) error { return flags.Bool(&a.(*globals).version, v) }},
}

// Global returns the flags that come before the command, as a command that
// has no name.
func Global() Command {
	return Command{Args: "[OPTIONS] COMMAND", Flags: globalFlags, Stop: true, MaxArgs: -1}
}

// globals takes the global flags.
type globals struct {
	engine.Options
	version bool
}

// Main runs tare with the arguments after the program's name and returns the
// exit code.
func (app *App) Main(args []string) int {
	app.args = args
	ctx := context.Background()
	g := globals{Options: engine.DefaultOptions()}
	for _, e := range [...]struct {
		name string
		to   *string
	}{{"TARE_ROOT", &g.Root}, {"TARE_RUN_ROOT", &g.RunRoot}} {
		if v, ok := app.Getenv(e.name); ok && v != "" {
			if err := flags.Set(e.to, v, absolute); err != nil {
				return app.fail(exitUsage, e.name, err)
			}
		}
	}
	global := Global()
	rest, err := global.parse(&g, args)
	switch {
	case errors.Is(err, flags.ErrHelp), err == nil && len(rest) == 0 && !g.version:
		app.Print(help(&global, app.Width()))
		return 0
	case err != nil:
		return app.fail(exitUsage, "", fault.WithHint(err, strings.ReplaceAll(fault.HintOf(err), "tare  --help", "tare --help")))
	}
	app.options = g.Options
	if g.version {
		rest = []string{"version"}
	}
	if rest[0] == "help" {
		if rest = rest[1:]; len(rest) == 0 {
			app.Print(help(&global, app.Width()))
			return 0
		}
		rest = append(rest, "--help")
	}
	c, rest := lookup(rest)
	switch {
	case c == nil && len(group(rest[0])) > 0 && (len(rest) == 1 || rest[1] == "--help"):
		app.Print(groupHelp(rest[0]))
		return 0
	case c == nil:
		return app.fail(exitUsage, "", unknownCommand(rest))
	}
	return app.command(ctx, c, rest)
}

func (app *App) command(ctx context.Context, c *Command, args []string) int {
	var to any
	switch {
	case !c.Cold:
		to = c.New()
	case c.Options != nil:
		to = c.Options()
	}
	rest, err := c.parse(to, args)
	if errors.Is(err, flags.ErrHelp) {
		app.Print(help(c, app.Width()))
		return 0
	}
	if err == nil {
		err = c.check(rest)
	}
	if err != nil {
		return app.fail(exitUsage, c.Name, err)
	}
	code, err := app.run(ctx, c, to, rest)
	if errors.Is(err, errCold) {
		code, err = app.handOver()
	}
	var in *entered
	if errors.As(err, &in) && in.err == nil {
		return in.code
	}
	if err != nil {
		if code == 0 {
			code = exitError
		}
		return app.fail(code, c.Name, err)
	}
	return code
}

// Engine opens the engine on first use.
func (app *App) Engine() (*engine.Engine, error) {
	if app.opened == nil {
		if code, done, err := engine.Enter(app.options); done || err != nil {
			return nil, &entered{code, err}
		}
	}
	return app.engineAsCaller()
}

// EngineIn opens the engine in the user namespace of a container that runs.
func (app *App) EngineIn(ref string) (*engine.Engine, error) {
	if app.opened == nil {
		if code, done, err := engine.EnterContainer(app.options, ref); done || err != nil {
			return nil, &entered{code, err}
		}
	}
	return app.engineAsCaller()
}

// engineAsCaller opens the engine on first use without making a user
// namespace, for what joins that of a container.
func (app *App) engineAsCaller() (*engine.Engine, error) {
	if app.opened == nil {
		app.options.Warn = func(text string) { app.Warn("warning: " + text) }
		app.options.Carriers = app.Carriers
		e, err := engine.Open(app.options)
		if err != nil {
			return nil, err
		}
		app.opened = e
	}
	return app.opened, nil
}

// entered says that the command, or a part of it, has run in another process,
// and how it ended there.
type entered struct {
	code int
	err  error // it did not get there
}

func (e *entered) Error() string {
	if e.err == nil {
		return "told already"
	}
	return e.err.Error()
}
func (e *entered) Unwrap() error { return e.err }

// Options are those of the engine, from the flags before the command.
func (app *App) Options() engine.Options { return app.options }

// fail prints an error as one line and returns code.
func (app *App) fail(code int, where string, err error) int {
	text := err.Error()
	var o *objectError
	switch {
	case where == "":
	case errors.As(err, &o) && strings.HasPrefix(text, o.object+": "):
		text = where + " " + text // rm web: container is running
	default:
		text = where + ": " + text
	}
	app.Warn(text + hintText(err))
	return code
}

func hintText(err error) string {
	if h := fault.HintOf(err); h != "" {
		return " (" + h + ")"
	}
	return ""
}

// Warn prints one line to standard error: a line break inside a text would
// let a file name or an image forge lines of its own.
func (app *App) Warn(text string) {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	_, _ = app.Stderr.WriteString("tare: " + clean + "\n") // nobody is left to tell
}

// Print writes to standard output. A reader that went away is no error.
func (app *App) Print(text string) { _, _ = app.Stdout.WriteString(text) }

// Width is the number of columns of a terminal, or 0.
func (app *App) Width() int {
	ws, err := unix.IoctlGetWinsize(int(app.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(ws.Col)
}

// IsTerminal tells whether f is one.
func IsTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Within adds the object of a command to an error that does not name it:
// "run: web: no such image: debian".
func Within(object string, err error) error {
	if err == nil || object == "" || strings.Contains(err.Error(), object) {
		return err
	}
	return &objectError{object, err}
}

type objectError struct {
	object string
	err    error
}

func (e *objectError) Error() string { return e.object + ": " + e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }
