package main

import (
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

type status string

const (
	pass status = "pass"
	fail status = "FAIL"
	skip status = "skip"
)

// result is what one program said of one runtime.
type result struct {
	passed, skipped int
	failed          []string // descriptions of the tests that failed
	err             string   // the program itself failed
}

func (r *result) status() status {
	switch {
	case r.err != "" || len(r.failed) > 0:
		return fail
	case r.passed == 0:
		return skip
	}
	return pass
}

// parse reads TAP: "ok 1 - text", "not ok 2 - text", "ok 3 # SKIP why".
func parse(out string) result {
	var r result
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch rest, not := strings.CutPrefix(line, "not ok "); {
		case not:
			_, text, _ := strings.Cut(rest, " - ")
			r.failed = append(r.failed, text)
		case strings.HasPrefix(line, "ok ") && strings.Contains(strings.ToUpper(line), "# SKIP"):
			r.skipped++
		case strings.HasPrefix(line, "ok "):
			r.passed++
		}
	}
	return r
}

// why is the first reason of a failure, on one line.
func (r *result) why() string {
	text := r.err
	if len(r.failed) > 0 {
		text = r.failed[0]
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 160 {
		text = text[:160] + "…"
	}
	return text
}

//go:embed reasons.txt
var reasonsText string

// reason is why the judged runtime may fail a program that another passes.
func reason(program string) string {
	for line := range strings.Lines(reasonsText) {
		if name, why, ok := strings.Cut(line, "|"); ok && strings.TrimSpace(name) == program {
			return strings.TrimSpace(why)
		}
	}
	return ""
}

type row struct {
	program string
	results []result // in the order of the runtimes
}

func (r *row) line(runtimes []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-40s", r.program)
	for i := range r.results {
		fmt.Fprintf(&b, " %s %-6s", filepath.Base(runtimes[i]), r.results[i].status())
	}
	if r.results[0].status() == fail {
		b.WriteString("  " + r.results[0].why())
	}
	return b.String()
}

// worse says that the first runtime fails where another one passes.
func (r *row) worse() bool {
	if r.results[0].status() != fail {
		return false
	}
	for i := range r.results[1:] {
		if r.results[i+1].status() == pass {
			return true
		}
	}
	return false
}

type table struct {
	runtimes []string
	rows     []row
}

func (t *table) markdown(w io.Writer) {
	fmt.Fprint(w, "| program |")
	for _, r := range t.runtimes {
		fmt.Fprintf(w, " %s |", filepath.Base(r))
	}
	fmt.Fprintf(w, " why |\n|---|%s---|\n", strings.Repeat("---|", len(t.runtimes)))
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s |", r.program)
		why := ""
		for i := range r.results {
			res := &r.results[i]
			fmt.Fprintf(w, " %s |", res.status())
			if res.status() == fail && why == "" {
				if why = reason(r.program); why != "" && i == 0 {
					continue
				}
				why = filepath.Base(t.runtimes[i]) + ": " + strings.ReplaceAll(res.why(), "|", "\\|")
			}
		}
		fmt.Fprintf(w, " %s |\n", why)
	}
}

// verdict prints the sums and returns the exit code.
func (t *table) verdict(w io.Writer) int {
	fmt.Fprintln(w)
	for i, name := range t.runtimes {
		n := map[status]int{}
		for _, r := range t.rows {
			n[r.results[i].status()]++
		}
		fmt.Fprintf(w, "%s: %d passed, %d failed, %d skipped of %d programs\n",
			filepath.Base(name), n[pass], n[fail], n[skip], len(t.rows))
	}
	code := 0
	for _, r := range t.rows {
		if !r.worse() {
			continue
		}
		if why := reason(r.program); why != "" {
			fmt.Fprintf(w, "%s: fails with %s, passes with another: %s\n", r.program, filepath.Base(t.runtimes[0]), why)
			continue
		}
		fmt.Fprintf(w, "%s: FAILS with %s, and passes with another\n", r.program, filepath.Base(t.runtimes[0]))
		code = 1
	}
	return code
}
