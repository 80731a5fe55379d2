package cli

import (
	"context"
	"time"

	"github.com/tare-engine/tare/engine"
)

func tagCommand() Command {
	return Command{
		Name: "tag", Aliases: []string{"image tag"}, Args: "IMAGE NAME[:TAG]", Short: "Give an image a further name",
		MinArgs: 2, MaxArgs: 2, Complete: CompleteImages,
		New: func() Action { return tagAction{} },
	}
}

type tagAction struct{}

func (tagAction) Set(string, string) error { return nil }

func (tagAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return 0, e.Images.Tag(ctx, args[0], args[1])
}

func historyCommand() Command {
	return Command{
		Name: "history", Aliases: []string{"image history"}, Args: "IMAGE", Short: "Show how an image was made",
		Flags: historyFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteImages,
		Cold: true,
	}
}

var historyFlags = []Flag{
	{Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}"},
	{Name: "human", Short: 'H', Usage: "Sizes and dates for people", Default: "true"},
	{Name: "no-trunc", Usage: "Do not shorten the output"},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only"},
}

func imagePruneCommand() Command {
	return Command{
		Name: "image prune", Short: "Remove images that no container uses",
		Long:    "Without --all those without a name.",
		Example: "tare image prune\ntare image prune -a --filter until=720h",
		Flags:   imagePruneFlags, Complete: CompleteNothing,
		New: func() Action { return &imagePruneAction{} },
	}
}

var imagePruneFlags = []Flag{
	{Name: "all", Short: 'a', Usage: "Also images that have a name"},
	{Name: "filter", Value: "filter", Usage: "Only what matches: label, label!, until"},
	{Name: "force", Short: 'f', Usage: "Do not ask"},
}

type imagePruneAction struct {
	o     engine.ImagePruneOptions
	force bool
}

func (p *imagePruneAction) Set(flag, v string) error {
	switch flag {
	case "all":
		return SetBool(&p.o.All, v)
	case "filter":
		return p.o.Add(v)
	case "force":
		return SetBool(&p.force, v)
	}
	return nil
}

func (p *imagePruneAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	what := "all dangling images"
	if p.o.All {
		what = "all images without at least one container associated to them"
	}
	if !p.force && !app.confirm("WARNING! This will remove "+what+".\nAre you sure you want to continue? [y/N] ") {
		app.Print("Total reclaimed space: 0B\n")
		return 0, nil
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	now := time.Now()
	p.o.Until = func(s string) (time.Time, error) { return ParseWhen(s, now) }
	done, err := e.Images.Prune(ctx, p.o)
	if len(done.Removed) > 0 {
		app.Print("Deleted Images:\n")
	}
	for _, m := range done.Removed {
		if m.Untagged != "" {
			app.Print("untagged: " + m.Untagged + "\n")
		} else {
			app.Print("deleted: " + m.Deleted + "\n")
		}
	}
	if err != nil {
		return 0, err
	}
	if len(done.Removed) > 0 {
		app.Print("\n")
	}
	app.Print("Total reclaimed space: " + Size(done.Bytes) + "\n")
	return 0, nil
}

func imageDiffCommand() Command {
	return Command{
		Name: "image diff", Args: "IMAGE [OTHER]", Short: "Show what an image changes in the files of the one below, or what differs in another",
		Long:  "With one image: what its last layer adds (A), changes (C) and deletes (D). With two: what is different in the second.",
		Flags: diffFlags, MinArgs: 1, MaxArgs: 2, Complete: CompleteImages,
		New: func() Action { return &imageDiffAction{} },
	}
}

type imageDiffAction struct{ diffAction }

func (d *imageDiffAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	other := ""
	if len(args) == 2 {
		other = args[1]
	}
	list, err := e.Images.Diff(ctx, args[0], other)
	if err != nil {
		return 0, Within(args[0], err)
	}
	return 0, d.print(app, list)
}

func imageMountCommand() Command {
	return Command{
		Name: "image mount", Args: "[IMAGE...]", Short: "Mount images read-only and print where, or list those that are mounted",
		MaxArgs: -1, Complete: CompleteImages,
		Cold: true,
	}
}

func imageUnmountCommand() Command {
	return Command{
		Name: "image unmount", Aliases: []string{"image umount"}, Args: "IMAGE [IMAGE...]", Short: "Unmount images",
		Flags: imageUnmountFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteImages,
		Cold: true,
	}
}

var imageUnmountFlags = []Flag{
	{Name: "force", Short: 'f', Usage: "Also while files of it are in use"},
}

func commitCommand() Command {
	return Command{
		Name: "commit", Aliases: []string{"container commit"}, Args: "CONTAINER [NAME[:TAG]]", Short: "Make an image of a container",
		Example: "tare commit -m 'with curl' -c 'CMD [\"bash\"]' web team/web:2",
		Flags:   commitFlags, MinArgs: 1, MaxArgs: 2, Complete: CompleteContainers,
		Cold: true,
	}
}

var commitFlags = []Flag{
	{Name: "author", Short: 'a', Value: "string", Usage: "Author of the image (\"Name <mail>\")"},
	{Name: "change", Short: 'c', Value: "list", Usage: "Dockerfile instruction for the image (CMD, ENTRYPOINT, ENV, USER, WORKDIR, …)"},
	{Name: "message", Short: 'm', Value: "string", Usage: "Comment for the image's history"},
	{Name: "no-pause", Usage: "Do not freeze the container meanwhile"},
	{Name: "pause", Short: 'p', Usage: "Freeze the container while its files are read", Default: "true"},
}
