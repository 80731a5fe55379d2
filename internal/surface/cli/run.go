package cli

import (
	"cmp"
	"context"
	"errors"
	"os"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/exit"

	"github.com/tare-engine/tare/internal/engine"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func runCommand() Command {
	return Command{
		Name: "run", Aliases: []string{"container run"}, Args: "IMAGE [COMMAND] [ARG...]", Short: "Run a command in a new container",
		Example: "tare run --rm -it tare/base\ntare run --rm -m 64m --cpus 0.5 tare/base stress --cpu 2\ntare run --plan tare/base true",
		Flags:   runFlags, Stop: true, MaxArgs: -1, Complete: CompleteImages,
		New: func() Action { return newRun() },
	}
}

// runAction collects the flags of run. The values are turned into the
// engine's form as they come, by the setters in run_flags.go.
type runAction struct {
	cfg      api.ContainerConfig
	envFile  []string // variables of the files, before those of -e
	labels   []string // of --label, after those of the files
	cidfile  string
	pull     pulling
	sigProxy bool
	detach   bool
	create   bool // tare create
	noHealth bool // --no-healthcheck
	plan     bool
	getenv   func(string) (string, bool)

	detachKeys string
}

func newRun() *runAction {
	return &runAction{pull: pulling{when: "missing"}, sigProxy: true, getenv: os.LookupEnv}
}

// config completes the configuration with the arguments.
func (r *runAction) config(args []string) (*api.ContainerConfig, error) {
	c := &r.cfg
	if c.RootFS == "" {
		if len(args) == 0 {
			return nil, fault.New(fault.Invalid, "requires at least 1 argument")
		}
		if args[0] == "" {
			return nil, fault.New(fault.Invalid, "the image name is empty")
		}
		c.Image, args = args[0], args[1:]
	}
	if len(args) > 0 {
		c.Cmd = args
	}
	if r.noHealth {
		if err := disableHealth(c); err != nil {
			return nil, err
		}
	}
	c.Env = append(r.envFile, c.Env...)
	for _, l := range r.labels {
		if err := flags.Pair(&c.Labels, l); err != nil {
			return nil, err
		}
	}
	if !r.detach {
		c.AttachStdin, c.StdinOnce = c.OpenStdin, c.OpenStdin
		c.AttachStdout, c.AttachStderr = true, true
	}
	return c, nil
}

// object is what errors call the container.
func (r *runAction) object() string {
	switch c := &r.cfg; {
	case c.Name != "":
		return c.Name
	case c.RootFS != "":
		return c.RootFS
	default:
		return c.Image
	}
}

func (r *runAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	c, err := r.config(args)
	if err != nil {
		return exitUsage, fault.WithHint(err, "see 'tare run --help'")
	}
	if err := r.check(app); err != nil {
		return exitUsage, Within(r.object(), err)
	}
	var created func(id string) error
	if r.cidfile != "" && !r.plan {
		f, err := newCIDFile(r.cidfile)
		if err != nil {
			return exit.Engine, Within(r.object(), err)
		}
		defer f.close()
		c.HostConfig.ContainerIDFile = r.cidfile
		created = f.write
	}
	e, err := app.Engine()
	if err != nil {
		return exit.Engine, err
	}
	q := &containers.Request{Config: c, Created: created, Warn: app.warning, Passed: containers.ListenFDs()}
	switch {
	case r.plan:
		q.Until, q.Plan = containers.Planned, app.Stdout
	case r.create:
		q.Until = containers.Created
	case !r.detach:
		q.Attach = app.attach(r.cfg.OpenStdin, r.sigProxy)
		q.Attach.Keys = r.detachKeys
	}
	begin := func() (int, error) { return r.begin(ctx, app, e, q) }
	var code int
	if r.plan { // nothing is brought for it
		code, err = begin()
	} else {
		code, err = app.withImage(ctx, c.Image, &r.pull, begin)
	}
	switch {
	case err == nil:
	case r.create:
		code = exitError // Docker's 125 is for the run, and for flags
	case code == 0:
		code = exit.Engine
	}
	return code, Within(r.object(), err)
}

// begin begins the container, and stays with it unless -d says otherwise.
func (r *runAction) begin(ctx context.Context, app *App, e *engine.Engine, q *containers.Request) (int, error) {
	b, err := e.Containers.Begin(ctx, q)
	if err != nil {
		return cmp.Or(fault.CodeOf(err), exit.Engine), err
	}
	switch {
	case r.plan:
		return 0, nil
	case q.Attach == nil:
		app.Print(b.ID + "\n")
		return 0, nil
	}
	code, err := b.Wait(ctx, q.Attach)
	if errors.Is(err, stdio.ErrDetached) {
		return 0, nil
	}
	return code, err
}

// check refuses what the flags cannot mean together, or not yet.
func (r *runAction) check(app *App) error {
	c := &r.cfg
	if err := r.pull.check(); err != nil {
		return err
	}
	r.pull.platform = c.Platform
	if c.Name != "" && !api.ValidName(c.Name) {
		return fault.New(fault.Invalid, "invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", c.Name)
	}
	if name := c.HostConfig.RestartPolicy.Name; c.HostConfig.AutoRemove && name != "" && name != api.RestartNo {
		return fault.New(fault.Invalid, "conflicting options: cannot specify both --restart and --rm")
	}
	if c.Tty {
		if c.OpenStdin && !IsTerminal(app.Stdin) && !r.plan && !r.detach && !r.create {
			return fault.New(fault.Invalid, "the input device is not a TTY")
		}
		c.HostConfig.ConsoleSize = consoleSize(app.Stdout)
	}
	return nil
}

// cidFile is the file of --cidfile. It is made before the container, so that
// of two runs with the same file one loses before it starts anything.
type cidFile struct {
	f       *os.File
	written bool
}

func newCIDFile(path string) (*cidFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fault.New(fault.Exists, "container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "create container ID file: %w", err)
	}
	return &cidFile{f: f}, nil
}

func (c *cidFile) write(id string) error {
	if _, err := c.f.WriteString(id); err != nil {
		return fault.New(fault.KindOf(err), "write container ID file: %w", err)
	}
	c.written = true
	return nil
}

// close removes the file again when no container came of it.
func (c *cidFile) close() {
	_ = c.f.Close() // written or not is known already
	if !c.written {
		_ = os.Remove(c.f.Name()) // ours: made with O_EXCL
	}
}
