// Tare runs containers.
package main

import (
	"os"

	"github.com/tare-engine/tare/internal/surface/cli"
)

func main() { os.Exit(cli.New().Main(os.Args[1:])) }
