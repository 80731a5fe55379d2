package cli

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
)

const shortLen = 12 // digits of an ID in a table

func psCommand() Command {
	return Command{
		Name: "ps", Short: "List containers",
		Flags: psFlags, Complete: CompleteNothing,
		New: func() Action { return &psAction{last: -1} },
	}
}

var psFlags = []Flag{
	{Name: "all", Short: 'a', Usage: "Show all containers, not just those that run"},
	{Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}"},
	{Name: "last", Short: 'n', Value: "int", Usage: "Show the last n containers made, whatever their state"},
	{Name: "latest", Short: 'l', Usage: "Show the last container made, whatever its state"},
	{Name: "no-trunc", Usage: "Do not shorten the output"},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only"},
}

type psAction struct {
	all, full, quiet, latest bool
	last                     int64
	format                   string
}

func (p *psAction) Set(flag, v string) error {
	switch flag {
	case "all":
		return SetBool(&p.all, v)
	case "format":
		p.format = v
	case "last":
		return SetInt(&p.last, v)
	case "latest":
		return SetBool(&p.latest, v)
	case "no-trunc":
		return SetBool(&p.full, v)
	case "quiet":
		return SetBool(&p.quiet, v)
	}
	return nil
}

func (p *psAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	if p.latest {
		p.last = 1
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	list, err := e.Containers.List(ctx, engine.ListOptions{All: p.all || p.last > 0})
	if err != nil {
		return 0, err
	}
	if p.last > 0 && int64(len(list)) > p.last {
		list = list[:p.last]
	}
	text, err := p.render(app, list, time.Now())
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}

func (p *psAction) render(app *App, list []engine.ContainerSummary, now time.Time) (string, error) {
	rows := make([][]Cell, len(list))
	for i := range list {
		rows[i] = containerRow(&list[i], p.full, now)
	}
	if p.quiet {
		return ids(rows), nil
	}
	return app.Render(p.format, []string{
		"CONTAINER ID", "ID", "IMAGE", "Image", "COMMAND", "Command", "CREATED", "RunningFor",
		"STATUS", "Status", "PORTS", "Ports", "NAMES", "Names",
	}, rows)
}

func ids(rows [][]Cell) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(value(r, "ID") + "\n")
	}
	return b.String()
}

func containerRow(c *engine.ContainerSummary, full bool, now time.Time) []Cell {
	id, command := c.ID, strings.Join(c.Command, " ")
	if !full {
		id, command = id[:min(shortLen, len(id))], clip(command, 20)
	}
	labels := make([]string, 0, len(c.Labels))
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		labels = append(labels, k+"="+c.Labels[k])
	}
	return []Cell{
		{"Command", strconv.Quote(command)},
		{"CreatedAt", createdAt(c.Created)},
		{"ID", id},
		{"Image", c.Image},
		{"Labels", strings.Join(labels, ",")},
		{"Names", c.Name},
		{"Ports", ""},
		{"RunningFor", ago(c.Created, now)},
		{"State", string(c.Status)},
		{"Status", containerStatus(c, now)},
	}
}

func containerStatus(c *engine.ContainerSummary, now time.Time) string {
	switch c.Status {
	case engine.StatusRunning:
		return "Up " + duration(now.Sub(c.Started))
	case engine.StatusPaused:
		return "Up " + duration(now.Sub(c.Started)) + " (Paused)"
	case engine.StatusExited:
		if c.Finished.IsZero() {
			return "Exited (" + strconv.Itoa(c.ExitCode) + ")" // nobody saw when
		}
		return "Exited (" + strconv.Itoa(c.ExitCode) + ") " + ago(c.Finished, now)
	case engine.StatusDead:
		return "Dead"
	case engine.StatusCreated:
	}
	return "Created"
}

func rmCommand() Command {
	return Command{
		Name: "rm", Args: "CONTAINER [CONTAINER...]", Short: "Remove containers",
		Flags: rmFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &rmAction{} },
	}
}

var rmFlags = []Flag{
	{Name: "force", Short: 'f', Usage: "Kill a container that runs"},
	{Name: "volumes", Short: 'v', Usage: "Remove anonymous volumes too (there are none yet)"},
}

type rmAction struct{ force, volumes bool }

func (r *rmAction) Set(flag, v string) error {
	if flag == "force" {
		return SetBool(&r.force, v)
	}
	return SetBool(&r.volumes, v)
}

func (r *rmAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return EachArg(app, "rm", args, func(arg string) error {
		_, err := e.Containers.Remove(ctx, arg, r.force)
		if r.force && fault.KindOf(err) == fault.NotFound {
			app.Warn("rm: " + arg + ": " + err.Error())
			return nil // as docker rm -f: it is gone, and that was wanted
		}
		if err == nil {
			app.Print(arg + "\n")
		}
		return err
	})
}

// EachArg does all that can be done, says what could not, and gives 1 then.
func EachArg(app *App, where string, args []string, do func(string) error) (int, error) {
	code := 0
	for _, arg := range args {
		if err := do(arg); err != nil {
			code = app.fail(exitError, where, within(arg, err))
		}
	}
	return code, nil
}
