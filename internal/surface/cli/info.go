package cli

import (
	"context"
	"runtime"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/flags"
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

var versionFlags = []flags.Flag{
	{
		Name: "format", Value: "string", Usage: "Format of the output: json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*versionAction).format, v) },
	},
}

type versionAction struct{ format string }

// versionInfo is what --format sees: tare is its own client and server.
type versionInfo struct {
	Version, GoVersion, Os, Arch string
	Client, Server               *versionInfo `json:",omitempty"`
}

func (v *versionAction) Run(_ context.Context, app *App, _ []string) (int, error) {
	one := versionInfo{Version: Version, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH}
	text := "tare version " + Version + ", " + one.GoVersion + ", " + one.Os + "/" + one.Arch
	if v.format != "" {
		all := one
		all.Client, all.Server = &one, &one
		format := v.format
		if format == "json" {
			format = "{{json .}}"
		}
		var err error
		if text, err = app.Fill(format, &all); err != nil {
			return 0, err
		}
	}
	app.Print(text + "\n")
	return 0, nil
}

func infoCommand() Command {
	return Command{
		Name: "info", Aliases: []string{"system info"}, Short: "Show what tare and this machine can do",
		Flags: infoFlags, Complete: CompleteNothing,
		New: func() Action { return &infoAction{} },
	}
}

var infoFlags = []flags.Flag{
	{
		Name: "format", Value: "string", Usage: "Format of the output: json or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*infoAction).format, v) },
	},
}

type infoAction struct{ format string }

func (i *infoAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	info, err := e.System.Info(ctx)
	if err != nil {
		return 0, err
	}
	if i.format != "" {
		format := i.format
		if format == "json" {
			format = "{{json .}}"
		}
		text, err := app.Fill(format, &struct {
			*api.Info
			Version, ServerVersion string
		}{info, Version, Version})
		if err != nil {
			return 0, err
		}
		app.Print(text + "\n")
		return 0, nil
	}
	app.Print(infoText(info))
	return 0, nil
}

func infoText(i *api.Info) string {
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
	line("  Paused", strconv.Itoa(i.ContainersPaused))
	line("  Stopped", strconv.Itoa(i.ContainersStopped))
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
