package cli

import (
	"context"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func tagCommand() Command {
	return Command{
		Name: "tag", Aliases: []string{"image tag"}, Args: "IMAGE NAME[:TAG]", Short: "Give an image a further name",
		MinArgs: 2, MaxArgs: 2, Complete: CompleteImages,
		New: func() Action { return tagAction{} },
	}
}

type tagAction struct{}

func (tagAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return 0, e.Images.Tag(args[0], args[1])
}

func historyCommand() Command {
	return Command{
		Name: "history", Aliases: []string{"image history"}, Args: "IMAGE", Short: "Show how an image was made",
		Flags: historyFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteImages,
		Cold: true, Options: func() any { return &HistoryOptions{Human: true} },
	}
}

// HistoryOptions are the flags of history.
type HistoryOptions struct {
	Format             string
	Human, Full, Quiet bool
}

var historyFlags = []flags.Flag{
	{
		Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*HistoryOptions).Format, v) },
	},
	{
		Name: "human", Short: 'H', Usage: "Sizes and dates for people", Default: "true",
		Set: func(a any, v string) error { return flags.Bool(&a.(*HistoryOptions).Human, v) },
	},
	{Name: "no-trunc", Usage: "Do not shorten the output", Set: func(a any, v string) error { return flags.Bool(&a.(*HistoryOptions).Full, v) }},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only", Set: func(a any, v string) error { return flags.Bool(&a.(*HistoryOptions).Quiet, v) }},
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

var imagePruneFlags = []flags.Flag{
	{Name: "all", Short: 'a', Usage: "Also images that have a name", Set: func(a any, v string) error { return flags.Bool(&a.(*imagePruneAction).o.All, v) }},
	{Name: "filter", Value: "filter", Usage: "Only what matches: label, label!, until", Set: func(a any, v string) error { return a.(*imagePruneAction).o.Add(v) }},
	{Name: "force", Short: 'f', Usage: "Do not ask", Set: func(a any, v string) error { return flags.Bool(&a.(*imagePruneAction).force, v) }},
}

type imagePruneAction struct {
	o     api.ImagePruneOptions
	force bool
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
	list, err := e.Images.Diff(args[0], other)
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
		Cold: true, Options: func() any { return &UnmountOptions{} },
	}
}

// UnmountOptions are the flags of image unmount.
type UnmountOptions struct{ Force bool }

var imageUnmountFlags = []flags.Flag{
	{Name: "force", Short: 'f', Usage: "Also while files of it are in use", Set: func(a any, v string) error { return flags.Bool(&a.(*UnmountOptions).Force, v) }},
}

func commitCommand() Command {
	return Command{
		Name: "commit", Aliases: []string{"container commit"}, Args: "CONTAINER [NAME[:TAG]]", Short: "Make an image of a container",
		Example: "tare commit -m 'with curl' -c 'CMD [\"bash\"]' web team/web:2",
		Flags:   commitFlags, MinArgs: 1, MaxArgs: 2, Complete: CompleteContainers,
		Cold: true, Options: func() any { return &containers.CommitOptions{Pause: true} },
	}
}

var commitFlags = []flags.Flag{
	{
		Name: "author", Short: 'a', Value: "string", Usage: "Author of the image (\"Name <mail>\")",
		Set: func(a any, v string) error { return flags.String(&a.(*containers.CommitOptions).Author, v) },
	},
	{
		Name: "change", Short: 'c', Value: "list", Usage: "Dockerfile instruction for the image (CMD, ENTRYPOINT, ENV, USER, WORKDIR, …)",
		Set: func(a any, v string) error { return flags.List(&a.(*containers.CommitOptions).Changes, v) },
	},
	{
		Name: "message", Short: 'm', Value: "string", Usage: "Comment for the image's history",
		Set: func(a any, v string) error { return flags.String(&a.(*containers.CommitOptions).Message, v) },
	},
	{
		Name: "no-pause", Usage: "Do not freeze the container meanwhile",
		Set: func(a any, v string) error {
			no, err := flags.ParseBool(v)
			a.(*containers.CommitOptions).Pause = !no
			return err
		},
	},
	{
		Name: "pause", Short: 'p', Usage: "Freeze the container while its files are read", Default: "true",
		Set: func(a any, v string) error { return flags.Bool(&a.(*containers.CommitOptions).Pause, v) },
	},
}
