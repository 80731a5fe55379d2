package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenDamaged: a start that cannot be cleaned up is a warning, and does
// not keep the engine from opening.
func TestOpenDamaged(t *testing.T) {
	dir := t.TempDir()
	pending := filepath.Join(dir, "run/pending")
	if err := os.MkdirAll(pending, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pending, "0123456789abcdef"), []byte(`{"id`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")}
	if _, err := Open(o); err == nil {
		t.Error("no error where nobody takes warnings")
	}
	var warnings []string
	o.Warn = func(text string) { warnings = append(warnings, text) }
	if _, err := Open(o); err != nil {
		t.Error(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "pending start 0123456789ab") {
		t.Errorf("warnings %q", warnings)
	}
}
