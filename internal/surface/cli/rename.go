package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func renameCommand() Command {
	return Command{
		Name: "rename", Aliases: []string{"container rename"}, Args: "CONTAINER NEW_NAME", Short: "Give a container another name",
		MinArgs: 2, MaxArgs: 2, Complete: CompleteContainers,
		New: func() Action { return renameAction{} },
	}
}

type renameAction struct{}

func (renameAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return 0, Within(args[0], e.Containers.Rename(args[0], args[1]))
}

func portCommand() Command {
	return Command{
		Name: "port", Aliases: []string{"container port"}, Args: "CONTAINER [PORT[/PROTO]]", Short: "Show where a container's ports are published",
		Example: "tare port web\ntare port web 80/tcp",
		MinArgs: 1, MaxArgs: 2, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return portAction{} },
	}
}

type portAction struct{}

func (portAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	info, err := e.Containers.Inspect(args[0], false)
	if err != nil {
		return 0, Within(args[0], err)
	}
	ports := info.NetworkSettings.Ports
	var b strings.Builder
	if len(args) == 2 {
		port := args[1]
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		if len(ports[port]) == 0 {
			return 0, fault.New(fault.NotFound, "no public port '%s' published for %s", port, args[0])
		}
		for _, p := range ports[port] {
			b.WriteString(bracketed(p.HostIP) + ":" + p.HostPort + "\n")
		}
	} else {
		for _, port := range slices.Sorted(maps.Keys(ports)) {
			for _, p := range ports[port] {
				b.WriteString(port + " -> " + bracketed(p.HostIP) + ":" + p.HostPort + "\n")
			}
		}
	}
	app.Print(b.String())
	return 0, nil
}
