package cli

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func cpCommand() Command {
	return Command{
		Name: "cp", Aliases: []string{"container cp"}, Args: "CONTAINER:SRC_PATH DEST_PATH|-\n       tare cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH", Short: "Copy files between a container and the host",
		Long: "'-' as source reads a tar archive from standard input and extracts it to a\n" +
			"directory of the container; '-' as destination writes one to standard output.",
		Example: "tare cp web:/etc/nginx .\ntare cp page.html web:/srv/www/\ntare cp web:/var/log - | tar -t",
		Flags:   cpFlags, MinArgs: 2, MaxArgs: 2, Complete: CompleteContainers,
		New: func() Action { return &cpAction{} },
	}
}

var cpFlags = []flags.Flag{
	{Name: "archive", Short: 'a', Usage: "Keep the owners of files", Set: func(a any, v string) error { return flags.Bool(&a.(*cpAction).o.Archive, v) }},
	{Name: "follow-link", Short: 'L', Usage: "Copy what a link in SRC_PATH leads to", Set: func(a any, v string) error { return flags.Bool(&a.(*cpAction).o.Follow, v) }},
	{Name: "quiet", Short: 'q', Usage: "Do not say what was copied", Set: func(a any, v string) error { return flags.Bool(&a.(*cpAction).quiet, v) }},
}

type cpAction struct {
	o     containers.CopyOptions
	quiet bool
}

// splitCopyArg tells CONTAINER:PATH from a path. A path with a colon starts
// with a slash or a dot.
func splitCopyArg(arg string) (container, path string) {
	if filepath.IsAbs(arg) {
		return "", arg
	}
	before, after, found := strings.Cut(arg, ":")
	if !found || strings.HasPrefix(before, ".") {
		return "", arg
	}
	return before, after
}

func (c *cpAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	from, src := splitCopyArg(args[0])
	to, dst := splitCopyArg(args[1])
	ref := from + to
	switch {
	case from != "" && to != "":
		return 0, fault.New(fault.Unsupported, "copying between containers is not supported")
	case ref == "":
		return 0, fault.New(fault.Invalid, "must specify at least one container source")
	case src == "" || dst == "":
		return 0, fault.New(fault.Invalid, "a path is empty")
	case dst == "-" && IsTerminal(app.Stdout):
		return 0, fault.New(fault.Invalid, "refusing to write an archive to a terminal")
	}
	e, err := app.EngineIn(ref)
	if err != nil {
		return 0, err
	}
	var n int64
	switch cs := e.Containers; {
	case to != "" && src == "-":
		n, err = cs.CopyIn(ctx, app.Stdin, to, dst)
	case to != "":
		n, err = cs.CopyTo(ctx, src, to, dst, &c.o)
	case dst == "-":
		return 0, Within(from, cs.CopyOut(ctx, from, src, app.Stdout, &c.o))
	default:
		n, err = cs.CopyFrom(ctx, from, src, dst, &c.o)
	}
	if err == nil && !c.quiet && IsTerminal(app.Stderr) {
		_, err = app.Stderr.WriteString("Successfully copied " + Size(n) + " to " + args[1] + "\n")
	}
	return 0, Within(ref, err)
}
