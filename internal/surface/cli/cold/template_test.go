package cold

import (
	"testing"

	"github.com/tare-engine/tare/internal/surface/cli"
)

func TestTemplate(t *testing.T) {
	columns := []string{"NAMES", "Names", "LABELS", "Labels"}
	rows := [][]cli.Cell{{{Name: "Names", Value: "web"}, {Name: "Labels", Value: "a=1,b=x,y,c=<3>"}, {Name: "ID", Value: "0123"}}}
	for _, tt := range []struct{ in, want string }{
		{`{{.Names}}: {{upper .ID}}`, "web: 0123\n"},
		{`{{.Label "a"}} {{.Label "b"}} {{.Label "c"}} {{.Label "d"}}.`, "1 x,y <3> .\n"},
		{`table {{.Names}}\t{{.Labels}}`, "NAMES     LABELS\nweb       a=1,b=x,y,c=<3>\n"},
		{`{{json .Labels}}`, "\"a=1,b=x,y,c=<3>\"\n"},
		{`{{title "one two_three four's"}}`, "One Two_three Four's\n"},
		{`{{pad .Names 1 2}}|{{truncate .Names 2}}|{{index (split .Labels ",") 0}}|{{join (split "a,b" ",") "-"}}`, " web  |we|a=1|a-b\n"},
		{`{{range split "a b" " "}}{{println .}}{{end}}`, "a\nb\n\n"},
		{`{{if eq .Names "web"}}yes{{end}}`, "yes\n"},
	} {
		got, err := Template(tt.in, columns, rows)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		`table {{.Names}}\t{{.CreatedAt}}`:                                     "NAMES     CREATED AT\n",
		`table {{upper .Names}}\t{{if .State}}{{.Status}}{{end}}`:              "NAMES     STATUS\n",
		`table {{.Names}}\t{{.Label "com.example.app-name"}}\t{{.ID | lower}}`: "NAMES     app name   id\n",
		`{{.Anything}}`: "",
	} {
		if got, err := Template(in, columns, nil); err != nil || got != want {
			t.Errorf("no rows, %s: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`{{.Nope}}`, `{{`, `{{nope .}}`, `{{.Label}}`} {
		if got, err := Template(in, columns, rows); err == nil {
			t.Errorf("%s: got %q", in, got)
		}
	}
}
