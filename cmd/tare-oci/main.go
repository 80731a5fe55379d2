// Tare-oci is an OCI runtime: the command line of runc, for engines that run
// containers through one.
package main

import (
	"os"

	"github.com/tare-engine/tare/internal/surface/runc"
)

func main() { os.Exit(runc.New().Main(os.Args[1:])) }
