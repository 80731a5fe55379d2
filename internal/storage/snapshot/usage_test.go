package snapshot

import (
	"os"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	root := t.TempDir()
	s := Open(root)
	if n, err := s.Usage("none"); n != 0 || err != nil {
		t.Errorf("none: %d, %v", n, err)
	}
	upper := root + "/overlay/c1/upper"
	if err := os.MkdirAll(upper+"/"+strings.Repeat("d/", 300), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 5, "d/b": 7} {
		if err := os.WriteFile(upper+"/"+name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"d/s": "/etc/passwd", "up": "..", "loop": "."} {
		if err := os.Symlink(to, upper+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(upper+"/a", upper+"/d/a2"); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Usage("c1"); n != 12 || err != nil {
		t.Errorf("got %d, %v, want 12", n, err)
	}
}
