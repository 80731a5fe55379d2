package cli

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/system"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func dfCommand() Command {
	return Command{
		Name: "system df", Short: "Show what takes up space on the disk",
		Flags: dfFlags, Complete: CompleteNothing,
		New: func() Action { return &dfAction{} },
	}
}

var dfFlags = []flags.Flag{
	{
		Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*dfAction).format, v) },
	},
	{Name: "verbose", Short: 'v', Usage: "Show each image and container", Set: func(a any, v string) error { return flags.Bool(&a.(*dfAction).verbose, v) }},
}

type dfAction struct {
	format  string
	verbose bool
}

func (d *dfAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	if d.verbose && d.format != "" && d.format != "json" {
		return exitUsage, fault.New(fault.Invalid, "the verbose and the format option conflict, except for json")
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	u, err := e.System.DiskUsage(ctx)
	if err != nil {
		return 0, err
	}
	var text string
	switch {
	case d.verbose && d.format == "json":
		var b []byte
		b, err = compactJSON(u)
		text = string(b) + "\n"
	case d.verbose:
		text, err = dfDetails(app, u, time.Now())
	default:
		text, err = app.Render(d.format, []string{"TYPE", "Type", "TOTAL", "TotalCount", "ACTIVE", "Active", "SIZE", "Size", "RECLAIMABLE", "Reclaimable"}, dfRows(u))
	}
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}

func dfRows(u *system.DiskUsage) [][]Cell {
	row := func(kind string, total, active int, bytes, free int64) []Cell {
		reclaim := Size(free)
		if bytes > 0 {
			reclaim += " (" + strconv.FormatInt(free*100/bytes, 10) + "%)"
		}
		return []Cell{
			{"Active", strconv.Itoa(active)},
			{"Reclaimable", reclaim},
			{"Size", Size(bytes)},
			{"TotalCount", strconv.Itoa(total)},
			{"Type", kind},
		}
	}
	return [][]Cell{
		row("Images", len(u.Images), u.ImagesActive, u.LayersSize, u.ImagesReclaim),
		row("Containers", len(u.Containers), u.ContainersActive, u.ContainersSize, u.ContainersReclaim),
		row("Local Volumes", 0, 0, 0, 0),
		row("Build Cache", 0, 0, 0, 0),
	}
}

func dfDetails(app *App, u *system.DiskUsage, now time.Time) (string, error) {
	var images, containers [][]Cell
	for i := range u.Images {
		m := &u.Images[i]
		images = append(images, withCells(imageRow(&m.ImageSummary, false, now),
			Cell{"SharedSize", Size(m.SharedSize)}, Cell{"UniqueSize", Size(m.UniqueSize)}, Cell{"Containers", strconv.Itoa(m.Containers)}))
	}
	for i := range u.Containers {
		c := &u.Containers[i]
		containers = append(containers, withCells(containerRow(c, false, now), Cell{"Size", Size(c.SizeRw)}))
	}
	var b strings.Builder
	for i, part := range []struct {
		title   string
		columns []string
		rows    [][]Cell
	}{
		{"Images", []string{"REPOSITORY", "Repository", "TAG", "Tag", "IMAGE ID", "ID", "CREATED", "CreatedSince", "SIZE", "Size", "SHARED SIZE", "SharedSize", "UNIQUE SIZE", "UniqueSize", "CONTAINERS", "Containers"}, images},
		{"Containers", []string{"CONTAINER ID", "ID", "IMAGE", "Image", "COMMAND", "Command", "LOCAL VOLUMES", "LocalVolumes", "SIZE", "Size", "CREATED", "RunningFor", "STATUS", "Status", "NAMES", "Names"}, containers},
		{"Local Volumes", []string{"VOLUME NAME", "Name", "LINKS", "Links", "SIZE", "Size"}, nil},
	} {
		text, err := app.Render("table", part.columns, part.rows)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(part.title + " space usage:\n\n" + text)
	}
	return b.String(), nil
}

// withCells replaces cells of a row, or adds them.
func withCells(row []Cell, cells ...Cell) []Cell {
	for _, c := range cells {
		if i := slices.IndexFunc(row, func(have Cell) bool { return have.Name == c.Name }); i >= 0 {
			row[i] = c
		} else {
			row = append(row, c)
		}
	}
	return row
}

func systemPruneCommand() Command {
	return Command{
		Name: "system prune", Short: "Remove containers that do not run, and images that nothing uses",
		Flags: systemPruneFlags, Complete: CompleteNothing,
		New: func() Action { return &systemPruneAction{} },
	}
}

var systemPruneFlags = []flags.Flag{
	{
		Name: "all", Short: 'a', Usage: "Remove all images that no container uses, not just those without a name",
		Set: func(a any, v string) error { return flags.Bool(&a.(*systemPruneAction).all, v) },
	},
	{
		Name: "filter", Value: "filter", Usage: "Remove only what matches: until (a time, or 24h for older than that) or label (label!=key)",
		Set: func(a any, v string) error { return setPruneFilter(&a.(*systemPruneAction).o, v) },
	},
	{Name: "force", Short: 'f', Usage: "Do not ask", Set: func(a any, v string) error { return flags.Bool(&a.(*systemPruneAction).force, v) }},
	{
		Name: "volumes", Usage: "Remove anonymous volumes too (there are none yet)",
		Set: func(a any, v string) error { return flags.Bool(&a.(*systemPruneAction).volumes, v) },
	},
}

type systemPruneAction struct {
	pruneAction
	all, volumes bool
}

func (s *systemPruneAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	which := "dangling images"
	if s.all {
		which = "images without at least one container associated to them"
	}
	if !s.force && !app.confirm("WARNING! This will remove:\n  - all stopped containers\n  - all "+which+"\n\nAre you sure you want to continue? [y/N] ") {
		app.Print("Total reclaimed space: 0B\n")
		return 0, nil
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	containers, err := e.Containers.Prune(ctx, s.o)
	text := prunedText("Deleted Containers", containers.IDs)
	if err != nil {
		app.Print(text)
		return 0, err
	}
	o := api.ImagePruneOptions{All: s.all, Filters: s.o.Filters, Until: func(string) (time.Time, error) { return s.o.Until, nil }}
	if !s.o.Until.IsZero() {
		o.Filters = api.Filters{"until": {"given"}}
		maps.Copy(o.Filters, s.o.Filters)
	}
	images, err := e.Images.Prune(ctx, o)
	var lines []string
	for _, m := range images.Removed {
		if m.Untagged != "" {
			lines = append(lines, "untagged: "+m.Untagged)
		}
		if m.Deleted != "" {
			lines = append(lines, "deleted: "+m.Deleted)
		}
	}
	bytes := containers.Bytes + images.Bytes
	app.Print(text + prunedText("Deleted Images", lines) + "Total reclaimed space: " + Size(bytes) + "\n")
	return 0, err
}
