package cold

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"text/template"
	"unicode"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/fault"
)

// functions are Docker's, besides those of text/template.
var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		err := e.Encode(v)
		return strings.TrimSuffix(b.String(), "\n"), err
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

// row is one line of a list, for {{.Name}} and {{.Label "name"}}.
type row map[string]string

// Label returns the value of one of .Labels, or "".
func (r row) Label(name string) string {
	value, found := "", false
	for part := range strings.SplitSeq(r["Labels"], ",") {
		k, v, pair := strings.Cut(part, "=")
		switch {
		case found && !pair: // a comma in the value
			value += "," + part
		case found:
			return value
		case pair && k == name:
			value, found = v, true
		}
	}
	return value
}

// title begins each word with a capital, as Docker's does.
func title(s string) string {
	before := ' '
	return strings.Map(func(r rune) rune {
		inside := unicode.IsLetter(before) || unicode.IsDigit(before) || before == '_' || before == '\''
		before = r
		if inside {
			return r
		}
		return unicode.ToTitle(r)
	}, s)
}

// Template fills in a format of a list, once for each row; "table" in front
// aligns the columns below a line of headings.
func Template(format string, columns []string, rows [][]cli.Cell) (string, error) {
	format = escapes.Replace(format)
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
		fields := make(row, len(r))
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

// escapes are what a shell's quotes leave in a template.
var escapes = strings.NewReplacer(`\t`, "\t", `\n`, "\n")

// Value returns what fills in a template with one value. The names are those
// of its fields, or else those of its JSON: both .ID and .Id of a container.
func Value(format string) (func(any) (string, error), error) {
	t, err := template.New("").Funcs(functions).Parse(escapes.Replace(format))
	if err != nil {
		return nil, fault.New(fault.Invalid, "format %q: %w", format, err)
	}
	raw, err := t.Clone()
	if err != nil {
		return nil, err
	}
	raw.Option("missingkey=error")
	return func(v any) (string, error) {
		var b strings.Builder
		err := t.Execute(&b, v)
		if err == nil {
			return b.String(), nil
		}
		b.Reset()
		if plain, perr := plain(v); perr == nil && raw.Execute(&b, plain) == nil {
			return b.String(), nil
		}
		return "", fault.New(fault.Invalid, "format %q: %w", format, err)
	}, nil
}

// plain is v as its JSON has it.
func plain(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out any
	err = d.Decode(&out)
	return out, err
}

// Regexp compiles a regular expression.
func Regexp(pattern string) (func(string) bool, error) {
	r, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	return r.MatchString, nil
}
