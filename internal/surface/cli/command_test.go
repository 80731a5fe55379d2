package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// recorder notes what it is given.
type recorder struct{ got []string }

// Take implements flags.Taker.
func (r *recorder) Take(f *flags.Flag, v string) error {
	if v == "bad" {
		return fault.New(fault.Invalid, "no good")
	}
	r.got = append(r.got, f.Name+"="+v)
	return nil
}

func testCommand(stop bool) Command {
	return Command{Name: "test", Stop: stop, MaxArgs: -1, Flags: []flags.Flag{
		{Name: "all", Short: 'a'},
		{Name: "interactive", Short: 'i'},
		{Name: "memory", Short: 'm', Value: "bytes"},
		{Name: "tty", Short: 't'},
	}}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args string // separated by spaces
		stop bool
		want string // flags, then arguments after a bar
		err  string
	}{
		{args: "-it -m 64m x y", want: "interactive=true tty=true memory=64m | x y"},
		{args: "-itm64m", want: "interactive=true tty=true memory=64m |"},
		{args: "-m=64m", want: "memory=64m |"},
		{args: "--memory=a=b", want: "memory=a=b |"},
		{args: "--memory --all", want: "memory=--all |"},
		{args: "--memory=", want: "memory= |"},
		{args: "--tty=false -t=false", want: "tty=false tty=false |"},
		{args: "x -a y", want: "all=true | x y"},
		{args: "x -a y", stop: true, want: "| x -a y"},
		{args: "-a -- -i", want: "all=true | -i"},
		{args: "- -a", want: "all=true | -"},
		{args: "x -- -i", stop: true, want: "| x -- -i"},
		{args: "--memroy 1", err: "unknown flag: --memroy (did you mean --memory? See 'tare test --help')"},
		{args: "--xyzzy", err: "unknown flag: --xyzzy (see 'tare test --help')"},
		{args: "-ax", err: "unknown shorthand flag: 'x' in -ax (see 'tare test --help')"},
		{args: "--memory", err: "flag needs an argument: --memory (see 'tare test --help')"},
		{args: "-im", err: "flag needs an argument: 'm' in -im (see 'tare test --help')"},
		{args: "-m bad", err: `invalid argument "bad" for "-m, --memory" flag: no good (see 'tare test --help')`},
		{args: "-ah", err: "help requested"},
		{args: "--help", err: "help requested"},
	} {
		c, r := testCommand(tt.stop), &recorder{}
		rest, err := c.parse(r, strings.Fields(tt.args))
		if err != nil || tt.err != "" {
			if err == nil || err.Error()+hintText(err) != tt.err {
				t.Errorf("%q: error %v, want %q", tt.args, err, tt.err)
			}
			continue
		}
		got := strings.TrimSpace(strings.Join(r.got, " ") + " | " + strings.Join(rest, " "))
		if got != strings.TrimSpace(tt.want) {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// TestTables holds what the parser and the help rely on.
func TestTables(t *testing.T) {
	global := Global()
	for _, c := range append(Commands(), global) {
		names := make([]string, 0, len(c.Flags))
		letters := ""
		for _, f := range c.Flags {
			names = append(names, f.Name)
			if f.Short != 0 && strings.IndexByte(letters, f.Short) >= 0 {
				t.Errorf("%s: letter %c twice", c.Name, f.Short)
			}
			letters += string(f.Short)
			if f.Usage == "" {
				t.Errorf("%s: --%s has no usage", c.Name, f.Name)
			}
		}
		if !slices.IsSorted(names) || len(slices.Compact(names)) != len(c.Flags) {
			t.Errorf("%s: flags are not sorted and unique", c.Name)
		}
	}
}

// TestSetters calls the setter of each row with what it is for: one that is for
// another command panics, and a row may have none.
func TestSetters(t *testing.T) {
	for _, c := range append(Commands(), Global()) {
		var to any = &globals{}
		switch {
		case c.Options != nil:
			to = c.Options()
		case c.New != nil:
			to = c.New()
		}
		for _, f := range c.Flags {
			if f.Set == nil {
				t.Errorf("%s --%s has no setter", c.Name, f.Name)
				continue
			}
			for _, v := range []string{"1", "true", "", "a=b:c"} {
				if err := f.Set(to, v); err != nil && fault.KindOf(err) == fault.Internal {
					t.Errorf("%s --%s %s: %v", c.Name, f.Name, v, err)
				}
			}
		}
	}
}
