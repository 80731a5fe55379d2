package cli

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonappend"
)

// Cell is one named value of a row.
type Cell struct{ Name, Value string }

// Render writes rows in a format: "" or "table" is a table of the columns,
// given as heading and name in turns; "json" is one object a line, as Docker
// writes them; anything else is a template of text and {{.Name}}, which may
// start with "table".
func (app *App) Render(format string, columns []string, rows [][]Cell) (string, error) {
	var b strings.Builder
	switch format {
	case "", "table":
		names := make([]string, 0, len(columns)/2)
		table := make([][]string, 1, len(rows)+1)
		for i := 0; i < len(columns); i += 2 {
			table[0] = append(table[0], columns[i])
			names = append(names, columns[i+1])
		}
		for _, r := range rows {
			line := make([]string, len(names))
			for i, n := range names {
				line[i] = value(r, n)
			}
			table = append(table, line)
		}
		align(&b, table)
	case "json":
		for _, r := range rows {
			b.WriteByte('{')
			for i, c := range r {
				if i > 0 {
					b.WriteByte(',')
				}
				b.Write(jsonappend.String(append(jsonappend.String(nil, c.Name), ':'), c.Value))
			}
			b.WriteString("}\n")
		}
	default:
		return app.template(format, columns, rows)
	}
	return b.String(), nil
}

// template fills in {{.Name}} and {{json .}}; what needs more of a language is
// the cold binary's.
func (app *App) template(format string, columns []string, rows [][]Cell) (string, error) {
	source := format
	format, tabular := strings.CutPrefix(format, "table ")
	texts, exprs, ok := simpleTemplate(format)
	names := make([]string, len(exprs))
	for i, x := range exprs {
		names[i] = strings.TrimPrefix(x, ".")
		if x == "json ." {
			names[i] = ""
		} else if strings.ContainsAny(names[i], " .") {
			ok = false
		}
	}
	if !ok {
		return app.language(source, columns, rows)
	}
	var lines [][]string
	if tabular {
		rows = append([][]Cell{Headings(columns, rows)}, rows...)
	}
	for _, r := range rows {
		var b strings.Builder
		for i, text := range texts {
			b.WriteString(text)
			if i == len(names) {
				break
			}
			switch n := names[i]; {
			case n == "":
				s, err := app.Render("json", nil, [][]Cell{r})
				if err != nil {
					return "", err
				}
				b.WriteString(strings.TrimSuffix(s, "\n"))
			case !has(r, n) && tabular && len(rows) == 1: // nothing listed: nobody knows the fields
				b.WriteString(Heading(n))
			case !has(r, n):
				return "", fault.New(fault.Invalid, "format %q: there is no field %s", format, n)
			default:
				b.WriteString(value(r, n))
			}
		}
		lines = append(lines, strings.Split(b.String(), "\t"))
	}
	return Lines(lines, tabular), nil
}

// Lines joins the fields of lines by tabs, or aligns them in columns.
func Lines(lines [][]string, aligned bool) string {
	var b strings.Builder
	if aligned {
		align(&b, lines)
		return b.String()
	}
	for _, l := range lines {
		b.WriteString(strings.Join(l, "\t") + "\n")
	}
	return b.String()
}

// language is a template that needs text/template, which the hot program does
// without.
func (app *App) language(format string, columns []string, rows [][]Cell) (string, error) {
	if app.Template == nil {
		return "", errCold
	}
	return app.Template(format, columns, rows)
}

// Headings is a row of the names of the columns.
func Headings(columns []string, rows [][]Cell) []Cell {
	var heads []Cell
	for i := 0; i < len(columns); i += 2 {
		heads = append(heads, Cell{columns[i+1], columns[i]})
	}
	if len(rows) > 0 {
		for _, c := range rows[0] {
			if !has(heads, c.Name) {
				heads = append(heads, Cell{c.Name, Heading(c.Name)})
			}
		}
	}
	return heads
}

// Heading makes "CREATED AT" of "CreatedAt".
func Heading(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' && name[i-1] >= 'a' && name[i-1] <= 'z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

func has(row []Cell, name string) bool {
	for _, c := range row {
		if c.Name == name {
			return true
		}
	}
	return false
}

func value(row []Cell, name string) string {
	for _, c := range row {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// minColumn is the least width of a column with the space behind it: Docker's.
const minColumn = 10

// align writes lines with their columns at least three spaces apart.
func align(b *strings.Builder, lines [][]string) {
	var widths []int
	for _, l := range lines {
		for i, s := range l {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	for _, l := range lines {
		for i, s := range l {
			b.WriteString(s)
			if i < len(l)-1 {
				pad(b, max(widths[i]+3, minColumn)-utf8.RuneCountInString(s))
			}
		}
		b.WriteByte('\n')
	}
}

// Ago is how Docker says how long ago something was.
func Ago(t, now time.Time) string { return duration(now.Sub(t)) + " ago" }

// duration is Docker's rough duration: "3 minutes", "About an hour".
func duration(d time.Duration) string {
	seconds, minutes := int(d.Seconds()), int(d.Minutes())
	hours := int(d.Hours() + 0.5)
	count := func(n int, unit string) string { return strconv.Itoa(n) + " " + unit }
	switch {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return count(seconds, "seconds")
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return count(minutes, "minutes")
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return count(hours, "hours")
	case hours < 24*7*2:
		return count(hours/24, "days")
	case hours < 24*30*2:
		return count(hours/24/7, "weeks")
	case hours < 24*365*2:
		return count(hours/24/30, "months")
	default:
		return count(int(d.Hours())/24/365, "years")
	}
}

// Size is Docker's size: powers of 1000, three digits.
func Size(n int64) string {
	v := float64(n)
	units := [...]string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
		i++
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + units[i]
}

// Clip shortens s to n characters, the last of which says so.
func Clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// createdAt is a time as Docker prints it.
func createdAt(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -0700 MST") }
