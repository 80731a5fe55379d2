package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func imagesCommand() Command {
	return Command{
		Name: "images", Aliases: []string{"image ls", "image list"}, Args: "[NAME[:TAG]]", Short: "List images",
		Example: "tare images\ntare images 'team/*'\ntare images --filter dangling=true -q\ntare images --tree",
		Flags:   imagesFlags, MaxArgs: 1, Complete: CompleteImages,
		New: func() Action { return &imagesAction{} },
	}
}

var imagesFlags = []flags.Flag{
	{Name: "all", Short: 'a', Usage: "Show all images (there are no hidden ones)", Set: func(a any, v string) error { return flags.Bool(&a.(*imagesAction).all, v) }},
	{Name: "digests", Usage: "Show digests", Set: func(a any, v string) error { return flags.Bool(&a.(*imagesAction).digests, v) }},
	{
		Name: "filter", Short: 'f', Value: "filter", Usage: "Only what matches: before, dangling, label, reference, since, until",
		Set: func(a any, v string) error { return a.(*imagesAction).filters.Add(v) },
	},
	{
		Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*imagesAction).format, v) },
	},
	{Name: "no-trunc", Usage: "Do not shorten the output", Set: func(a any, v string) error { return flags.Bool(&a.(*imagesAction).full, v) }},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only", Set: func(a any, v string) error { return flags.Bool(&a.(*imagesAction).quiet, v) }},
	{
		Name: "tree", Usage: "Show the platforms of each image, its size unpacked and as received",
		Set: func(a any, v string) error { return flags.Bool(&a.(*imagesAction).tree, v) },
	},
}

type imagesAction struct {
	all, digests, full, quiet, tree bool
	format                          string
	filters                         api.Filters
}

func (a *imagesAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	if a.tree && (a.quiet || a.digests || a.full || a.format != "") {
		return 0, fault.New(fault.Invalid, "--tree goes with no other form of output")
	}
	if len(args) == 1 {
		if err := a.filters.Add("reference=" + args[0]); err != nil {
			return 0, err
		}
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	now := time.Now()
	list, err := e.Images.List(api.ImageListOptions{Filters: a.filters, Until: func(s string) (time.Time, error) { return ParseWhen(s, now) }})
	if err != nil {
		return 0, err
	}
	if a.tree {
		return 0, printTree(app, e, list)
	}
	text, err := a.render(app, list, now)
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}

func (a *imagesAction) render(app *App, list []api.ImageSummary, now time.Time) (string, error) {
	rows := make([][]Cell, len(list))
	for i := range list {
		rows[i] = imageRow(&list[i], a.full, now)
	}
	if a.quiet {
		return IDs(rows), nil
	}
	columns := []string{"REPOSITORY", "Repository", "TAG", "Tag"}
	if a.digests {
		columns = append(columns, "DIGEST", "Digest")
	}
	columns = append(columns, "IMAGE ID", "ID", "CREATED", "CreatedSince", "SIZE", "Size")
	return app.Render(a.format, columns, rows)
}

func imageRow(i *api.ImageSummary, full bool, now time.Time) []Cell {
	id := i.ID
	if !full {
		id = strings.TrimPrefix(id, "sha256:")
		id = id[:min(shortLen, len(id))]
	}
	since := "N/A"
	if !i.Created.IsZero() && i.Created.Unix() != 0 {
		since = Ago(i.Created, now)
	}
	return []Cell{
		{"Containers", strconv.Itoa(i.Containers)},
		{"CreatedAt", createdAt(i.Created)},
		{"CreatedSince", since},
		{"Digest", orNone(i.Digest)},
		{"ID", id},
		{"Platform", i.Platform},
		{"Repository", orNone(i.Name)},
		{"SharedSize", "N/A"},
		{"Size", Size(i.Size)},
		{"Tag", orNone(i.Tag)},
		{"UniqueSize", "N/A"},
		{"VirtualSize", Size(i.Size)},
	}
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func rmiCommand() Command {
	return Command{
		Name: "rmi", Aliases: []string{"image rm", "image remove"}, Args: "IMAGE [IMAGE...]", Short: "Remove images",
		Flags: rmiFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteImages,
		New: func() Action { return &rmiAction{} },
	}
}

var rmiFlags = []flags.Flag{
	{
		Name: "force", Short: 'f', Usage: "Remove an image that has several names, or that a container uses",
		Set: func(a any, v string) error { return flags.Bool(&a.(*rmiAction).force, v) },
	},
}

type rmiAction struct{ force bool }

func (r *rmiAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return EachArg(app, "rmi", args, func(arg string) error {
		removed, err := e.Images.Remove(arg, r.force)
		for _, m := range removed {
			if m.Untagged != "" {
				app.Print("Untagged: " + m.Untagged + "\n")
			}
			if m.Deleted != "" {
				app.Print("Deleted: " + m.Deleted + "\n")
			}
		}
		return err
	})
}

func importCommand() Command {
	return Command{
		Name: "import", Aliases: []string{"image import"}, Args: "FILE|DIR|- NAME[:TAG]", Short: "Make an image from a tar archive or a directory",
		Example: "tare import debian.tar.gz debian:bookworm\nmmdebstrap bookworm - | tare import -c 'CMD [\"bash\"]' - debian",
		Flags:   importFlags, MinArgs: 1, MaxArgs: 2, Complete: CompleteFiles, Cold: true,
		Options: func() any { return &ImportOptions{} },
	}
}

// ImportOptions are the flags of import.
type ImportOptions struct {
	api.ImportOptions
	Platform string
}

var importFlags = []flags.Flag{
	{
		Name: "change", Short: 'c', Value: "list", Usage: "Dockerfile instruction for the image (CMD, ENTRYPOINT, ENV, USER, WORKDIR, …)",
		Set: func(a any, v string) error { return flags.List(&a.(*ImportOptions).Changes, v) },
	},
	{
		Name: "message", Short: 'm', Value: "string", Usage: "Comment for the image's history",
		Set: func(a any, v string) error { return flags.String(&a.(*ImportOptions).Message, v) },
	},
	{
		Name: "platform", Value: "string", Usage: "Platform of the image (os/arch)",
		Set: func(a any, v string) error { return flags.String(&a.(*ImportOptions).Platform, v) },
	},
}
