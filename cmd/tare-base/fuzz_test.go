package main

import (
	"bufio"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

func FuzzSed(f *testing.F) {
	for _, s := range []string{"s/a/b/", "1,$d", "/x/,/y/p", `s|a\|b|\1&|g2;$!q`, "2!s/a*/x/gp"} {
		f.Add(s, "one\ntwo\nxay\n")
	}
	f.Fuzz(func(t *testing.T, script, text string) {
		cmds, err := parseSed(script, false)
		if err != nil {
			return
		}
		sedRun(cmds, strings.Split(text, "\n"), false, func(string) {})
	})
}

// What a basic regular expression without operators becomes matches itself.
func FuzzBasicRegexp(f *testing.F) {
	for _, s := range []string{"a+b", "(x)", "a{1}", "|", "[]]", "[^]a]*", `\(a\)\{2\}`, `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := basicToExtended(s)
		re, err := regexp.Compile(e)
		if err == nil && !strings.ContainsAny(s, `\[]*.^$`) && !re.MatchString(s) {
			t.Errorf("%q became %q, which does not match it", s, e)
		}
	})
}

func FuzzPrintf(f *testing.F) {
	f.Add("%s %d %x %5.2f %b %c %%\\n", "a", "7")
	f.Add("%*d|%-5s|%q", "3", "'x")
	f.Add(`\x41\101\u20ac\c`, "", "")
	f.Fuzz(func(t *testing.T, format, a, b string) {
		if regexp.MustCompile(`[0-9]{4}|\*`).MatchString(format) {
			return // widths that only fill memory
		}
		p := &proc{name: "printf", out: bufio.NewWriter(io.Discard), err: io.Discard}
		args := []string{a, b}
		p.printfOnce(format, &args)
	})
}

// A rewritten script still parses, and one without jobs and exec is unchanged.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{"a & b", "exec a", "(exec a); wait $!", "for i in 1; do x & done", "f() { a & }; f", `"$!"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := syntax.NewParser().Parse(strings.NewReader(s), "")
		if err != nil {
			return
		}
		var before, after strings.Builder
		if err := syntax.NewPrinter().Print(&before, file); err != nil {
			return
		}
		rewrite(file, false)
		if err := syntax.NewPrinter().Print(&after, file); err != nil {
			t.Fatal(err)
		}
		if _, err := syntax.NewParser().Parse(strings.NewReader(after.String()), ""); err != nil {
			if _, e := syntax.NewParser().Parse(strings.NewReader(before.String()), ""); e == nil {
				t.Errorf("%q became %q: %v", s, after.String(), err)
			}
		}
		plain := !strings.Contains(s, "&") && !strings.Contains(s, "exec") && !strings.Contains(s, "!")
		if plain && before.String() != after.String() {
			t.Errorf("%q became %q", s, after.String())
		}
	})
}

func TestParseMode(t *testing.T) {
	for _, tt := range []struct {
		mode       string
		from, want uint32
		ok         bool
	}{
		{"755", 0, 0o755, true},
		{"u+x", 0o644, 0o744, true},
		{"go-rwx", 0o777, 0o700, true},
		{"a=r,u+w", 0o777, 0o644, true},
		{"+x", 0o644, 0o755, true}, // with umask 022
		{"u=g", 0o640, 0o440, true},
		{"g+s,+t", 0o755, 0o3755, true},
		{"a+X", 0o644, 0o644, true},
		{"9", 0, 0, false},
		{"u", 0, 0, false},
		{"z+x", 0, 0, false},
	} {
		got, ok := parseMode(tt.mode, tt.from, 0o022)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseMode(%q, %o) = %o, %v; want %o, %v", tt.mode, tt.from, got, ok, tt.want, tt.ok)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "12": 12, "1k": 1024, "1K": 1024, "2M": 2 << 20, "1G": 1 << 30, "3kB": 3000, "1MiB": 1 << 20, "2b": 1024,
	} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "1x", "k", "1kk"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", s, got)
		}
	}
}

func TestGetopt(t *testing.T) {
	o, rest, bad := parseOptions([]string{"-ab", "x", "-n5", "--lines=7", "y", "--", "-z"}, "abn: lines=n")
	if bad != "" || !o.has('a') || !o.has('b') || o.get('n', "") != "7" || !slices.Equal(rest, []string{"x", "y", "-z"}) {
		t.Errorf("got %v %q %q", o, rest, bad)
	}
	_, rest, _ = parseOptions([]string{"-a", "cmd", "-x"}, "+a")
	if !slices.Equal(rest, []string{"cmd", "-x"}) {
		t.Errorf("flags after the command are taken: %q", rest)
	}
	for _, args := range [][]string{{"-q"}, {"-n"}, {"--nope"}, {"--lines"}} {
		if _, _, bad := parseOptions(args, "abn: lines=n"); bad == "" {
			t.Errorf("%q is accepted", args)
		}
	}
}
