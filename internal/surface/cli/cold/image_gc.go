package cold

import (
	"context"
	"fmt"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// imageGC removes images by policy.
type imageGC struct{ *cli.GCOptions }

func (g imageGC) Run(_ context.Context, app *cli.App, _ []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	done, err := e.Images.GC(func(p *api.GCPolicy) {
		for _, set := range g.Set {
			set(p)
		}
	}, g.Dry)
	total := int64(0)
	for i := range done {
		v := &done[i]
		total += v.Bytes
		switch name := strings.Join(v.Names, ", "); {
		case g.Quiet:
			app.Print(v.ID + "\n")
		case name == "":
			app.Print(v.ID + ": " + v.Reason + "\n")
		default:
			app.Print(name + ": " + v.Reason + "\n")
		}
	}
	if !g.Quiet {
		what := "Total reclaimed space: "
		if g.Dry {
			what = "Would be reclaimed: "
		}
		app.Print(what + cli.Size(total) + "\n")
	}
	return 0, err
}

// systemCheck verifies the image store.
type systemCheck struct{ *cli.CheckOptions }

func (s systemCheck) Run(ctx context.Context, app *cli.App, _ []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	busy()
	r, err := e.Images.Check(ctx, s.Repair)
	left := 0
	for _, p := range r.Problems {
		line := p.Object + ": " + p.Text
		if p.Repair != "" {
			line += " (" + p.Repair + ")"
		} else {
			left++
		}
		app.Print(line + "\n")
	}
	if err != nil {
		return 0, err
	}
	if !s.Quiet {
		app.Print(fmt.Sprintf("%d images, %d layers and %d blobs checked, %d problems, %d left\n", r.Images, r.Layers, r.Blobs, len(r.Problems), left))
	}
	if left > 0 {
		return 1, nil
	}
	return 0, nil
}
