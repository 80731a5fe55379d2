package cli

import (
	"context"
	"encoding/json"
	"runtime"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
)

// Version is tare's version; a release build sets it with -ldflags -X.
var Version = "0.1.0-dev"

func versionCommand() Command {
	return Command{
		Name: "version", Short: "Print the version of tare",
		Flags: versionFlags, Complete: CompleteNothing,
		New: func() Action { return &versionAction{} },
	}
}

var versionFlags = []Flag{
	{Name: "format", Value: "string", Usage: "Format of the output: json or a template of {{.Name}}"},
}

type versionAction struct{ format string }

func (v *versionAction) Set(_, value string) error {
	v.format = value
	return nil
}

func (v *versionAction) Run(_ context.Context, app *App, _ []string) (int, error) {
	if v.format == "" {
		app.Print("tare version " + Version + ", " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
		return 0, nil
	}
	text, err := app.Render(v.format, nil, [][]Cell{{
		{"Version", Version},
		{"GoVersion", runtime.Version()},
		{"Os", runtime.GOOS},
		{"Arch", runtime.GOARCH},
	}})
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}

func infoCommand() Command {
	return Command{
		Name: "info", Short: "Show what tare and this machine can do",
		Flags: infoFlags, Complete: CompleteNothing,
		New: func() Action { return &infoAction{} },
	}
}

var infoFlags = []Flag{
	{Name: "format", Value: "string", Usage: "Format of the output: json, or nothing"},
}

type infoAction struct{ format string }

func (i *infoAction) Set(_, v string) error {
	if v != "" && v != "json" {
		return fault.New(fault.Unsupported, "only json is supported yet")
	}
	i.format = v
	return nil
}

func (i *infoAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	info, err := e.Info(ctx)
	if err != nil {
		return 0, err
	}
	if i.format == "json" {
		b, err := json.Marshal(struct {
			*engine.Info
			Version string
		}{info, Version})
		if err != nil {
			return 0, err
		}
		app.Print(string(b) + "\n")
		return 0, nil
	}
	app.Print(infoText(info))
	return 0, nil
}

func infoText(i *engine.Info) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	list := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		b.WriteString(name + ":\n")
		for _, v := range values {
			b.WriteString("  " + v + "\n")
		}
	}
	line("Version", Version)
	line("Containers", strconv.Itoa(i.Containers))
	line("  Running", strconv.Itoa(i.Running))
	line("Images", strconv.Itoa(i.Images))
	line("Storage driver", i.StorageDriver)
	line("Data root", i.Root)
	line("Run root", i.RunRoot)
	line("Cgroup", i.Cgroup)
	line("Cgroup controllers", strings.Join(i.Controllers, " "))
	line("Security", strings.Join(i.Security, " "))
	line("Kernel", i.Kernel)
	line("Operating system", i.OS)
	line("Architecture", i.Arch)
	line("CPUs", strconv.Itoa(i.NCPU))
	line("Memory", binarySize(i.MemTotal))
	list("Missing here", i.Missing)
	list("Warnings", i.Warnings)
	return b.String()
}

// binarySize is a size in powers of 1024, four digits.
func binarySize(n int64) string {
	v := float64(n)
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + units[i]
}
