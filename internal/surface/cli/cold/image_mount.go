package cold

import (
	"context"

	"github.com/tare-engine/tare/internal/surface/cli"
)

// imageMount mounts images, or lists those that are mounted.
type imageMount struct{}

func (imageMount) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	if len(args) > 0 {
		return cli.EachArg(app, "image mount", args, func(arg string) error {
			path, err := e.Images.Mount(arg)
			if err == nil {
				app.Print(path + "\n")
			}
			return err
		})
	}
	list, err := e.Images.Mounted()
	if err != nil {
		return 0, err
	}
	for _, m := range list {
		app.Print(cli.ShortImageID(m.ID) + " " + m.Path + "\n")
	}
	return 0, nil
}

// imageUnmount unmounts them.
type imageUnmount struct{ *cli.UnmountOptions }

func (u imageUnmount) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return cli.EachArg(app, "image unmount", args, func(arg string) error {
		id, err := e.Images.Unmount(arg, u.Force)
		if err == nil {
			app.Print(id + "\n")
		}
		return err
	})
}
