// Package verify holds tests that check what tare promises of a container from
// the outside, on the running thing. docs/verify.md has each of them as
// commands to type.
package verify

import (
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

func TestMain(m *testing.M) {
	if os.Getenv(callsEnv) != "" {
		os.Exit(makeCalls())
	}
	os.Exit(rig.Main(m))
}

// lines splits what a command printed.
func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

// statusField returns a field of a /proc/PID/status text.
func statusField(t *testing.T, status, name string) string {
	t.Helper()
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no %s in %q", name, status)
	return ""
}
