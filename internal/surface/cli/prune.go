package cli

import (
	"bufio"
	"context"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func containerPruneCommand() Command {
	return Command{
		Name: "container prune", Short: "Remove all containers that do not run",
		Flags: pruneFlags, Complete: CompleteNothing,
		New: func() Action { return &pruneAction{} },
	}
}

var pruneFlags = []flags.Flag{
	{
		Name: "filter", Value: "filter", Usage: "Remove only what matches: until (a time, or 24h for older than that) or label (label!=key)",
		Set: func(a any, v string) error { return setPruneFilter(&a.(*pruneAction).o, v) },
	},
	{Name: "force", Short: 'f', Usage: "Do not ask", Set: func(a any, v string) error { return flags.Bool(&a.(*pruneAction).force, v) }},
}

type pruneAction struct {
	o     containers.PruneOptions
	force bool
}

// setPruneFilter takes until=, label= and label!=.
func setPruneFilter(o *containers.PruneOptions, v string) (err error) {
	if until, ok := strings.CutPrefix(v, "until="); ok {
		o.Until, err = ParseWhen(until, time.Now())
		return err
	}
	return o.Add(v)
}

func (p *pruneAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	if !p.force && !app.confirm("WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ") {
		app.Print("Total reclaimed space: 0B\n")
		return 0, nil
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	done, err := e.Containers.Prune(ctx, p.o)
	app.Print(prunedText("Deleted Containers", done.IDs) + "Total reclaimed space: " + Size(done.Bytes) + "\n")
	return 0, err
}

// prunedText lists what is gone, with an empty line behind.
func prunedText(title string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return title + ":\n" + strings.Join(list, "\n") + "\n\n"
}

// confirm asks a question that only y or yes answers.
func (app *App) confirm(question string) bool {
	app.Print(question)
	line, err := bufio.NewReader(app.Stdin).ReadString('\n')
	if err != nil && line == "" {
		app.Print("\n")
		return false
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true
	}
	return false
}
