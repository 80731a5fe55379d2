package cold

import (
	"encoding/json"
	"strings"
	"text/template"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/fault"
)

// functions are Docker's, besides those of text/template.
var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
	"split": strings.Split,
	"join":  strings.Join,
	"title": title,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"pad": func(s string, before, after int) string {
		if s == "" {
			return s
		}
		return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
	},
	"truncate": func(s string, n int) string {
		r := []rune(s)
		return string(r[:min(n, len(r))])
	},
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Template fills in a format of a list, once for each row; "table" in front
// aligns the columns below a line of headings.
func Template(format string, columns []string, rows [][]cli.Cell) (string, error) {
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	format, tabular := strings.CutPrefix(format, "table ")
	t, err := template.New("format").Funcs(functions).Option("missingkey=error").Parse(format)
	if err != nil {
		return "", fault.New(fault.Invalid, "format %q: %w", format, err)
	}
	if tabular {
		rows = append([][]cli.Cell{cli.Headings(columns, rows)}, rows...)
	}
	var lines [][]string
	for _, r := range rows {
		fields := make(map[string]string, len(r))
		for _, c := range r {
			fields[c.Name] = c.Value
		}
		var b strings.Builder
		if err := t.Execute(&b, fields); err != nil {
			return "", fault.New(fault.Invalid, "format %q: %w", format, err)
		}
		lines = append(lines, strings.Split(b.String(), "\t"))
	}
	return cli.Lines(lines, tabular), nil
}
