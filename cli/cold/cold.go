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

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/cli/complete"
	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/oci"
)

// Action makes the action of a command, or nil.
func Action(command string) cli.Action {
	switch command {
	case "completion", "__complete":
		return &completion{command: command}
	case "man":
		return man{}
	case "history":
		return &history{human: true}
	case "commit":
		return &commit{o: engine.CommitOptions{Pause: true}}
	case "image mount":
		return imageMount{}
	case "image unmount":
		return &imageUnmount{}
	case "image gc":
		return &imageGC{}
	case "system check":
		return &systemCheck{}
	case "import":
		return &importImage{}
	case "load":
		return &load{}
	case "save":
		return &save{}
	case "pull":
		return &pull{}
	case "push":
		return &push{}
	case "login":
		return &login{}
	case "logout":
		return logout{}
	case "search":
		return &search{}
	}
	return nil
}

// completion prints a completion script, or what completes a line.
type completion struct{ command string }

func (*completion) Set(string, string) error { return nil }

func (c *completion) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	root := complete.Root(complete.Names{
		Images:     func() []string { return images(ctx, app) },
		Containers: func(states []string) []string { return containers(ctx, app, states) },
	})
	root.SetArgs(append([]string{c.command}, args...))
	return 0, root.Execute()
}

func images(ctx context.Context, app *cli.App) []string {
	e, err := app.Engine()
	if err != nil {
		return nil
	}
	list, err := e.Images.List(ctx, engine.ImageListOptions{})
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

func containers(ctx context.Context, app *cli.App, states []string) []string {
	e, err := app.Engine()
	if err != nil {
		return nil
	}
	list, err := e.Containers.List(ctx, engine.ListOptions{All: true, Brief: true, Filters: engine.Filters{"status": states}})
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

func (man) Set(string, string) error { return nil }

func (man) Run(_ context.Context, _ *cli.App, args []string) (int, error) {
	return 0, errors.Join(complete.Man(args[0], sourceDate()), oci.Man(args[0], sourceDate()))
}

// sourceDate is SOURCE_DATE_EPOCH, or the beginning of time.
func sourceDate() time.Time {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		seconds = 0
	}
	return time.Unix(seconds, 0).UTC()
}
