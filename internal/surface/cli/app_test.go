package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// TestFailIsOneLine: what an image or a file name says cannot add lines.
func TestFailIsOneLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stderr")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	app := &App{Stderr: f}
	code := app.fail(126, "run", Within("we\x1bb", fault.WithHint(fault.New(fault.NotFound, "no image %s", "a\nroot: all is well"), "import it")))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "tare: run we b: no image a root: all is well (import it)\n"; code != 126 || string(text) != want {
		t.Errorf("got %d and %q, want %q", code, text, want)
	}
}

func TestCIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cid")
	c, err := newCIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newCIDFile(path); fault.KindOf(err) != fault.Exists {
		t.Errorf("a second run with the same file: %v", err)
	}
	c.close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("no container was made, and the file stays: %v", err)
	}
	if c, err = newCIDFile(path); err != nil {
		t.Fatal(err)
	}
	if err := c.write("abc"); err != nil {
		t.Fatal(err)
	}
	c.close()
	if text, err := os.ReadFile(path); err != nil || string(text) != "abc" {
		t.Errorf("file has %q, %v", text, err)
	}
}

func TestWithinNamesOnce(t *testing.T) {
	for _, tt := range []struct{ object, text, want string }{
		{"web", "no such image: debian", "web: no such image: debian"},
		{"web", "no such container: web", "no such container: web"},
		{"", "no such container: web", "no such container: web"},
	} {
		if got := Within(tt.object, fault.New(fault.NotFound, "%s", tt.text)).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
