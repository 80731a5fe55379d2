// Package cold has the actions of the commands that only tared does: they need
// HTTP, templates or cobra, which would make tare slow to start. Their tables
// of flags stand in package cli with all others, marked Cold; a file here is
// one command.
package cold

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/containers"

	"github.com/tare-engine/tare/internal/surface/cli"
	"github.com/tare-engine/tare/internal/surface/cli/complete"
	"github.com/tare-engine/tare/internal/surface/runc"
)

// Action makes the action of a command, or nil.
func Action(command string, o any) cli.Action {
	switch command {
	case "completion", "__complete":
		return &completion{command: command}
	case "man":
		return man{}
	case "history":
		return history{o.(*cli.HistoryOptions)}
	case "commit":
		return commit{o.(*containers.CommitOptions)}
	case "image mount":
		return imageMount{}
	case "image unmount":
		return imageUnmount{o.(*cli.UnmountOptions)}
	case "image gc":
		return imageGC{o.(*cli.GCOptions)}
	case "system check":
		return systemCheck{o.(*cli.CheckOptions)}
	case "import":
		return importImage{o.(*cli.ImportOptions)}
	case "load":
		return load{o.(*cli.LoadOptions)}
	case "save":
		return save{o.(*cli.SaveOptions)}
	case "pull":
		return pull{o.(*cli.TransferOptions)}
	case "push":
		return push{o.(*cli.TransferOptions)}
	case "login":
		return login{o.(*cli.LoginOptions)}
	case "logout":
		return logout{}
	case "search":
		return search{o.(*cli.SearchOptions)}
	}
	return nil
}

// completion prints a completion script, or what completes a line.
type completion struct{ command string }

func (c *completion) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	root := complete.Root(complete.Names{
		Images:     func() []string { return imageNames(app) },
		Containers: func(states []string) []string { return containerNames(ctx, app, states) },
	})
	root.SetArgs(append([]string{c.command}, args...))
	return 0, root.Execute()
}

func imageNames(app *cli.App) []string {
	e, err := app.Engine()
	if err != nil {
		return nil
	}
	list, err := e.Images.List(api.ImageListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range list {
		if i.Name != "" {
			names = append(names, i.Name+":"+i.Tag)
		}
	}
	return names
}

func containerNames(ctx context.Context, app *cli.App, states []string) []string {
	e, err := app.Engine()
	if err != nil {
		return nil
	}
	list, err := e.Containers.List(ctx, api.ListOptions{All: true, Brief: true, Filters: api.Filters{"status": states}})
	if err != nil {
		return nil
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

// man writes the manual pages.
type man struct{}

func (man) Run(_ context.Context, _ *cli.App, args []string) (int, error) {
	return 0, errors.Join(complete.Man(args[0], sourceDate()), runc.Man(args[0], sourceDate()))
}

// sourceDate is SOURCE_DATE_EPOCH, or the beginning of time.
func sourceDate() time.Time {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		seconds = 0
	}
	return time.Unix(seconds, 0).UTC()
}
