package cold

import (
	"context"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/engine"
)

type importImage struct{ o engine.ImportOptions }

func (i *importImage) Set(flag, v string) error {
	switch flag {
	case "change":
		i.o.Changes = append(i.o.Changes, v)
	case "message":
		i.o.Message = v
	case "platform":
		i.o.Platform = v
	}
	return nil
}

func (i *importImage) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	i.o.Source = args[0]
	if len(args) == 2 {
		i.o.Name = args[1]
	}
	if i.o.Source == "-" {
		i.o.Stdin = app.Stdin
	}
	e, _, _, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	busy()
	id, err := e.Images.Import(ctx, &i.o)
	if err != nil {
		return 0, cli.Within(i.o.Source, err)
	}
	app.Print(id + "\n")
	return 0, nil
}
