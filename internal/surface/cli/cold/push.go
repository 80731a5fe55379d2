package cold

import (
	"context"
	"strconv"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// push sends an image to a registry.
type push struct{ *cli.TransferOptions }

func (p push) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
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
	if !p.Quiet {
		if !p.All && tag == "" && digest == "" {
			app.Print("Using default tag: latest\n")
		}
		app.Print("The push refers to repository [" + images.Repository(args[0]) + "]\n")
	}
	v := &view{app: app, quiet: p.Quiet, end: pushed}
	defer v.close()
	from := api.Place{Refs: args[:1], AllTags: p.All, Platform: p.Platform}
	return 0, e.Images.Transfer(ctx, from, api.Place{Kind: api.InRegistry}, v)
}

func pushed(app *cli.App, m *api.Transferred, quiet bool) {
	if quiet {
		app.Print(m.Ref + "\n")
		return
	}
	app.Print(images.Meant(m.Ref) + ": digest: " + m.Digest + " size: " + strconv.FormatInt(m.Size, 10) + "\n")
}

// view shows a transfer, image by image.
type view struct {
	*progress // of the image that moves now, or nil
	app       *cli.App
	quiet     bool
	begin     func(ref string) string // the first line of an image, or nil
	end       func(app *cli.App, m *api.Transferred, quiet bool)
}

// Image implements api.Reporter.
func (v *view) Image(ref string) {
	v.close()
	v.progress = newProgress(v.app, v.quiet)
	if v.begin != nil {
		v.Note(v.begin(ref))
	}
}

// Done implements api.Reporter.
func (v *view) Done(m *api.Transferred) {
	v.close()
	v.end(v.app, m, v.quiet)
}

func (v *view) close() {
	if v.progress != nil {
		v.Close()
		v.progress = nil
	}
}
