package flags

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// ParseGo is Parse by the rules of Go's package flag, with its messages, as the
// callers of runc know them: -name is --name, no letters are bundled, -nvalue is
// no flag. Other than there, flags may stand between the arguments; with stop
// they end at the first argument.
func ParseGo(table []Flag, to any, args []string, stop bool) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(rest, args...), nil
		}
		if len(arg) > 1 && arg[0] == '-' {
			var err error
			if args, err = single(table, to, arg, args); err != nil {
				return nil, err
			}
			continue
		}
		rest = append(rest, arg)
		if stop {
			return append(rest, args...), nil
		}
	}
	return rest, nil
}

func single(table []Flag, to any, arg string, args []string) ([]string, error) {
	text := strings.TrimPrefix(arg[1:], "-")
	if text[0] == '-' || text[0] == '=' {
		return nil, invalid("bad flag syntax: " + arg)
	}
	name, value, given := strings.Cut(text, "=")
	f := byName(table, name)
	if f == nil && len(name) == 1 {
		f = byLetter(table, name[0])
	}
	switch {
	case f == nil && (name == "help" || name == "h"):
		return nil, ErrHelp
	case f == nil:
		return nil, invalid("flag provided but not defined: -" + name)
	case f.Bool():
		if !given {
			value = "true"
		}
		if err := f.give(to, value); err != nil {
			return nil, fault.New(fault.KindOf(err), "invalid boolean value %q for -%s: %w", value, name, goError(err))
		}
		return args, nil
	case !given && len(args) == 0:
		return nil, invalid("flag needs an argument: -" + name)
	case !given:
		value, args = args[0], args[1:]
	}
	if err := f.give(to, value); err != nil {
		return nil, fault.New(fault.KindOf(err), "invalid value %q for flag -%s: %w", value, name, goError(err))
	}
	return args, nil
}

var (
	errSyntax error = &fault.Error{Kind: fault.Invalid, Text: "parse error"}
	errRange  error = &fault.Error{Kind: fault.Invalid, Text: "value out of range"}
)

// goError is what package flag says of a value that strconv refuses.
func goError(err error) error {
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return errSyntax
	case errors.Is(err, strconv.ErrRange):
		return errRange
	}
	return err
}
