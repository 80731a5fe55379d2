// Package tare_test holds the tests of the module as a whole: its layers and
// the start cost of its hot programs.
package tare_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tare-engine/tare/"

// layers says how high each package stands; imports go strictly downward.
var layers = map[string]int{
	"fault": 0, "fsatomic": 0, "jsonappend": 0, "jsonread": 0, "inflate": 0,
	"plan": 1, "seccomp": 1, "capability": 1, "cgroup": 1, "spec": 1, "reference": 1, "layer": 1,
	"layer/unzstd": 1, "layer/deflate": 1, // in the cold program only
	"pidfd": 0, "monitor/wire": 1, "spawn/nofile": 1, "spawn/sigpipe": 1,
	"spawn": 2, "cgroupfs": 2, "systemd": 2, "host": 2, "state": 2, "image": 2, "snapshot": 2, "events": 2,
	"logs":    2,
	"archive": 3, "runtime": 3, "monitor": 3, "monitor/keeper": 3, "registry": 3, // stand on other mechanisms
	"image/conf": 4, "rootless": 4, "engine": 5,
	"cli": 6, "oci": 6,
	"cli/complete": 7, // from here on in the cold program only
	"cli/cold":     8,
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

func TestLayers(t *testing.T) {
	out := goList(t, "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		from, ok := strings.CutPrefix(f[0], module)
		if !ok || strings.HasPrefix(from, "cmd/") || strings.HasPrefix(from, "test/") || from == "bench" || strings.HasPrefix(from, "bench/") || strings.Contains(from, "internal") {
			continue
		}
		high, ok := layers[from]
		if !ok {
			t.Errorf("package %s has no layer: add it to the table", from)
			continue
		}
		for _, imp := range f[1:] {
			to, ok := strings.CutPrefix(imp, module)
			if !ok || strings.Contains(to, "internal") {
				continue
			}
			if low, known := layers[to]; known && low >= high {
				t.Errorf("%s (layer %d) imports %s (layer %d)", from, high, to, low)
			}
		}
	}
}

// hotPrograms start containers; the value makes them do nothing and end.
var hotPrograms = map[string]string{"tare": "version", "tare-oci": "--version"}

// TestHotDependencies keeps what costs start time out of the programs that
// start containers.
func TestHotDependencies(t *testing.T) {
	forbidden := []string{
		"net/http", "net", "text/template", "regexp", "google.golang.org/protobuf", "google.golang.org/grpc",
		"github.com/opencontainers/go-digest", "github.com/distribution/reference", "gopkg.in/yaml.v3",
		"github.com/cilium/ebpf", "github.com/prometheus/client_golang", "github.com/spf13/cobra",
	}
	for name := range hotPrograms {
		for _, d := range strings.Fields(goList(t, "-deps", "./cmd/"+name)) {
			for _, f := range forbidden {
				if d == f || strings.HasPrefix(d, f+"/") && strings.Contains(f, ".") {
					t.Errorf("cmd/%s imports %s", name, d)
				}
			}
		}
	}
}

func buildProgram(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir() // built as it is for the users
	if out, err := exec.Command("make", "build", "PROGRAMS="+name, "BIN="+dir).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return filepath.Join(dir, name)
}

// TestStartBudget holds the hot programs to 6 MB, and their
// own packages to 0.03 ms of initialisation each, 0.5 ms together. A page
// fault in the wrong place can cost more than a package does, so each
// package's best of many runs counts.
func TestStartBudget(t *testing.T) {
	for name, arg := range hotPrograms {
		t.Run(name, func(t *testing.T) { startBudget(t, name, arg) })
	}
}

func startBudget(t *testing.T, name, arg string) {
	bin := buildProgram(t, name)
	fi, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Size() > 6e6 {
		t.Errorf("cmd/%s is %d bytes, budget 6 MB", name, fi.Size())
	}
	line := regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock`)
	best := map[string]float64{}
	for range 20 {
		cmd := exec.Command(bin, arg)
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", arg, err, out)
		}
		for _, m := range line.FindAllStringSubmatch(string(out), -1) {
			ms, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := best[m[1]]; !ok || ms < old {
				best[m[1]] = ms
			}
		}
	}
	total := 0.0
	for pkg, ms := range best {
		if !strings.Contains(pkg, ".") {
			continue // the standard library
		}
		total += ms
		if ms > 0.03 {
			t.Errorf("package %s takes %.3f ms to initialise, budget 0.03", pkg, ms)
		}
	}
	if total > 0.5 {
		t.Errorf("packages outside the standard library take %.3f ms together, budget 0.5", total)
	}
	t.Logf("%d packages with initialisation, %.3f ms outside the standard library, %d bytes", len(best), total, fi.Size())
}
