package cold

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/surface/cli"
)

type kind string

// FuzzFill compares what the hot program fills in by itself with the language.
func FuzzFill(f *testing.F) {
	type inner struct {
		N int64
		U uint16
	}
	v := &struct {
		Name    string `json:"name"`
		Kind    kind
		On      bool
		In      *inner
		Nil     *inner
		M       map[string]string
		Deep    map[string]*inner
		L       []string
		Raw     json.RawMessage
		Took    time.Duration
		private int
		inner
	}{
		"<web>", "k", true, &inner{-7, 8}, nil,
		map[string]string{"k": "v&"},
		map[string]*inner{"x": {1, 2}},
		[]string{"a"},
		json.RawMessage(`{"a": 1}`), time.Second, 3,
		inner{5, 6},
	}
	for _, s := range []string{
		"{{.Name}}", "{{ .On }}{{.Kind}}", "{{.In.N}}-{{.In.U}}", "{{.Nil}}", "{{.Nil.N}}", "{{.M.k}}{{.M.none}}", "{{.Deep.x.N}}",
		"{{json .M}}", "{{json .}}", "{{json .Raw}}", "{{.Raw}}", "{{.Took}}", "{{.private}}", "{{.N}}", "{{.name}}", "{{.L}}", "a\\tb\\n",
		"{{.Name}} {{", "}}", "{{/* */}}", "{{.Name.X}}", "{{json .Name }}x", "{{ json  .Name}}", "{{.M.k.l}}", "{{..}}", "{{. Name}}", "{{.Name\n}}", "{{\"a\"}}",
	} {
		f.Add(s)
	}
	app := &cli.App{Value: Value}
	f.Fuzz(func(t *testing.T, format string) {
		got, err := app.Fill(format, v)
		fill, verr := Value(format)
		want := ""
		if verr == nil {
			want, verr = fill(v)
		}
		if (err == nil) != (verr == nil) || got != want {
			t.Errorf("%q: got %q, %v; want %q, %v", format, got, err, want, verr)
		}
	})
}
