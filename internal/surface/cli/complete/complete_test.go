package complete

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func candidates(t *testing.T, args ...string) []string {
	t.Helper()
	root := Root(Names{
		Images:     func() []string { return []string{"debian:bookworm", "tare/base:latest"} },
		Containers: func(states []string) []string { return append([]string{"web", "db"}, states...) },
	})
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append([]string{"__complete"}, args...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	var words []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, ":") {
			break
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		words = append(words, word)
	}
	return words
}

func TestCandidates(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"completion", ""}, "bash zsh fish"},
		{[]string{"run", ""}, "debian:bookworm tare/base:latest"},
		{[]string{"run", "--rm", "-it", "-h", "web", "deb"}, "debian:bookworm"},
		{[]string{"run", "debian:bookworm", ""}, ""},
		{[]string{"--root", "/x", "run", "--network", ""}, "none host"},
		{[]string{"run", "--cpuset"}, "--cpuset-cpus --cpuset-mems"},
		{[]string{"rm", ""}, "web db"},
		{[]string{"rm", "web", ""}, "db"},
		{[]string{"stop", "web", ""}, "db running paused restarting"},
		{[]string{"container", "start", "web", ""}, "db created exited"},
		{[]string{"exec", ""}, "web db running"},
		{[]string{"exec", "web", ""}, ""},
	} {
		got := strings.Join(candidates(t, tt.args...), " ")
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		root := Root(Names{})
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{"completion", shell})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "__complete") || !strings.Contains(out.String(), "tare") {
			t.Errorf("%s: not a script:\n%.200s", shell, out.String())
		}
	}
}

// TestMan also catches a table with a name or a letter twice: pflag panics.
func TestMan(t *testing.T) {
	dir := t.TempDir()
	if err := Man(dir, time.Unix(0, 0).UTC()); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "tare-run.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cpuset-cpus", "IMAGE [COMMAND] [ARG...]"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("tare-run.1 lacks %q", want)
		}
	}
}
