package containers

import (
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/spec/oci"
)

// ParseSignal is spec.ParseSignal, for surfaces.
func ParseSignal(s string) (unix.Signal, error) { return oci.ParseSignal(s) }
