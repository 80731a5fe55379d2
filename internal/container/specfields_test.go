package container

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// specFields returns the paths of all fields that hold a value, as in JSON,
// and of those of other platforms.
func specFields(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			out = append(out, specFields(f.Type, path)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := strings.TrimPrefix(path+"."+name, ".")
		if on := f.Tag.Get("platform"); on != "" && !slices.Contains(strings.Split(on, ","), "linux") {
			out = append(out, p)
			continue
		}
		out = append(out, specFields(f.Type, p)...)
	}
	return out
}

// expand reads "`a.{b,c}`, `d`".
func expand(cell string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		before, list, ok := strings.Cut(m[1], "{")
		if !ok {
			out = append(out, m[1])
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(list, "}"), ",") {
			out = append(out, before+name)
		}
	}
	return out
}

// TestSpecFields holds docs/spec-fields.md to the types of the specification,
// to the table of steps and to the tests.
func TestSpecFields(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec-fields.md")
	must(t, err)
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "../spec/cgroup/*_test.go", "../linux/cgroupfs/*_test.go", "../spec/seccomp/*_test.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, f := range files {
			text, err := os.ReadFile(f)
			must(t, err)
			tests.Write(text)
		}
	}
	known := []string{"caller"}
	for _, table := range [][]step{containerSteps, joinSteps, processSteps} {
		for i := range table {
			known = append(known, table[i].name)
		}
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, f := range expand(cells[1]) {
			if seen[f] {
				t.Errorf("%s is in the tables twice", f)
			}
			seen[f] = true
		}
		if len(cells) != 6 {
			continue // not honoured
		}
		if step := strings.TrimSpace(cells[2]); !slices.Contains(known, step) {
			t.Errorf("%s: no step %q", cells[1], step)
		}
		if test := strings.TrimSpace(cells[4]); !strings.Contains(tests.String(), "\nfunc "+test+"(") {
			t.Errorf("%s: no test %q", cells[1], test)
		}
	}
	fields := specFields(reflect.TypeFor[specs.Spec](), "")
	for _, f := range fields {
		if !seen[f] {
			t.Errorf("%s is neither honoured nor refused", f)
		}
		delete(seen, f)
	}
	for f := range seen {
		t.Errorf("the specification has no %s", f)
	}
}
