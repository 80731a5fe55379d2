package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStale fails when a type has changed and its functions have not.
func TestStale(t *testing.T) {
	paths, err := filepath.Glob("../../*/*_json.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range paths {
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := bytes.Cut(have, []byte("; DO NOT EDIT.\n"))
		args, ok := strings.CutPrefix(string(line), header+" -o ")
		if !ok {
			continue
		}
		n++
		f := strings.Fields(args)
		want, err := generate(filepath.Dir(path), f[0], f[1:])
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(have, want) {
			t.Errorf("%s is stale: run go generate ./%s", path, filepath.Base(filepath.Dir(path)))
		}
	}
	if n < 2 {
		t.Errorf("found %d generated files, want those of state and engine", n)
	}
}

func TestRefused(t *testing.T) {
	const method = "\nfunc (U) MarshalText() ([]byte, error)"
	for _, tt := range []struct{ source, want string }{
		{"type T int", "not a struct"},
		{"type X struct{}", "no such type"},
		{"type T struct { A float64 }", "T: A: float64 is not known"},
		{"type T struct { A any }", "is not known"},
		{"type T struct { A []byte }", "bytes are not known"},
		{"type T struct { A map[int]string }", "keys are not strings"},
		{"type T struct { A struct { B int } }", "is not known"},
		{"type T struct { A missing }", "is not known"},
		{"type T struct { A U }\ntype U string" + method, "has MarshalText"},
		{"type T struct { A U }\ntype U string\nfunc (*U) UnmarshalJSON([]byte) error", "has UnmarshalJSON"},
		{"type T struct { A map[U]int }\ntype U string" + method, "keys are not strings"},
		{"type T struct { U }\ntype U struct { A int }" + method, "has MarshalText"},
		{"type T struct { A int; U }\ntype U struct { A int }", "two members are called A"},
		{"type T struct { *U }\ntype U struct { A int }", "only plain structs"},
		{"type T struct { U `json:\"u\"` }\ntype U struct { A int }", "only plain structs"},
		{"type T struct { A int `json:\",string\"` }", `option "string"`},
		{"type T struct { A int `json:\"a<b\"` }", `"a<b" is not plain`},
		{"type T struct { A U `json:\",omitempty\"` }\ntype U struct { B int }", "omitempty of"},
		{"import \"time\"\ntype T struct { A time.Time `json:\",omitempty\"` }", "omitempty does nothing"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x\n\n"+tt.source+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := generate(dir, "x_json.go", []string{"T"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.source, err, tt.want)
		}
	}
}
