package cold

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/image/conf"
	"github.com/tare-engine/tare/layer/deflate"
	"github.com/tare-engine/tare/layer/unzstd"
)

// imageStore returns the engine and its image store as images.toml wants it,
// with all that tared can read.
func imageStore(app *cli.App) (*engine.Engine, *image.Store, conf.Config, error) {
	c, err := conf.Load()
	if err != nil {
		return nil, nil, c, err
	}
	e, err := app.Engine()
	if err != nil {
		return nil, nil, c, err
	}
	s := e.Images.Store()
	s.Zstd, s.Gzip, s.Limits = unzstd.New, deflate.New, c.Limits
	return e, s, c, nil
}

// collect collects garbage after images were added, where that is asked for.
// What has just come was not brought to be removed.
func collect(e *engine.Engine, c conf.Config) error {
	if !c.AfterPull {
		return nil
	}
	c.GC.Fresh = time.Hour
	_, err := e.Images.GC(c.GC, false)
	return err
}

// imageGC removes images by policy.
type imageGC struct {
	set        []func(*image.GCPolicy)
	dry, quiet bool
}

func (g *imageGC) Set(flag, v string) error {
	switch flag {
	case "dry-run":
		return cli.SetBool(&g.dry, v)
	case "quiet":
		return cli.SetBool(&g.quiet, v)
	case "keep":
		g.set = append(g.set, func(p *image.GCPolicy) { p.Keep = append(p.Keep, v) })
	case "age", "dangling", "unused":
		d, err := conf.ParseDuration(v)
		if err != nil {
			return err
		}
		g.set = append(g.set, func(p *image.GCPolicy) {
			switch flag {
			case "age":
				p.Age = d
			case "dangling":
				p.Dangling = d
			case "unused":
				p.Unused = d
			}
		})
	case "max-size", "low-size":
		n, err := conf.ParseSize(v)
		if err != nil {
			return err
		}
		g.set = append(g.set, func(p *image.GCPolicy) {
			if flag == "max-size" {
				p.MaxBytes = n
			} else {
				p.LowBytes = n
			}
		})
	}
	return nil
}

func (g *imageGC) Run(_ context.Context, app *cli.App, _ []string) (int, error) {
	e, _, c, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	for _, set := range g.set {
		set(&c.GC)
	}
	done, err := e.Images.GC(c.GC, g.dry)
	total := int64(0)
	for i := range done {
		v := &done[i]
		total += v.Bytes
		switch name := strings.Join(v.Names, ", "); {
		case g.quiet:
			app.Print(v.ID + "\n")
		case name == "":
			app.Print(v.ID + ": " + v.Reason + "\n")
		default:
			app.Print(name + ": " + v.Reason + "\n")
		}
	}
	if !g.quiet {
		what := "Total reclaimed space: "
		if g.dry {
			what = "Would be reclaimed: "
		}
		app.Print(what + cli.Size(total) + "\n")
	}
	return 0, err
}

// systemCheck verifies the image store.
type systemCheck struct{ repair, quiet bool }

func (s *systemCheck) Set(flag, v string) error {
	if flag == "repair" {
		return cli.SetBool(&s.repair, v)
	}
	return cli.SetBool(&s.quiet, v)
}

func (s *systemCheck) Run(ctx context.Context, app *cli.App, _ []string) (int, error) {
	e, _, _, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	busy()
	r, err := e.Images.Check(ctx, s.repair)
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
	if !s.quiet {
		app.Print(fmt.Sprintf("%d images, %d layers and %d blobs checked, %d problems, %d left\n", r.Images, r.Layers, r.Blobs, len(r.Problems), left))
	}
	if left > 0 {
		return 1, nil
	}
	return 0, nil
}
