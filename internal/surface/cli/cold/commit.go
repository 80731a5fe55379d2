package cold

import (
	"context"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// commit makes an image of a container.
type commit struct{ *containers.CommitOptions }

func (c commit) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	if len(args) == 2 {
		c.Name = args[1]
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	id, err := e.Containers.Commit(ctx, args[0], c.CommitOptions)
	if err != nil {
		return 0, cli.Within(args[0], err)
	}
	app.Print(id + "\n")
	return 0, nil
}
