package cold

import (
	"context"
	"io"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/reference"
	"github.com/tare-engine/tare/registry"
)

// pull brings an image from a registry.
type pull struct {
	all, quiet bool
	platform   string
}

func (p *pull) Set(flag, v string) error {
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

func (p *pull) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	ref, err := reference.Parse(args[0])
	if err != nil {
		return 0, err
	}
	if p.all && (ref.Tag != "" || ref.Digest != "") {
		return 0, fault.New(fault.Invalid, "tag can't be used with --all-tags/-a")
	}
	var o registry.PullOptions
	if p.platform != "" {
		if o.Platform, err = image.ParsePlatform(p.platform); err != nil {
			return 0, err
		}
	}
	if o.Policy, err = registry.LoadPolicy(); err != nil {
		return 0, err
	}
	e, _, conf, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	c, err := client(app)
	if err != nil {
		return 0, err
	}
	busy()
	if p.all {
		err = p.tags(ctx, app, e, c, ref, o)
	} else {
		if ref.Tag == "" && ref.Digest == "" && !p.quiet {
			app.Print("Using default tag: latest\n")
		}
		err = p.one(ctx, app, e, c, ref.Tagged(), o)
	}
	if err != nil {
		return 0, err
	}
	return 0, collect(e, conf)
}

// client is a client of registries as it is configured.
func client(app *cli.App) (*registry.Client, error) {
	conf, err := registry.LoadConfig()
	if err != nil {
		return nil, err
	}
	c := &registry.Client{Config: conf, Agent: "tare/" + cli.Version}
	if app.Options().Debug {
		c.Trace = func(method, url string) { _, _ = io.WriteString(app.Stderr, "tare: "+method+" "+url+"\n") }
	}
	return c, nil
}

func (p *pull) tags(ctx context.Context, app *cli.App, e *engine.Engine, c *registry.Client, ref reference.Ref, o registry.PullOptions) error {
	r, err := c.Repo(ref.Domain, ref.Path, false)
	if err != nil {
		return err
	}
	tags, err := r.Tags(ctx)
	if err != nil {
		return fault.New(fault.KindOf(err), "list tags of %s: %w", ref.Familiar(), err)
	}
	if len(tags) == 0 {
		return fault.New(fault.NotFound, "list tags of %s: there are none", ref.Familiar())
	}
	for _, t := range tags {
		one, err := reference.Parse(ref.Name() + ":" + t)
		if err != nil {
			return err // what a registry says is not trusted to be a tag
		}
		if err := p.one(ctx, app, e, c, one, o); err != nil {
			return err
		}
	}
	return nil
}

func (p *pull) one(ctx context.Context, app *cli.App, e *engine.Engine, c *registry.Client, ref reference.Ref, o registry.PullOptions) error {
	show := newProgress(app, p.quiet)
	if !p.quiet {
		what := ref.Tag
		if ref.Digest != "" {
			what = ref.FamiliarName() + "@" + ref.Digest
		}
		show.Note(what + ": Pulling from " + shownPath(ref))
	}
	o.Progress = show
	out, err := c.Pull(ctx, e.Images.Store(), ref, o)
	show.Close()
	if err != nil {
		return err
	}
	if out.Fresh {
		e.Images.Note("pull", ref.Familiar(), ref.FamiliarName())
	}
	if !p.quiet {
		app.Print("Digest: " + out.Digest + "\n")
		if out.Fresh {
			app.Print("Status: Downloaded newer image for " + ref.Familiar() + "\n")
		} else {
			app.Print("Status: Image is up to date for " + ref.Familiar() + "\n")
		}
	}
	app.Print(ref.String() + "\n")
	return nil
}

// shownPath is what Docker's first line calls the repository.
func shownPath(ref reference.Ref) string { return ref.Path }
