package cold

import (
	"context"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// pull brings an image from a registry.
type pull struct{ *cli.TransferOptions }

func (p pull) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	tag, digest, err := images.Parts(args[0])
	if err != nil {
		return 0, err
	}
	if p.All && (tag != "" || digest != "") {
		return 0, fault.New(fault.Invalid, "tag can't be used with --all-tags/-a")
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	busy()
	if tag == "" && digest == "" && !p.All && !p.Quiet {
		app.Print("Using default tag: latest\n")
	}
	v := &view{app: app, quiet: p.Quiet, begin: pulling, end: pulled}
	defer v.close()
	return 0, e.Images.Transfer(ctx, api.Place{Kind: api.InRegistry, Refs: args[:1], AllTags: p.All, Platform: p.Platform}, api.Place{}, v)
}

// pulling is Docker's first line of a pull.
func pulling(ref string) string { return images.Meant(ref) + ": Pulling from " + images.Path(ref) }

func pulled(app *cli.App, m *api.Transferred, quiet bool) {
	if !quiet {
		app.Print("Digest: " + m.Digest + "\n")
		if m.Fresh {
			app.Print("Status: Downloaded newer image for " + m.Names[0] + "\n")
		} else {
			app.Print("Status: Image is up to date for " + m.Names[0] + "\n")
		}
	}
	app.Print(m.Ref + "\n")
}
