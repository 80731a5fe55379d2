// Package runc is the command line of an OCI runtime, as runc has it: what
// Podman, containerd and Docker call to run a container of a bundle.
//
// Every command is a process of its own; what is known of a container lies in
// its directory (record.go), and what it does at the moment is asked of the
// kernel.
package runc

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/linux/criu"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/surface/handover"
)

// App is one invocation of tare-oci.
type App struct {
	Stdin, Stdout, Stderr *os.File
	Getenv                func(string) string

	// CRIU makes a request to CRIU. Only tared has it; without, checkpoint and
	// restore hand over to tared.
	CRIU func(*criu.Request) error

	args      []string // of Main
	root      string
	log       logger
	systemd   bool
	rootless  string // "true", "false" or "auto"
	criu      string
	showHelp  bool
	showVers  bool
	debug     bool
	logFile   string
	logFormat string

	cgroups *cgroup.Layout // where they are, once somebody has asked

	after func(where string) // crash tests
}

// reached tells crash tests, and the log with --debug, how far a command has
// come.
func (a *App) reached(where string) {
	if a.debug {
		a.log.write("debug", "reached "+where)
	}
	if a.after != nil {
		a.after(where)
	}
}

// Hidden is the argument that makes tared take the others as tare-oci does.
const Hidden = "__oci"

// New returns the invocation of this process.
func New() *App {
	return &App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error // nil: nothing to say
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "exit"
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// Main runs one command and returns the exit code.
func (a *App) Main(args []string) int {
	a.args = args
	args, err := flags.ParseGo(globalRows, a, args, true)
	if err != nil {
		return a.fail(err)
	}
	if a.root == "" {
		a.root = a.defaultRoot()
	}
	if root, err := filepath.Abs(a.root); err == nil {
		a.root = root
	}
	if err := a.log.open(a.Stderr, a.logFile, a.logFormat); err != nil {
		return a.fail(err)
	}
	switch {
	case a.showVers:
		return a.fail(a.printVersion())
	case a.showHelp || len(args) == 0 || args[0] == "help" || args[0] == "h":
		if len(args) > 1 && args[0] == "help" {
			return a.fail(a.run(args[1], []string{"--help"}))
		}
		return a.fail(a.printHelp())
	}
	switch a.rootless {
	case "", "auto", "true", "false":
	default:
		return a.fail(fault.New(fault.Invalid, "invalid value %q for --rootless: not true, false or auto", a.rootless))
	}
	if entered, err := a.enter(args[0], args[1:]); entered || err != nil {
		return a.fail(err)
	}
	return a.fail(a.run(args[0], args[1:]))
}

// run runs the command of a name.
func (a *App) run(name string, args []string) error {
	c := find(name)
	if c == nil {
		return fault.New(fault.Invalid, "no such command: %s (see tare-oci --help)", name)
	}
	o := c.options()
	rest, err := flags.ParseGo(c.rows(), o, args, c.stop)
	if errors.Is(err, flags.ErrHelp) {
		return a.printCommandHelp(c)
	}
	if err != nil {
		return err
	}
	if len(rest) < c.min || c.max >= 0 && len(rest) > c.max {
		return fault.New(fault.Invalid, "%s: wrong number of arguments: want %s", c.name, c.args)
	}
	if c.cold && a.CRIU == nil {
		return handover.Become("tared", append([]string{Hidden}, a.args...)...)
	}
	return o.run(a, rest)
}

// fail reports err and returns the exit code for it.
func (a *App) fail(err error) int {
	if err == nil {
		return 0
	}
	code := 1
	var e *exitError
	if errors.As(err, &e) {
		if code = e.code; e.err == nil {
			return code
		}
	}
	text := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	a.log.fatal(text)
	return code
}

// defaultRoot is where the state is when nobody says: for a rootless caller
// in the directory of its session.
func (a *App) defaultRoot() string {
	if dir := a.Getenv("XDG_RUNTIME_DIR"); dir != "" && (!host.IsRoot() || a.Getenv("USER") != "root" && host.InUserNS()) {
		return dir + "/tare-oci"
	}
	return "/run/tare-oci"
}
