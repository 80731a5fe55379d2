package cold

import (
	"context"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/engine"
)

// commit makes an image of a container.
type commit struct{ o engine.CommitOptions }

func (c *commit) Set(flag, v string) error {
	switch flag {
	case "author":
		c.o.Author = v
	case "change":
		c.o.Changes = append(c.o.Changes, v)
	case "message":
		c.o.Message = v
	case "no-pause":
		var no bool
		err := cli.SetBool(&no, v)
		c.o.Pause = !no
		return err
	case "pause":
		return cli.SetBool(&c.o.Pause, v)
	}
	return nil
}

func (c *commit) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	if len(args) == 2 {
		c.o.Name = args[1]
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	id, err := e.Containers.Commit(ctx, args[0], &c.o)
	if err != nil {
		return 0, cli.Within(args[0], err)
	}
	app.Print(id + "\n")
	return 0, nil
}
