package cli

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
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
// engine's form as they come; Set in run_set.go has the list.
type runAction struct {
	cfg      engine.ContainerConfig
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
func (r *runAction) config(args []string) (*engine.ContainerConfig, error) {
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
		if err := setPair(&c.Labels, l); err != nil {
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
			return engine.ExitEngine, Within(r.object(), err)
		}
		defer f.close()
		c.HostConfig.ContainerIDFile = r.cidfile
		created = f.write
	}
	e, err := app.Engine()
	if err != nil {
		return engine.ExitEngine, err
	}
	var code int
	switch {
	case r.plan:
		if err = e.Containers.Plan(ctx, c, app.Stdout); err != nil {
			code = engine.ExitEngine
		}
	case r.create:
		code, err = app.withImage(ctx, c.Image, &r.pull, func() (int, error) {
			id, err := e.Containers.Create(ctx, c, &engine.RunOptions{Warn: app.warning, Created: created})
			if err == nil {
				app.Print(id + "\n")
			}
			return 0, err
		})
	case r.keeper():
		code, err = app.withImage(ctx, c.Image, &r.pull, func() (int, error) { return r.launch(ctx, app, e, created) })
	default:
		o := &engine.RunOptions{SigProxy: r.sigProxy, Warn: app.warning, Created: created}
		o.Stdio = r.stdio(app)
		code, err = app.withImage(ctx, c.Image, &r.pull, func() (int, error) {
			code, err := e.Containers.Run(ctx, c, o)
			if errors.Is(err, engine.ErrNeedsKeeper) {
				return r.launch(ctx, app, e, created)
			}
			return code, err
		})
	}
	switch {
	case err == nil:
	case r.create:
		code = exitError // Docker's 125 is for the run, and for flags
	case code == 0:
		code = engine.ExitEngine
	}
	return code, Within(r.object(), err)
}

// stdio is what a run in the foreground connects the container with.
func (r *runAction) stdio(app *App) engine.Stdio {
	s := engine.Stdio{Out: app.Stdout, Err: app.Stderr}
	if r.cfg.OpenStdin {
		s.In = app.Stdin
	}
	return s
}

// keeper reports whether the container gets a process that looks after it.
// One that nothing is kept of, that no one leaves and that is not watched, is
// this process's own.
func (r *runAction) keeper() bool {
	c := &r.cfg
	return r.detach || c.Tty || !c.HostConfig.AutoRemove || c.Timeout != 0 || r.logs() || r.notifies()
}

// logs reports whether the output is to be kept also of a container that is
// removed when it ends.
func (r *runAction) logs() bool {
	l := &r.cfg.HostConfig.LogConfig
	return l.Type != "" && l.Type != "none" || len(l.Config) > 0
}

// notifies reports whether a service manager waits to hear of the container.
func (r *runAction) notifies() bool {
	socket, ok := r.getenv("NOTIFY_SOCKET")
	return ok && socket != "" && r.cfg.SdNotify != "ignore"
}

// launch starts a container with a keeper, and stays with it unless -d says
// otherwise.
func (r *runAction) launch(ctx context.Context, app *App, e *engine.Engine, created func(string) error) (int, error) {
	o := &engine.LaunchOptions{Created: created, Warn: app.warning}
	if !r.detach {
		o.Attach = &engine.AttachOptions{Stdio: r.stdio(app), SigProxy: r.sigProxy, Keys: r.detachKeys, Warn: app.warning}
	}
	l, code, err := e.Containers.Launch(ctx, &r.cfg, o)
	if err != nil {
		return code, err
	}
	if r.detach {
		app.Print(l.ID + "\n")
		return 0, nil
	}
	code, err = l.Attach(ctx, o.Attach)
	if errors.Is(err, engine.ErrDetached) {
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
	if c.Name != "" && !engine.ValidName(c.Name) {
		return fault.New(fault.Invalid, "invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", c.Name)
	}
	if name := c.HostConfig.RestartPolicy.Name; c.HostConfig.AutoRemove && name != "" && name != engine.RestartNo {
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

// SetBool reads a boolean as pflag does.
func SetBool(to *bool, value string) error {
	v, err := strconv.ParseBool(value)
	if err != nil {
		return fault.New(fault.Invalid, "not a boolean")
	}
	*to = v
	return nil
}
