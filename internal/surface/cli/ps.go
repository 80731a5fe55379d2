package cli

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/flags"
)

const shortLen = 12 // digits of an ID in a table

func psCommand() Command {
	return Command{
		Name: "ps", Aliases: []string{"container ls", "container list", "container ps"}, Short: "List containers",
		Example: "tare ps -a --filter status=exited --filter label=app=web\ntare ps --format 'table {{.Names}}\\t{{.Status}}'",
		Flags:   psFlags, Complete: CompleteNothing,
		New: func() Action { return &psAction{} },
	}
}

var psFlags = []flags.Flag{
	{Name: "all", Short: 'a', Usage: "Show all containers, not just those that run", Set: func(a any, v string) error { return flags.Bool(&a.(*psAction).o.All, v) }},
	{
		Name: "filter", Short: 'f', Value: "filter", Usage: "Show only what matches: ancestor, before, exited, expose, health, id, label, name, network, publish, since, status or volume (status=exited)",
		Set: func(a any, v string) error { return a.(*psAction).o.Add(v) },
	},
	{
		Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*psAction).format, v) },
	},
	{
		Name: "last", Short: 'n', Value: "int", Usage: "Show the last n containers made, whatever their state", Default: "-1",
		Set: func(a any, v string) error { return flags.Int(&a.(*psAction).last, v) },
	},
	{
		Name: "latest", Short: 'l', Usage: "Show the last container made, whatever its state",
		Set: func(a any, v string) error { return flags.Bool(&a.(*psAction).latest, v) },
	},
	{Name: "no-trunc", Usage: "Do not shorten the output", Set: func(a any, v string) error { return flags.Bool(&a.(*psAction).full, v) }},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only", Set: func(a any, v string) error { return flags.Bool(&a.(*psAction).quiet, v) }},
	{
		Name: "size", Short: 's', Usage: "Show the size of what each has written, and of its image with it",
		Set: func(a any, v string) error { return flags.Bool(&a.(*psAction).o.Size, v) },
	},
}

type psAction struct {
	o                   api.ListOptions
	full, quiet, latest bool
	last                int64
	format              string
}

func (p *psAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	o := p.o
	if o.Limit = int(max(p.last, 0)); p.latest {
		o.Limit = 1
	}
	o.Size = o.Size && !p.quiet || strings.Contains(p.format, ".Size")
	o.Brief = p.quiet || p.format == "" || p.format == "table"
	o.Regexp = app.regexp
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	list, err := e.Containers.List(ctx, o)
	if err != nil {
		return 0, err
	}
	text, err := p.render(app, list, time.Now())
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}

func (p *psAction) render(app *App, list []api.ContainerSummary, now time.Time) (string, error) {
	if p.quiet && p.format == "" {
		var b strings.Builder
		for i := range list {
			b.WriteString(shortID(list[i].ID, p.full) + "\n")
		}
		return b.String(), nil
	}
	rows := make([][]Cell, len(list))
	for i := range list {
		rows[i] = containerRow(&list[i], p.full, now)
	}
	columns := []string{
		"CONTAINER ID", "ID", "IMAGE", "Image", "COMMAND", "Command", "CREATED", "RunningFor",
		"STATUS", "Status", "PORTS", "Ports", "NAMES", "Names",
	}
	if p.o.Size {
		columns = append(columns, "SIZE", "Size")
	}
	return app.Render(p.format, columns, rows)
}

func shortID(id string, full bool) string {
	if full {
		return id
	}
	return id[:min(shortLen, len(id))]
}

// IDs is a line for the ID of each row.
func IDs(rows [][]Cell) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(value(r, "ID") + "\n")
	}
	return b.String()
}

func containerRow(c *api.ContainerSummary, full bool, now time.Time) []Cell {
	command := commandLine(c.Command)
	if !full {
		command = Clip(command, 20)
	}
	labels := make([]string, 0, len(c.Labels))
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		labels = append(labels, k+"="+c.Labels[k])
	}
	volumes, mounts := 0, make([]string, 0, len(c.Mounts))
	for _, m := range c.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		} else {
			volumes++
		}
		if !full {
			name = Clip(name, 15)
		}
		mounts = append(mounts, name)
	}
	return []Cell{
		{"Command", strconv.Quote(command)},
		{"CreatedAt", createdAt(c.Created)},
		{"ID", shortID(c.ID, full)},
		{"Image", c.Image},
		{"Labels", strings.Join(labels, ",")},
		{"LocalVolumes", strconv.Itoa(volumes)},
		{"Mounts", strings.Join(mounts, ",")},
		{"Names", c.Name},
		{"Networks", strings.Join(c.Networks, ",")},
		{"Ports", portList(c.Ports)},
		{"RunningFor", Ago(c.Created, now)},
		{"Size", containerSize(c)},
		{"State", string(c.Status)},
		{"Status", containerStatus(c, now)},
	}
}

// commandLine joins a command as Docker does: arguments with a space are quoted.
func commandLine(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
			if strings.Contains(a, " ") {
				a = "'" + a + "'"
			}
		}
		b.WriteString(a)
	}
	return b.String()
}

func containerSize(c *api.ContainerSummary) string {
	if c.SizeRootFs == 0 {
		return Size(c.SizeRw)
	}
	return Size(c.SizeRw) + " (virtual " + Size(c.SizeRootFs) + ")"
}

func containerStatus(c *api.ContainerSummary, now time.Time) string {
	switch c.Status {
	case api.StatusRunning:
		s := "Up " + duration(now.Sub(c.Started))
		if c.Health == "starting" {
			return s + " (health: starting)"
		} else if c.Health != "" {
			return s + " (" + c.Health + ")"
		}
		return s
	case api.StatusPaused:
		return "Up " + duration(now.Sub(c.Started)) + " (Paused)"
	case api.StatusRestarting, api.StatusExited:
		word := "Exited"
		if c.Status == api.StatusRestarting {
			word = "Restarting"
		}
		word += " (" + strconv.Itoa(c.ExitCode) + ")"
		if c.Finished.IsZero() {
			return word // nobody saw when
		}
		return word + " " + Ago(c.Finished, now)
	case api.StatusRemoving:
		return "Removal In Progress"
	case api.StatusDead:
		return "Dead"
	case api.StatusCreated:
	}
	return "Created"
}

// portList is Docker's form: neighbours are one range, what is published on
// another number comes last.
//
// Precondition: the list is sorted by private port.
func portList(list []api.Port) string {
	type group struct {
		ip, proto   string
		first, last uint16
	}
	var done, mapped []string
	var groups []group
	show := func(g *group) string {
		text := strconv.Itoa(int(g.first))
		if g.last != g.first {
			text += "-" + strconv.Itoa(int(g.last))
		}
		if g.ip != "" {
			text = bracketed(g.ip) + ":" + text + "->" + text
		}
		return text + "/" + g.proto
	}
	for _, p := range list {
		if p.IP != "" && p.PublicPort != p.PrivatePort {
			mapped = append(mapped, bracketed(p.IP)+":"+strconv.Itoa(int(p.PublicPort))+"->"+strconv.Itoa(int(p.PrivatePort))+"/"+p.Type)
			continue
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.ip == p.IP && g.proto == p.Type })
		switch {
		case i < 0:
			groups = append(groups, group{p.IP, p.Type, p.PrivatePort, p.PrivatePort})
		case groups[i].last+1 == p.PrivatePort:
			groups[i].last++
		default:
			done = append(done, show(&groups[i]))
			groups[i].first, groups[i].last = p.PrivatePort, p.PrivatePort
		}
	}
	for i := range groups {
		done = append(done, show(&groups[i]))
	}
	return strings.Join(append(done, mapped...), ", ")
}

// bracketed puts an IPv6 address into brackets.
func bracketed(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}
