package oci

import (
	"flag"
	"io"
	"strings"
)

// flags is a command's flags: those of the flag package, which runc's are too
// (-b x, --bundle x, --bundle=x), with the help texts in the order of their
// declaration.
type flags struct {
	set  *flag.FlagSet
	help []flagHelp
}

type flagHelp struct{ names, value, usage string }

func newFlags(name string) *flags {
	f := &flags{set: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}
	return f
}

// each declares a flag under all its names ("bundle,b").
func (f *flags) each(names, value, usage string, declare func(name string)) {
	f.help = append(f.help, flagHelp{names, value, usage})
	for name := range strings.SplitSeq(names, ",") {
		declare(name)
	}
}

func (f *flags) bool(p *bool, names, usage string) {
	f.each(names, "", usage, func(n string) { f.set.BoolVar(p, n, *p, "") })
}

func (f *flags) string(p *string, names, value, usage string) {
	f.each(names, value, strings.ReplaceAll(usage, "`", ""), func(n string) { f.set.StringVar(p, n, *p, "") })
}

func (f *flags) int(p *int, names, value, usage string) {
	f.each(names, value, usage, func(n string) { f.set.IntVar(p, n, *p, "") })
}

// list declares a flag that may be given several times.
func (f *flags) list(p *[]string, names, value, usage string) {
	f.each(names, value, usage, func(n string) {
		f.set.Func(n, "", func(v string) error { *p = append(*p, v); return nil })
	})
}

func (f *flags) parse(args []string) error { return f.set.Parse(args) }

// parseAll takes flags between the arguments too, unless stop is set: then
// everything behind the first argument is the container's program.
func (f *flags) parseAll(args []string, stop bool) ([]string, error) {
	var rest []string
	for {
		if err := f.set.Parse(args); err != nil {
			return nil, err
		}
		left := f.set.Args()
		ended := len(args) > len(left) && args[len(args)-len(left)-1] == "--"
		if stop || ended || len(left) == 0 {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}
