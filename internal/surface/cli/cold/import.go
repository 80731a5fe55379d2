package cold

import (
	"context"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/surface/cli"
)

type importImage struct{ *cli.ImportOptions }

func (i importImage) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	from := api.Place{Path: args[0], Platform: i.Platform, Import: &i.ImportOptions.ImportOptions}
	if len(args) == 2 {
		i.Name = args[1]
	}
	if args[0] == "-" {
		from.In = app.Stdin
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	busy()
	id, err := e.Images.Import(ctx, from)
	if err != nil {
		return 0, cli.Within(args[0], err)
	}
	app.Print(id + "\n")
	return 0, nil
}
