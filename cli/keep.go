package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strconv"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// keepCommand is what the engine runs of this program beside a container: its
// starter, and what its keeper executes at the end.
func keepCommand() Command {
	return Command{
		Name: engine.HelperCommand, Args: "run|start|retry|mend|probe|unhealthy [ID]", Short: "Start a container, or see to one (not for users)",
		Flags: keepFlags, Hidden: true, MinArgs: 1, MaxArgs: 2, Complete: CompleteNothing,
		New: func() Action { return &keepAction{report: -1, config: -1} },
	}
}

var keepFlags = []Flag{
	{Name: "config", Value: "fd", Usage: "Descriptor of the configuration"},
	{Name: "fds", Value: "count", Usage: "Descriptors from 3 on that are for the container"},
	{Name: "report", Value: "fd", Usage: "Descriptor of the caller's socket"},
	{Name: "want", Value: "bits", Usage: "What the caller attaches to"},
}

type keepAction struct{ report, config, want, fds int64 }

func (k *keepAction) Set(flag, v string) error {
	switch flag {
	case "config":
		return SetInt(&k.config, v)
	case "fds":
		return SetInt(&k.fds, v)
	case "report":
		return SetInt(&k.report, v)
	default:
		return SetInt(&k.want, v)
	}
}

func (k *keepAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	// The keeper leaves its clients' sockets open; none is for our children.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return engine.ExitEngine, err
	}
	e, err := app.Engine()
	if err != nil {
		return engine.ExitEngine, err
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
			return engine.ExitEngine, err
		}
		return k.told(e.Containers.StartKept(ctx, cfg, "", int(k.report), int(k.want), int(k.fds), warn))
	case "start", "retry":
		return k.told(e.Containers.StartKept(ctx, nil, id, int(k.report), int(k.want), int(k.fds), warn))
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
func (k *keepAction) told(err error) (int, error) {
	if err != nil && k.report >= 0 {
		return engine.ExitEngine, nil
	}
	return engine.ExitEngine, err
}

func readConfig(fd int) (*engine.ContainerConfig, error) {
	f := os.NewFile(uintptr(fd), "configuration")
	if f == nil {
		return nil, fault.New(fault.Invalid, "no configuration")
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	c := &engine.ContainerConfig{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fault.New(fault.Invalid, "configuration: %w", err)
	}
	return c, nil
}
