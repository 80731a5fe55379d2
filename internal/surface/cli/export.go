package cli

import (
	"bufio"
	"context"
	"os"
	"path/filepath"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func diffCommand() Command {
	return Command{
		Name: "diff", Aliases: []string{"container diff"}, Args: "CONTAINER", Short: "Show what a container has changed in its files",
		Long:  "A is a file that was added, C one that was changed, D one that was deleted.",
		Flags: diffFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteContainers,
		New: func() Action { return &diffAction{} },
	}
}

var diffFlags = []flags.Flag{
	{
		Name: "format", Value: "string", Usage: "Format of the output: json or a template of {{.Type}} and {{.Path}}",
		Set: func(a any, v string) error { return flags.String(a.(interface{ formatTo() *string }).formatTo(), v) },
	},
}

type diffAction struct{ format string }

// formatTo is where image diff has it too.
func (d *diffAction) formatTo() *string { return &d.format }

func (d *diffAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	list, err := e.Containers.Diff(args[0])
	if err != nil {
		return 0, Within(args[0], err)
	}
	return 0, d.print(app, list)
}

func (d *diffAction) print(app *App, list []api.Change) error {
	rows := make([][]Cell, len(list))
	for i, c := range list {
		rows[i] = []Cell{{"Path", c.Path}, {"Type", c.Kind}}
	}
	format := d.format
	if format == "" {
		format = "{{.Type}} {{.Path}}"
	}
	text, err := app.Render(format, []string{"CHANGE TYPE", "Type", "PATH", "Path"}, rows)
	if err != nil {
		return err
	}
	app.Print(text)
	return nil
}

func exportCommand() Command {
	return Command{
		Name: "export", Aliases: []string{"container export"}, Args: "CONTAINER", Short: "Write a container's file system as a tar archive",
		Example: "tare export web | tar -t\ntare export -o web.tar web",
		Flags:   exportFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteContainers,
		New: func() Action { return &exportAction{} },
	}
}

var exportFlags = []flags.Flag{
	{
		Name: "output", Short: 'o', Value: "file", Usage: "Write to a file instead of standard output",
		Set: func(a any, v string) error { return flags.String(&a.(*exportAction).output, v) },
	},
}

type exportAction struct{ output string }

func (x *exportAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	if x.output == "" && IsTerminal(app.Stdout) {
		return 0, fault.WithHint(fault.New(fault.Invalid, "cowardly refusing to save to a terminal"), "use -o, or redirect")
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	write := func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if err := e.Containers.Export(ctx, args[0], w); err != nil {
			return err
		}
		return w.Flush()
	}
	if x.output == "" {
		err = write(app.Stdout)
	} else {
		err = WriteWhole(x.output, write)
	}
	return 0, Within(args[0], err)
}

// WriteWhole makes a file that appears when it is complete. What is no regular
// file, a pipe or a device, is written as it is.
func WriteWhole(path string, write func(*os.File) error) error {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		if fi.IsDir() {
			return fault.New(fault.Invalid, "%s is a directory", path)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if err := write(f); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return fault.New(fault.KindOf(err), "create %s: %w", path, Cause(err))
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error counts
	}
	return err
}
