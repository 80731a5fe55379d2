package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func statsCommand() Command {
	return Command{
		Name: "stats", Aliases: []string{"container stats"}, Args: "[CONTAINER...]", Short: "Show what containers use, as it changes",
		Example: "tare stats\ntare stats --no-stream --format json web",
		Flags:   statsFlags, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return &statsAction{} },
	}
}

var statsFlags = []flags.Flag{
	{Name: "all", Short: 'a', Usage: "Show all containers, not just those that run", Set: func(a any, v string) error { return flags.Bool(&a.(*statsAction).all, v) }},
	{
		Name: "format", Value: "string", Usage: "Format of the output: table, json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*statsAction).format, v) },
	},
	{Name: "no-stream", Usage: "Show one sample, and end", Set: func(a any, v string) error { return flags.Bool(&a.(*statsAction).once, v) }},
	{Name: "no-trunc", Usage: "Do not shorten the output", Set: func(a any, v string) error { return flags.Bool(&a.(*statsAction).full, v) }},
}

type statsAction struct {
	all, once, full bool
	format          string
}

// statsPeriod is the time between two samples: the percentage of CPU is what
// was used within it.
const statsPeriod = time.Second

func (s *statsAction) Run(ctx context.Context, app *App, refs []string) (int, error) {
	if _, err := s.render(app, refs, nil, nil); err != nil {
		return 0, err // the format is wrong, or tared's
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	before, err := e.Containers.Stats(ctx, refs, s.all)
	if err != nil {
		return 0, err
	}
	redraw := !s.once && IsTerminal(app.Stdout)
	for {
		select {
		case <-ctx.Done():
			return 0, nil
		case <-time.After(statsPeriod):
		}
		now, err := e.Containers.Stats(ctx, refs, s.all)
		if err != nil {
			return 0, err
		}
		text, err := s.render(app, refs, before, now)
		if err != nil {
			return 0, err
		}
		if redraw {
			// From the top, each line to its end, and nothing below.
			text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
		}
		if _, err := app.Stdout.WriteString(text); err != nil || s.once {
			return 0, nil // nobody looks any more
		}
		before = now
	}
}

func (s *statsAction) render(app *App, refs []string, before, now []containers.Sample) (string, error) {
	rows := make([][]Cell, len(now))
	for i := range now {
		container := now[i].ID
		if len(refs) == len(now) {
			container = refs[i]
		}
		var old *containers.Sample
		for j := range before {
			if before[j].ID == now[i].ID {
				old = &before[j]
			}
		}
		rows[i] = statsRow(container, old, &now[i], s.full)
	}
	return app.Render(s.format, []string{
		"CONTAINER ID", "ID", "NAME", "Name", "CPU %", "CPUPerc", "MEM USAGE / LIMIT", "MemUsage", "MEM %", "MemPerc",
		"NET I/O", "NetIO", "BLOCK I/O", "BlockIO", "PIDS", "PIDs",
	}, rows)
}

// statsRow has Docker's columns, and for json and templates the counters as
// they are: bytes, microseconds, numbers. What this host does not count is 0.
func statsRow(container string, old, now *containers.Sample, full bool) []Cell {
	cpu := 0.0
	if old != nil {
		cpu = containers.CPUPercent(old, now)
	}
	u := now.Usage()
	count := func(n uint64) string { return strconv.FormatUint(n, 10) }
	micros := func(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }
	pair := func(a, b uint64) string { return Size(int64(a)) + " / " + Size(int64(b)) }
	return []Cell{
		{"BlockIO", pair(u.ReadBytes, u.WriteBytes)},
		{"CPUPerc", percent(cpu)},
		{"Container", container},
		{"ID", shortID(now.ID, full)},
		{"MemPerc", percent(now.MemoryPercent())},
		{"MemUsage", binarySize(int64(u.WorkingSet)) + " / " + binarySize(int64(now.MemoryTotal))},
		{"Name", now.Name},
		{"NetIO", pair(now.Net.RxBytes, now.Net.TxBytes)},
		{"PIDs", count(u.Pids)},
		// tare's own:
		{"BlockRead", count(u.ReadBytes)},
		{"BlockWrite", count(u.WriteBytes)},
		{"CPUPressure", micros(u.CPUPressure)},
		{"CPUSystem", micros(u.CPUSystem)},
		{"CPUThrottled", micros(u.CPUThrottled)},
		{"CPUUsage", micros(u.CPUTime)},
		{"CPUUser", micros(u.CPUUser)},
		{"IOPressure", micros(u.IOPressure)},
		{"MemAnon", count(u.Anon)},
		{"MemCharged", count(u.Charged)},
		{"MemFile", count(u.File)},
		{"MemInactiveFile", count(u.InactiveFile)},
		{"MemKernel", count(u.Kernel)},
		{"MemLimit", count(now.MemoryTotal)},
		{"MemPeak", count(u.Peak)},
		{"MemPressure", micros(u.MemoryPressure)},
		{"MemShmem", count(u.Shmem)},
		{"MemSwap", count(u.Swap)},
		{"MemWorkingSet", count(u.WorkingSet)},
		{"NetRx", count(now.Net.RxBytes)},
		{"NetTx", count(now.Net.TxBytes)},
		{"OOMKills", count(u.OOMKills)},
	}
}

func percent(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "%" }
