// Package structure holds the tests of the module as a whole: which of its packages
// know which, and what its hot programs may not import. What they may cost is in
// test/budget.
package structure

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/tare-engine/tare/"
	inside = module + "internal/"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string // and theirs
}

func list(t *testing.T, patterns ...string) map[string]*pkg {
	t.Helper()
	all := map[string]*pkg{}
	for d := json.NewDecoder(strings.NewReader(goList(t, append([]string{"-json=ImportPath,Imports,Deps"}, patterns...)...))); d.More(); {
		p := &pkg{}
		if err := d.Decode(p); err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// order is the line of ARCHITECTURE.md that says how the folders of internal stand.
func order(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(root + "/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if names, ok := strings.CutPrefix(l, "internal/ "); ok {
			return strings.Fields(names)
		}
	}
	t.Fatal("ARCHITECTURE.md has no line that begins with internal/")
	return nil
}

// TestOrder: imports go to the left in the line of folders.
func TestOrder(t *testing.T) {
	folders := order(t)
	if len(folders) > 12 {
		t.Errorf("%d folders: twelve are enough", len(folders))
	}
	entries, err := os.ReadDir(root + "/internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(folders, e.Name()) {
			t.Errorf("internal/%s has no place in the line of ARCHITECTURE.md", e.Name())
		}
	}
	place := func(path string) int {
		rest, ok := strings.CutPrefix(path, inside)
		if !ok {
			return -1
		}
		top, _, _ := strings.Cut(rest, "/")
		return slices.Index(folders, top)
	}
	for _, p := range list(t, "./internal/...") {
		for _, i := range p.Imports {
			if place(i) > place(p.ImportPath) {
				t.Errorf("%s imports %s, which stands to its right", p.ImportPath, i)
			}
			if strings.HasPrefix(i, module) && !strings.HasPrefix(i, inside) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

// rooms stand on one floor: those of a group do not know each other.
var rooms = [][]string{
	{"engine/containers", "engine/execs", "engine/sandboxes", "engine/images", "engine/volumes", "engine/system"},
	{"surface/cli", "surface/runc"},
	{"spec/capability", "spec/cgroup", "spec/seccomp", "spec/userdb"},
	{"lib/exit", "lib/flags", "lib/fsatomic", "lib/jsonappend", "lib/jsonread", "lib/pidfd"},
	{"image/registry", "image/archive"},
	{"keeper/client", "keeper/logs"},
}

// TestRooms: what a room needs of another one is an interface that it declares.
func TestRooms(t *testing.T) {
	all := list(t, "./internal/...")
	for _, floor := range rooms {
		for _, a := range floor {
			p := all[inside+a]
			if p == nil {
				t.Errorf("there is no internal/%s", a)
				continue
			}
			for _, b := range floor {
				if a != b && slices.Contains(p.Deps, inside+b) {
					t.Errorf("internal/%s depends on internal/%s", a, b)
				}
			}
		}
	}
}

// forbidden is what a program, or a package, may not depend on, and why. A name that
// ends in ... is all below it too.
var forbidden = map[string]map[string]string{
	"cmd/tare":     merge(hot, map[string]string{inside + "linux/systemd": "it has no --systemd-cgroup", inside + "linux/criu": "it has no checkpoint"}),
	"cmd/tare-oci": hot,
	"cmd/tare-keeper": {
		"encoding/json": "a keeper's memory is counted in pages", "net": "so it is", "os/exec": "so it is",
		inside + "state": "records are tare's, which it executes at the end", inside + "engine/...": "the engine executes it",
	},
	"internal/engine":            {"net/http": "carriers bring HTTP, in tared"},
	"internal/engine/containers": surfaces,
	"internal/engine/execs":      surfaces,
	"internal/engine/images":     surfaces,
	"internal/engine/sandboxes":  surfaces,
	"internal/engine/volumes":    surfaces,
	"internal/engine/system":     surfaces,
	"internal/spec/...":          pure,
	"internal/linux/plan":        pure,
	"internal/engine/compose":    pure,
	"internal/image/reference": {
		"github.com/distribution/reference/...": "0.67 ms of init", "regexp": "compiled at init",
	},
	"internal/network": {inside + "engine/...": "a driver knows owners, not containers"},
}

// surfaces is what a surface does for the engine.
var surfaces = map[string]string{
	"os/signal": "a second caller in the process would lose its signals", inside + "container/stdio/signals": "a second caller in the process would lose its signals",
}

// hot is what costs start time.
var hot = map[string]string{
	"net/http": "0.5 ms of each start", "net": "0.16 ms", "text/template": "0.24 ms", "regexp": "compiled at init",
	"flag": "package flags has its rules", "github.com/spf13/pflag/...": "package flags has its rules", "github.com/spf13/cobra/...": "0.16 ms",
	"google.golang.org/protobuf/...": "0.4 ms", "google.golang.org/grpc/...": "and more", "gopkg.in/yaml.v3/...": "not in a hot program",
	"github.com/opencontainers/go-digest/...": "regular expressions at init", "github.com/distribution/reference/...": "0.67 ms of init",
	"github.com/checkpoint-restore/go-criu/...": "protobuf; package criu has requests as data", "github.com/aperturerobotics/protobuf-go-lite/...": "the same",
	"github.com/cilium/ebpf/...": "an oracle in tests", "github.com/prometheus/client_golang/...": "not in a hot program",
}

// pure is what a package that only computes has no use for.
var pure = map[string]string{
	"os/exec": "it does no I/O", inside + "linux/spawn": "it does no I/O", inside + "linux/cgroupfs": "it does no I/O",
	inside + "state": "it does no I/O", inside + "storage/snapshot": "it does no I/O",
}

func merge(a, b map[string]string) map[string]string {
	m := map[string]string{}
	for _, from := range []map[string]string{a, b} {
		for k, v := range from {
			m[k] = v
		}
	}
	return m
}

// direct is what a package may not import itself, whatever stands below it.
var direct = map[string]map[string]string{
	"internal/surface/cli/...": {
		inside + "container": "a surface asks the engine", inside + "linux/spawn": "a surface asks the engine",
		inside + "storage/snapshot": "a surface asks the engine", inside + "linux/cgroupfs": "a surface asks the engine",
	},
}

func TestDirect(t *testing.T) {
	for where, what := range direct {
		for _, p := range list(t, "./"+where) {
			for _, i := range p.Imports {
				if why := what[i]; why != "" {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, why)
				}
			}
		}
	}
}

func TestForbidden(t *testing.T) {
	for where, what := range forbidden {
		for _, p := range list(t, "./"+where) {
			for _, d := range p.Deps {
				for f, why := range what {
					below, all := strings.CutSuffix(f, "...")
					if d == f || all && strings.HasPrefix(d+"/", below) {
						t.Errorf("%s depends on %s: %s", p.ImportPath, d, why)
					}
				}
			}
		}
	}
}

// TestContexts: a method of the engine that takes a context is ended by it; one
// that cannot be takes none.
func TestContexts(t *testing.T) {
	err := filepath.WalkDir(root+"/internal/engine", func(path string, e os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("_ context.Context")) {
			t.Errorf("%s: a context is ignored", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
