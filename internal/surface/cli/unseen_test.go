package cli

import (
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
)

// TestStatusUnseen: of a container whose end nobody saw, no time is made up.
func TestStatusUnseen(t *testing.T) {
	c := api.ContainerSummary{Status: api.StatusExited, ExitCode: -1}
	if got, want := containerStatus(&c, time.Now()), "Exited (-1)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
