package cold

import (
	"context"
	"errors"
	"strconv"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/reference"
	"github.com/tare-engine/tare/registry"
)

// push sends an image to a registry.
type push struct {
	all, quiet bool
	platform   string
}

func (p *push) Set(flag, v string) error {
	switch flag {
	case "all-tags":
		return cli.SetBool(&p.all, v)
	case "platform":
		p.platform = v
	case "quiet":
		return cli.SetBool(&p.quiet, v)
	}
	return nil
}

func (p *push) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	ref, err := reference.Parse(args[0])
	if err != nil {
		return 0, err
	}
	if p.all && (ref.Tag != "" || ref.Digest != "") {
		return 0, fault.New(fault.Invalid, "tag can't be used with --all-tags/-a")
	}
	var o registry.PushOptions
	if p.platform != "" {
		if o.Platform, err = image.ParsePlatform(p.platform); err != nil {
			return 0, err
		}
	}
	e, _, _, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	c, err := client(app)
	if err != nil {
		return 0, err
	}
	refs := []reference.Ref{ref.Tagged()}
	if p.all {
		if refs, err = localTags(e, ref); err != nil {
			return 0, err
		}
	} else if ref.Tag == "" && ref.Digest == "" && !p.quiet {
		app.Print("Using default tag: latest\n")
	}
	if !p.quiet {
		app.Print("The push refers to repository [" + ref.Name() + "]\n")
	}
	for _, r := range refs {
		if err := p.one(ctx, app, e, c, r, o); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// localTags lists the names that the store has for a repository.
func localTags(e *engine.Engine, repo reference.Ref) ([]reference.Ref, error) {
	list, err := e.Images.Store().List()
	if err != nil {
		return nil, err
	}
	var refs []reference.Ref
	seen := map[string]bool{}
	for i := range list {
		r, err := reference.Parse(list[i].Name)
		if err != nil || r.Name() != repo.Name() || r.Tag == "" || seen[r.Tag] {
			continue
		}
		seen[r.Tag] = true
		refs = append(refs, r)
	}
	if len(refs) == 0 {
		return nil, fault.New(fault.NotFound, "an image does not exist locally with the tag: %s", repo.Familiar())
	}
	return refs, nil
}

func (p *push) one(ctx context.Context, app *cli.App, e *engine.Engine, c *registry.Client, ref reference.Ref, o registry.PushOptions) error {
	show := newProgress(app, p.quiet)
	o.Progress = show
	sent, err := c.Push(ctx, e.Images.Store(), ref, o)
	show.Close()
	if errors.Is(err, engine.ErrNoImage) {
		return fault.New(fault.NotFound, "an image does not exist locally with the tag: %s", ref.FamiliarName())
	}
	if err != nil {
		return err
	}
	e.Images.Note("push", ref.Familiar(), ref.FamiliarName())
	if p.quiet {
		app.Print(ref.String() + "\n")
		return nil
	}
	app.Print(ref.Tag + ": digest: " + sent.Digest + " size: " + strconv.FormatInt(sent.Size, 10) + "\n")
	return nil
}
