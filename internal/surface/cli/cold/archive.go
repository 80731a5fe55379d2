package cold

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// busy makes the runtime fit for moving much data: a thread that writes files
// shall not keep others from inflating, and a small heap need not be collected
// for each few megabytes.
func busy() {
	runtime.GOMAXPROCS(max(runtime.NumCPU(), minProcs))
	debug.SetGCPercent(gcPercent)
}

const (
	minProcs  = 4
	gcPercent = 400
)

type save struct{ *cli.SaveOptions }

func (s save) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	if s.Output == "" && (s.Format == "oci-dir" || cli.IsTerminal(app.Stdout)) {
		return 0, fault.WithHint(fault.New(fault.Invalid, "cowardly refusing to save to a terminal"), "use -o, or redirect")
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	from := api.Place{Refs: args, Platform: s.Platform}
	if s.Format == "oci-dir" {
		return 0, e.Images.Transfer(ctx, from, api.Place{Kind: api.InDirectory, Path: s.Output, OCI: true}, nil)
	}
	write := func(f *os.File) error {
		return e.Images.Transfer(ctx, from, api.Place{Kind: api.InArchive, Out: f, OCI: s.Format == "oci-archive"}, nil)
	}
	if s.Output == "" {
		return 0, write(app.Stdout)
	}
	return 0, cli.WriteWhole(s.Output, write)
}

type load struct{ *cli.LoadOptions }

func (l load) Run(ctx context.Context, app *cli.App, _ []string) (int, error) {
	if l.Input == "" && cli.IsTerminal(app.Stdin) {
		return 0, fault.WithHint(fault.New(fault.Invalid, "requested load from stdin, but stdin is a terminal"), "use -i, or redirect")
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	busy()
	from := api.Place{Kind: api.InArchive, Path: l.Input, In: app.Stdin, Platform: l.Platform}
	return 0, e.Images.Transfer(ctx, from, api.Place{}, &loaded{app: app})
}

// loaded tells of images that have been loaded.
type loaded struct {
	api.Quiet
	app *cli.App
}

// Done implements api.Reporter.
func (l *loaded) Done(m *api.Transferred) {
	for _, n := range m.Names {
		l.app.Print("Loaded image: " + n + "\n")
	}
	if len(m.Names) == 0 {
		l.app.Print("Loaded image ID: " + m.ID + "\n")
	}
}
