package cli

import (
	"context"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// keeperCommand is what the engine runs of this program beside a container: its
// starter, and what its keeper executes at the end.
func keeperCommand() Command {
	return Command{
		// A keeper that runs since before an upgrade executes __keep.
		Name: containers.HelperCommand, Aliases: []string{"__keep"}, Args: "run|start|retry|exec|mend|ended|probe|unhealthy [ID]", Short: "Start a container, or see to one (not for users)",
		Flags: keeperFlags, Hidden: true, MinArgs: 1, MaxArgs: 2, Complete: CompleteNothing,
		New: func() Action { return &keeperAction{report: -1, config: -1} },
	}
}

var keeperFlags = []flags.Flag{
	{Name: "config", Value: "fd", Usage: "Descriptor of the configuration", Set: func(a any, v string) error { return flags.Int(&a.(*keeperAction).config, v) }},
	{
		Name: "fds", Value: "count", Usage: "Descriptors from 3 on that are for the container",
		Set: func(a any, v string) error { return flags.Int(&a.(*keeperAction).fds, v) },
	},
	{Name: "report", Value: "fd", Usage: "Descriptor of the caller's socket", Set: func(a any, v string) error { return flags.Int(&a.(*keeperAction).report, v) }},
	{Name: "want", Value: "bits", Usage: "What the caller attaches to", Set: func(a any, v string) error { return flags.Int(&a.(*keeperAction).want, v) }},
}

type keeperAction struct{ report, config, want, fds int64 }

func (k *keeperAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	// The keeper leaves its clients' sockets open; none is for our children.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return exit.Engine, err
	}
	open := app.Engine
	if args[0] == "exec" || args[0] == "ended" {
		open = app.engineAsCaller // the command joins the container's user namespace itself
	}
	e, err := open()
	if err != nil {
		return exit.Engine, err
	}
	id := ""
	if len(args) == 2 {
		id = args[1]
	}
	warn := func(text string) { app.Warn("warning: " + text) }
	switch args[0] {
	case "run":
		cfg, err := readConfig(int(k.config))
		if err != nil {
			return exit.Engine, err
		}
		return k.told(e.Containers.BeginAsKeeper(ctx, &containers.Request{Config: cfg, Passed: int(k.fds), Warn: warn}, int(k.report), int(k.want), false))
	case "start", "retry":
		return k.told(e.Containers.BeginAsKeeper(ctx, &containers.Request{Ref: id, Passed: int(k.fds), Warn: warn}, int(k.report), int(k.want), args[0] == "retry"))
	case "exec":
		return k.told(e.Execs.BeginAsKeeper(ctx, id, int(k.report), int(k.want)))
	case "ended":
		return 0, e.Execs.Ended(id)
	case "mend":
		return 0, e.Containers.Mend(id)
	case "probe":
		next, err := e.Containers.Probe(ctx, id)
		app.Print(strconv.FormatInt(int64(next), 10) + "\n")
		return 0, err
	case "unhealthy":
		return 0, e.Containers.Unhealthy(ctx, id)
	}
	return exitUsage, fault.New(fault.Invalid, "%s: unknown", strconv.Quote(args[0]))
}

// told is the end of a starter: whoever it has told the error prints it.
func (k *keeperAction) told(err error) (int, error) {
	if err != nil && k.report >= 0 {
		return exit.Engine, nil
	}
	return exit.Engine, err
}

func readConfig(fd int) (*api.ContainerConfig, error) {
	f := os.NewFile(uintptr(fd), "configuration")
	if f == nil {
		return nil, fault.New(fault.Invalid, "no configuration")
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	c := &api.ContainerConfig{}
	if err := api.ReadContainerConfig(b, c); err != nil {
		return nil, fault.New(fault.Invalid, "configuration: %w", err)
	}
	return c, nil
}
