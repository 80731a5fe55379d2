package main

import (
	"os"
	"strings"
	"testing"
)

// TestWaitWritten: once wait has answered, the end is written down.
func TestWaitWritten(t *testing.T) {
	t.Parallel()
	n := 40
	if os.Getenv("TARE_SOAK") != "" {
		n = 500
	}
	r := keptRig(t)
	for i := range n {
		id := strings.TrimSpace(r.Must(t, "run", "-d", "tare/base", "sh", "-c", "exit 7"))
		if code := r.Must(t, "wait", id); code != "7\n" {
			t.Fatalf("run %d: wait answers %q", i, code)
		}
		got := r.Must(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.Receipt.Exit.Cause}} {{.Receipt.Exit.Code}}", id)
		if got != "exited 7 exit 7\n" {
			t.Fatalf("run %d: after wait %q", i, got)
		}
		r.Must(t, "rm", id)
	}
}
