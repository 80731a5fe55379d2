package flags

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// values is what the test's table sets. A list holds each occurrence in turn.
type values struct {
	all, tty bool
	memory   string
	count    int64
	wait     time.Duration
	list     []string
}

func valuesOf(to any) *values { return to.(*values) }

var table = []Flag{
	{Name: "all", Short: 'a', Set: func(to any, v string) error { return Bool(&valuesOf(to).all, v) }},
	{Name: "count", Value: "n", Set: func(to any, v string) error { return Int(&valuesOf(to).count, v) }},
	{Name: "list", Also: "lists", Short: 'l', Value: "x", Set: func(to any, v string) error { return List(&valuesOf(to).list, v) }},
	{Name: "memory", Short: 'm', Value: "bytes", Set: func(to any, v string) error { return String(&valuesOf(to).memory, v) }},
	{Name: "tty", Short: 't', Set: func(to any, v string) error { return Bool(&valuesOf(to).tty, v) }},
	{Name: "wait", Value: "time", Set: func(to any, v string) error { return Set(&valuesOf(to).wait, v, ParseDuration) }},
}

// recorder notes each flag before it is set, as a Taker.
type recorder struct {
	values
	got []string
}

func (r *recorder) Take(f *Flag, v string) error {
	r.got = append(r.got, f.Name+"="+v)
	return f.Set(&r.values, v)
}

var lines = []string{
	"-at -m 64m x", "--memory=1 -- -a", "-am", "--tty=false -t=x", "-m=3 -a=false", "- --", "--=", "-=", "---a", "-", "x -a y", "-- --", "",
	"--count 0x10 --wait 1m30s", "--count x", "--count 99999999999999999999", "--wait 5", "--all=x", "-l a -l=b --lists c --list=", "--help", "-h", "x -h",
	"--no", "-n=1", "-la", "-l", "--memory -- x", "--a --l=b --m x",
}

// FuzzParse compares Parse with pflag: the same flags, the same arguments, and an
// error where it has one.
func FuzzParse(f *testing.F) {
	for _, l := range lines {
		f.Add(l, true)
		f.Add(l, false)
	}
	f.Fuzz(func(t *testing.T, line string, stop bool) {
		args := strings.Split(line, " ")
		r := &recorder{}
		rest, err := Parse(table, r, args, stop)

		want := &recorder{}
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		set.SetInterspersed(!stop)
		set.Usage = func() {}
		for i := range table {
			fl := &table[i]
			short := ""
			if fl.Short != 0 {
				short = string(fl.Short)
			}
			for _, name := range []string{fl.Name, fl.Also} {
				if name == "" {
					continue
				}
				p := set.VarPF(&oracle{fl, want}, name, short, "")
				if short = ""; fl.Bool() {
					p.NoOptDefVal = "true"
				}
			}
		}
		wantErr := set.Parse(args)
		if (err == nil) != (wantErr == nil) || errors.Is(err, ErrHelp) != errors.Is(wantErr, pflag.ErrHelp) {
			t.Fatalf("%q: error %v, pflag has %v", args, err, wantErr)
		}
		if !slices.Equal(r.got, want.got) || err == nil && !slices.Equal(rest, set.Args()) {
			t.Fatalf("%q: got %q and %q, pflag has %q and %q", args, r.got, rest, want.got, set.Args())
		}
	})
}

// oracle is a flag for pflag.
type oracle struct {
	f *Flag
	r *recorder
}

func (o *oracle) String() string     { return "" }
func (o *oracle) Set(v string) error { return o.r.Take(o.f, v) }
func (o *oracle) Type() string       { return "string" }

// FuzzParseGo compares ParseGo with package flag, to the letter of its errors.
func FuzzParseGo(f *testing.F) {
	for _, l := range lines {
		f.Add(l, true)
		f.Add(l, false)
	}
	f.Fuzz(func(t *testing.T, line string, stop bool) {
		args := strings.Split(line, " ")
		got := &values{}
		rest, err := ParseGo(table, got, args, stop)

		want := &values{}
		wantRest, wantErr := parseStd(want, args, stop)
		if slices.Contains(append(want.list, want.memory), "--") {
			return // parseStd takes the value for the end
		}
		if errors.Is(err, ErrHelp) != errors.Is(wantErr, flag.ErrHelp) {
			t.Fatalf("%q: error %v, package flag has %v", args, err, wantErr)
		}
		if !errors.Is(err, ErrHelp) && text(err) != text(wantErr) {
			t.Fatalf("%q: error %q, package flag has %q", args, text(err), text(wantErr))
		}
		if err == nil && (!slices.Equal(rest, wantRest) || !slices.Equal(got.list, want.list)) {
			t.Fatalf("%q: got %q and %q, package flag has %q and %q", args, got.list, rest, want.list, wantRest)
		}
		got.list, want.list = nil, nil
		if err == nil && got.print() != want.print() {
			t.Fatalf("%q: got %+v, package flag has %+v", args, got, want)
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// parseStd parses with package flag, and again behind each argument.
func parseStd(v *values, args []string, stop bool) (rest []string, err error) {
	set := flag.NewFlagSet("test", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	for _, n := range []string{"all", "a"} {
		set.BoolVar(&v.all, n, false, "")
	}
	for _, n := range []string{"tty", "t"} {
		set.BoolVar(&v.tty, n, false, "")
	}
	for _, n := range []string{"memory", "m"} {
		set.StringVar(&v.memory, n, "", "")
	}
	for _, n := range []string{"list", "lists", "l"} {
		set.Func(n, "", func(s string) error { v.list = append(v.list, s); return nil })
	}
	set.Int64Var(&v.count, "count", 0, "")
	set.DurationVar(&v.wait, "wait", 0, "")
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		left := set.Args()
		ended := len(args) > len(left) && args[len(args)-len(left)-1] == "--"
		if stop || ended || len(left) == 0 {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// print is the values as both dialects read them.
func (v *values) print() string {
	list := []string{"--memory=" + v.memory}
	if v.all {
		list = append(list, "--all")
	}
	if v.tty {
		list = append(list, "--tty=true")
	}
	list = append(list, "--wait", v.wait.String())
	for _, l := range v.list {
		list = append(list, "--list", l)
	}
	return strings.Join(list, "\x00")
}

// FuzzPrint parses what was printed: the same values in both dialects, whatever
// is in them.
func FuzzPrint(f *testing.F) {
	f.Add("64m", "--", "-a=b", true, int64(90e9))
	f.Add("", "", "=", false, int64(-1))
	f.Fuzz(func(t *testing.T, memory, one, two string, all bool, wait int64) {
		want := values{memory: memory, list: []string{one, two}, all: all, tty: !all, wait: time.Duration(wait)}
		if strings.Contains(memory+one+two, "\x00") {
			t.Skip("no argument has a zero byte")
		}
		args := append(strings.Split(want.print(), "\x00"), "--", "--memory")
		for _, parse := range []func([]Flag, any, []string, bool) ([]string, error){Parse, ParseGo} {
			got := values{}
			rest, err := parse(table, &got, args, false)
			if err != nil || got.print() != want.print() || !slices.Equal(rest, []string{"--memory"}) {
				t.Fatalf("%q: %+v and %q, %v", args, got, rest, err)
			}
		}
	})
}

// TestErrors holds what is said of a value that is refused, in each dialect.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ args, docker, runc string }{
		{"--all=x", `invalid argument "x" for "-a, --all" flag: not a boolean`, `invalid boolean value "x" for -all: parse error`},
		{"--count=x", `invalid argument "x" for "--count" flag: not a whole number`, `invalid value "x" for flag -count: parse error`},
		{"--count=99999999999999999999", `invalid argument "99999999999999999999" for "--count" flag: not a whole number`, `invalid value "99999999999999999999" for flag -count: value out of range`},
		{"--wait 5", `invalid argument "5" for "--wait" flag: not a duration such as 30s or 1m30s`, `invalid value "5" for flag -wait: parse error`},
		{"--no", "unknown flag: --no", "flag provided but not defined: -no"},
		{"-at", "", "flag provided but not defined: -at"},
		{"-am", "flag needs an argument: 'm' in -am", "flag provided but not defined: -am"},
		{"--memory", "flag needs an argument: --memory", "flag needs an argument: -memory"},
		{"-h", "help requested", "help requested"},
	} {
		args := strings.Fields(tt.args)
		_, err := Parse(table, &values{}, args, false)
		_, goErr := ParseGo(table, &values{}, args, false)
		if text(err) != tt.docker || text(goErr) != tt.runc {
			t.Errorf("%s:\n%q, want\n%q, and\n%q, want\n%q", tt.args, text(err), tt.docker, text(goErr), tt.runc)
		}
		for _, err := range []error{err, goErr} {
			if err != nil && fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v is %v", tt.args, err, fault.KindOf(err))
			}
		}
	}
	var u *Unknown
	if _, err := Parse(table, &values{}, []string{"--no=1"}, false); !errors.As(err, &u) || u.Name != "no" {
		t.Errorf("the unknown flag is %+v", u)
	}
}

// TestValues calls what setters call.
func TestValues(t *testing.T) {
	var (
		pairs map[string]string
		no    *bool
		nums  []int64
	)
	err := errors.Join(
		Pair(&pairs, "a=b=c"), Pair(&pairs, "a.b"), Pair(&pairs, "é="),
		SetNew(&no, "false", ParseBool), Append(&nums, "0x10", ParseInt), Append(&nums, "-1", ParseInt))
	if err != nil || len(pairs) != 3 || pairs["a"] != "b=c" || pairs["a.b"] != "" || no == nil || *no || !slices.Equal(nums, []int64{16, -1}) {
		t.Errorf("%v %v %v: %v", pairs, no, nums, err)
	}
	if err := Pair(&pairs, "=x"); text(err) != `invalid format "=x": it is name=value` {
		t.Error(err)
	}
}
