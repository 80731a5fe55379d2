package cold

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/tare-engine/tare/archive"
	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
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

type save struct {
	format, output, platform string
}

func (s *save) Set(flag, v string) error {
	switch flag {
	case "format":
		switch v {
		case "docker-archive", "oci-archive", "oci-dir":
		default:
			return fault.New(fault.Invalid, "%q is none of docker-archive, oci-archive and oci-dir", v)
		}
		s.format = v
	case "output":
		s.output = v
	case "platform":
		s.platform = v
	}
	return nil
}

func (s *save) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	if s.output == "" && (s.format == "oci-dir" || cli.IsTerminal(app.Stdout)) {
		return 0, fault.WithHint(fault.New(fault.Invalid, "cowardly refusing to save to a terminal"), "use -o, or redirect")
	}
	o := archive.SaveOptions{OCI: s.format == "oci-archive" || s.format == "oci-dir"}
	var err error
	if s.platform != "" {
		if o.Platform, err = image.ParsePlatform(s.platform); err != nil {
			return 0, err
		}
	}
	_, st, _, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	if s.format == "oci-dir" {
		return 0, archive.SaveDir(ctx, st, s.output, args, o)
	}
	write := func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if err := archive.Save(ctx, st, w, args, o); err != nil {
			return err
		}
		return w.Flush()
	}
	if s.output == "" {
		return 0, write(app.Stdout)
	}
	return 0, cli.WriteWhole(s.output, write)
}

type load struct {
	input, platform string
	quiet           bool
}

func (l *load) Set(flag, v string) error {
	switch flag {
	case "input":
		l.input = v
	case "platform":
		l.platform = v
	case "quiet":
		return cli.SetBool(&l.quiet, v)
	}
	return nil
}

func (l *load) Run(ctx context.Context, app *cli.App, _ []string) (int, error) {
	if l.input == "" && cli.IsTerminal(app.Stdin) {
		return 0, fault.WithHint(fault.New(fault.Invalid, "requested load from stdin, but stdin is a terminal"), "use -i, or redirect")
	}
	var o archive.LoadOptions
	var err error
	if l.platform != "" {
		if o.Platform, err = image.ParsePlatform(l.platform); err != nil {
			return 0, err
		}
	}
	e, s, c, err := imageStore(app)
	if err != nil {
		return 0, err
	}
	busy()
	list, err := l.read(ctx, app, s, o)
	if err != nil {
		return 0, err
	}
	for i := range list {
		m := &list[i]
		e.Images.Note("load", m.Image.ID, m.Image.Familiar())
		for _, n := range m.Names {
			app.Print("Loaded image: " + n + "\n")
		}
		if len(m.Names) == 0 {
			app.Print("Loaded image ID: " + m.Image.ID + "\n")
		}
	}
	return 0, collect(e, c)
}

func (l *load) read(ctx context.Context, app *cli.App, s *image.Store, o archive.LoadOptions) ([]archive.Loaded, error) {
	if l.input == "" {
		return archive.Load(ctx, s, app.Stdin, o)
	}
	f, err := os.Open(l.input)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "open %s: %w", l.input, cli.Cause(err))
	}
	defer func() { _ = f.Close() }() // read only
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return archive.LoadDir(ctx, s, l.input, o)
	}
	return archive.Load(ctx, s, f, o)
}
