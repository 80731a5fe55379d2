package cli

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/tare-engine/tare/fault"
)

// recorder notes what it is given.
type recorder struct{ got []string }

func (r *recorder) Set(flag, v string) error {
	if v == "bad" {
		return fault.New(fault.Invalid, "no good")
	}
	r.got = append(r.got, flag+"="+v)
	return nil
}

func (r *recorder) Run(context.Context, *App, []string) (int, error) { return 0, nil }

func testCommand(stop bool) Command {
	return Command{Name: "test", Stop: stop, MaxArgs: -1, Flags: []Flag{
		{Name: "all", Short: 'a'},
		{Name: "interactive", Short: 'i'},
		{Name: "memory", Short: 'm', Value: "bytes"},
		{Name: "tty", Short: 't'},
		{Name: "mode", Value: "string", NoValue: "auto"},
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
		{args: "--mode --mode=x y", want: "mode=auto mode=x | y"},
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

// FuzzParse compares the parser with pflag: same flags, same arguments, and an
// error where it has one.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"-it -m 64m x", "--memory=1 -- -a", "-am", "--mode x --tty=false", "-m=3 -a=false", "- --", "--=", "-="} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, line string, stop bool) {
		args := strings.Split(line, " ")
		for _, a := range args {
			if strings.Contains(a, "bad") {
				t.Skip("the recorder's own error")
			}
		}
		c, r := testCommand(stop), &recorder{}
		rest, err := c.parse(r, args)

		want := &recorder{}
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		set.SetInterspersed(!stop)
		set.Usage = func() {}
		for i := range c.Flags {
			fl := &c.Flags[i]
			short := ""
			if fl.Short != 0 {
				short = string(fl.Short)
			}
			p := set.VarPF(&oracle{fl, want}, fl.Name, short, "")
			p.NoOptDefVal, _ = fl.noValue()
		}
		wantErr := set.Parse(args)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: error %v, pflag has %v", args, err, wantErr)
		}
		if err == nil && (!slices.Equal(rest, set.Args()) || !slices.Equal(r.got, want.got)) {
			t.Fatalf("%q: got %q and %q, pflag has %q and %q", args, r.got, rest, want.got, set.Args())
		}
	})
}

type oracle struct {
	f *Flag
	r *recorder
}

func (o *oracle) String() string     { return "" }
func (o *oracle) Set(v string) error { return o.r.Set(o.f.Name, v) }
func (o *oracle) Type() string       { return "string" }

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

// TestRunFlagsAreSet finds a flag that is in the table and nowhere else.
func TestRunFlagsAreSet(t *testing.T) {
	for _, c := range append(Commands(), Global()) {
		for _, f := range c.Flags {
			var a Action = &globals{}
			if c.New != nil {
				a = c.New()
			}
			if err := a.Set(f.Name, "1"); fault.KindOf(err) == fault.Internal && err != nil {
				t.Errorf("%s --%s: %v", c.Name, f.Name, err)
			}
		}
	}
}
