package flags

import (
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Parse gives the flags among args to their setters and returns the other
// arguments. The rules are pflag's: --name value, --name=value, -n value,
// -nvalue, -n=value, bundles (-it), booleans with =false, and -- as the end.
// With stop, the flags end at the first argument.
func Parse(table []Flag, to any, args []string, stop bool) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			args, err = long(table, to, arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = bundle(table, to, arg[1:], args)
		case stop:
			return append(append(rest, arg), args...), nil
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// long takes one --name, whose value may be the next argument.
func long(table []Flag, to any, arg string, args []string) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	f := byName(table, name)
	switch {
	case f == nil && name == "help":
		return nil, ErrHelp
	case f == nil:
		u := &Unknown{name}
		return nil, &fault.Error{Kind: fault.Invalid, Text: u.Error(), Err: u}
	case given:
	case f.Bool():
		value = "true"
	case len(args) == 0:
		return nil, invalid("flag needs an argument: --" + name)
	default:
		value, args = args[0], args[1:]
	}
	return args, f.take(to, value)
}

// bundle takes short flags: -it, -m64m, -m=64m, -m 64m.
func bundle(table []Flag, to any, arg string, args []string) ([]string, error) {
	for i := range len(arg) {
		f := byLetter(table, arg[i])
		if f == nil {
			if arg[i] == 'h' {
				return nil, ErrHelp
			}
			return nil, invalid("unknown shorthand flag: '" + arg[i:i+1] + "' in -" + arg)
		}
		rest := arg[i+1:]
		switch {
		case len(rest) > 1 && rest[0] == '=':
			return args, f.take(to, rest[1:])
		case f.Bool():
			if err := f.take(to, "true"); err != nil {
				return nil, err
			}
		case rest != "":
			return args, f.take(to, rest)
		case len(args) > 0:
			return args[1:], f.take(to, args[0])
		default:
			return nil, invalid("flag needs an argument: '" + arg[i:i+1] + "' in -" + arg)
		}
	}
	return args, nil
}

// take gives a value to the setter, and names the flag where that refuses it.
func (f *Flag) take(to any, value string) error {
	err := f.give(to, value)
	if err == nil {
		return nil
	}
	title := "--" + f.Name
	if f.Short != 0 {
		title = "-" + string(f.Short) + ", " + title
	}
	return fault.New(fault.KindOf(err), "invalid argument %q for %q flag: %w", value, title, err)
}
