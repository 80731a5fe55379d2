package cli

import (
	"testing"
	"time"

	"github.com/tare-engine/tare/engine"
)

// TestStatusUnseen: of a container whose end nobody saw, no time is made up.
func TestStatusUnseen(t *testing.T) {
	c := engine.ContainerSummary{Status: engine.StatusExited, ExitCode: -1}
	if got, want := containerStatus(&c, time.Now()), "Exited (-1)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
