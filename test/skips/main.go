// Skips prints the tests of a go test -json run that did not run, with their
// reasons, and fails when the list does not name one: a test that no longer runs
// anywhere is not noticed otherwise.
//
//	go run ./test/skips test/skips/list.txt events.json
//
// A line of the list is the name of a test, or *, and what its reason begins with.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: skips LIST EVENTS")
		os.Exit(2)
	}
	unknown, err := check(os.Stdout, os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "skips:", err)
		os.Exit(2)
	}
	if unknown > 0 {
		fmt.Fprintf(os.Stderr, "skips: %d that %s does not name\n", unknown, os.Args[1])
		os.Exit(1)
	}
}

// skipped is a test that did not run.
type skipped struct{ pkg, test, reason string }

func check(w io.Writer, list, events string) (unknown int, err error) {
	known, err := os.ReadFile(list)
	if err != nil {
		return 0, err
	}
	f, err := os.Open(events)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	all, err := read(f)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		note := ""
		if !named(string(known), s) {
			unknown++
			note = " (not in the list)"
		}
		fmt.Fprintf(w, "skipped: %s %s: %s%s\n", s.pkg, s.test, s.reason, note)
	}
	return unknown, nil
}

func named(list string, s skipped) bool {
	for line := range strings.Lines(list) {
		test, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		if (test == s.test || test == "*") && strings.HasPrefix(s.reason, strings.TrimSpace(reason)) {
			return true
		}
	}
	return false
}

// read returns the tests that were skipped, in order.
func read(r io.Reader) ([]skipped, error) {
	said := map[string][]string{}
	var all []skipped
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		if e.Test == "" {
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			said[key] = append(said[key], e.Output)
		case "skip":
			all = append(all, skipped{e.Package, e.Test, reason(said[key])})
		}
	}
	slices.SortFunc(all, func(a, b skipped) int { return strings.Compare(a.pkg+" "+a.test, b.pkg+" "+b.test) })
	return all, lines.Err()
}

// reason is the text of t.Skip: "    file_test.go:12: reason".
func reason(output []string) string {
	for _, l := range slices.Backward(output) {
		if at := strings.Index(l, "_test.go:"); at >= 0 {
			if _, text, ok := strings.Cut(l[at:], ": "); ok {
				return strings.TrimSpace(text)
			}
		}
	}
	return "no reason"
}
