// Tared does what would make tare slow to start: it is the same command line,
// with the actions that need HTTP, templates or cobra. Tare hands over to it.
package main

import (
	"os"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/cli/cold"
)

func main() {
	app := cli.New()
	app.Cold, app.Template = cold.Action, cold.Template
	app.Value, app.Regexp = cold.Value, cold.Regexp
	os.Exit(app.Main(os.Args[1:]))
}
