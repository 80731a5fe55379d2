package runc

import (
	"bytes"
	"errors"
	"os/exec"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

var psRows = []flags.Flag{
	{
		Name: "format", Short: 'f', Value: "format", Usage: "table or json", Default: "table",
		Set: func(o any, v string) error { return flags.String(&o.(*psOptions).format, v) },
	},
}

type psOptions struct{ format string }

func (o *psOptions) run(a *App, args []string) error {
	c, err := a.open(args[0])
	if err != nil {
		return err
	}
	g, err := a.group(&c.rec)
	if err != nil {
		return err
	}
	defer g.Close()
	pids, err := g.Procs()
	if err != nil {
		return err
	}
	switch o.format {
	case "json":
		return a.printJSON(pids, "")
	case "table":
	default:
		return fault.New(fault.Invalid, "invalid value %q for --format: not table or json", o.format)
	}
	options := args[1:]
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	var said bytes.Buffer
	ps := exec.Command("ps", options...) //nolint:gosec // the caller's own options, as runc's
	ps.Stderr = &said
	out, err := ps.Output()
	if err != nil {
		return fault.New(fault.Invalid, "ps: %w: %s", err, strings.TrimSpace(said.String()))
	}
	text, err := selectPids(string(out), pids)
	if err == nil {
		_, err = a.Stdout.WriteString(text)
	}
	return err
}

// selectPids keeps the title of ps's output and the lines of the processes.
func selectPids(out string, pids []int) (string, error) {
	title, rest, _ := strings.Cut(out, "\n")
	column := -1
	for i, name := range strings.Fields(title) {
		if name == "PID" {
			column = i
		}
	}
	if column < 0 {
		return "", errors.New("ps: couldn't find PID field in ps output")
	}
	member := make(map[int]bool, len(pids))
	for _, p := range pids {
		member[p] = true
	}
	var b strings.Builder
	b.WriteString(title + "\n")
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		if len(f) <= column {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err == nil && member[pid] {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String(), nil
}
