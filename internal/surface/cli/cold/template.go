package cold

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/surface/cli"
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
	var lines [][]string
	fill := func(v any) error {
		var b strings.Builder
		if err := t.Execute(&b, v); err != nil {
			return fault.New(fault.Invalid, "format %q: %w", format, err)
		}
		lines = append(lines, strings.Split(b.String(), "\t"))
		return nil
	}
	if tabular {
		heads := headings(rowOf(cli.Headings(columns, rows)))
		if len(rows) == 0 { // nothing listed: nobody knows the fields
			heads.name(t.Root)
		}
		if err := fill(heads); err != nil {
			return "", err
		}
	}
	for _, r := range rows {
		if err := fill(rowOf(r)); err != nil {
			return "", err
		}
	}
	return cli.Lines(lines, tabular), nil
}

func rowOf(cells []cli.Cell) row {
	r := make(row, len(cells))
	for _, c := range cells {
		r[c.Name] = c.Value
	}
	return r
}

// headings is the line of a table's headings.
type headings row

// Label is the heading of a column of one label: the last part of its name.
func (h headings) Label(name string) string {
	name = name[strings.LastIndexByte(name, '.')+1:]
	return strings.NewReplacer("-", " ", "_", " ").Replace(name)
}

// name makes headings for all fields that a template names.
func (h headings) name(n parse.Node) {
	pipe := func(p *parse.PipeNode) {
		if p != nil {
			for _, c := range p.Cmds {
				for _, a := range c.Args {
					h.name(a)
				}
			}
		}
	}
	branch := func(b *parse.BranchNode) {
		pipe(b.Pipe)
		h.name(b.List)
		if b.ElseList != nil {
			h.name(b.ElseList)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, m := range n.Nodes {
			h.name(m)
		}
	case *parse.ActionNode:
		pipe(n.Pipe)
	case *parse.PipeNode:
		pipe(n)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.FieldNode:
		if _, known := h[n.Ident[0]]; !known {
			h[n.Ident[0]] = cli.Heading(n.Ident[0])
		}
	}
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
