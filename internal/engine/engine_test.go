package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/state"
)

// TestOpenDamaged: a start that cannot be cleaned up is a warning, and does
// not keep the engine from opening.
func TestOpenDamaged(t *testing.T) {
	dir := t.TempDir()
	o := Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")}
	id := strings.Repeat("0123456789abcdef", 4)
	p, err := state.Open(o.Root, o.RunRoot, nil).Begin(state.Pending{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	p.Leave()
	if err := os.MkdirAll(filepath.Join(o.Root, "containers"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Root, "containers", id+".json"), []byte(`{"id`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); err == nil {
		t.Error("no error where nobody takes warnings")
	}
	var warnings []string
	o.Warn = func(text string) { warnings = append(warnings, text) }
	if _, err := Open(o); err != nil {
		t.Error(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "container 0123456789ab: damaged record") {
		t.Errorf("warnings %q", warnings)
	}
}
