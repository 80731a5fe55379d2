// Tared does what would make tare slow to start: it is the same command line,
// with the actions that need HTTP, templates or cobra. Tare hands over to it,
// and tare-oci for what needs CRIU's protocol.
package main

import (
	"os"

	"github.com/tare-engine/tare/internal/linux/criu/swrk"
	"github.com/tare-engine/tare/internal/surface/cli"
	"github.com/tare-engine/tare/internal/surface/cli/cold"
	"github.com/tare-engine/tare/internal/surface/cli/cold/carriers"
	"github.com/tare-engine/tare/internal/surface/runc"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == runc.Hidden {
		app := runc.New()
		app.CRIU = swrk.Run
		os.Exit(app.Main(os.Args[2:]))
	}
	app := cli.New()
	app.Cold, app.Template = cold.Action, cold.Template
	app.Value, app.Regexp = cold.Value, cold.Regexp
	app.Carriers = carriers.Of(app)
	os.Exit(app.Main(os.Args[1:]))
}
