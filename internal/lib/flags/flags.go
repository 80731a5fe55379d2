// Package flags is the flags of a command line as rows of a table. A row has
// the name of a flag, its help, and the function that takes its value; parsing,
// help, completion and manual read the same rows.
//
// A table is a variable: its rows are literals and its setters are functions
// that capture nothing, so the linker lays it out, and nothing runs before main.
// A setter that a call returns would be made at each start of the program.
//
// There are two dialects, and a table can be read in either: Parse has pflag's
// rules, which are those of Docker and Podman, and ParseGo those of Go's package
// flag, which are those of runc.
package flags

import (
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Flag is one flag of a command.
type Flag struct {
	Name  string
	Also  string // another name that is as good, or empty
	Value string // what the value is, for the help; empty for a boolean
	Usage string
	// Default is shown in the help. What the setter sets holds the real one.
	Default string
	// Words are values that completion offers.
	Words []string
	// Set takes a value: to is what the caller of the parser wants set. Parsers
	// call it once for each occurrence of the flag, in their order.
	Set    func(to any, value string) error
	Short  byte // 0: none
	Hidden bool
}

// Bool reports whether the flag is a boolean, which needs no value.
func (f *Flag) Bool() bool { return f.Value == "" }

// Taker is something to set that takes the flags itself, instead of their
// setters: it may want to know which were given, or to wait with them.
type Taker interface {
	Take(f *Flag, value string) error
}

// ErrHelp says that --help was among the flags.
var ErrHelp error = &fault.Error{Kind: fault.Invalid, Text: "help requested"}

// Unknown is the error of a flag that is not in the table, by its long name.
type Unknown struct{ Name string }

func (u *Unknown) Error() string { return "unknown flag: --" + u.Name }

func (f *Flag) give(to any, value string) error {
	if t, ok := to.(Taker); ok {
		return t.Take(f, value)
	}
	return f.Set(to, value)
}

func byName(table []Flag, name string) *Flag {
	for i := range table {
		if f := &table[i]; f.Name == name || f.Also == name && name != "" {
			return f
		}
	}
	return nil
}

func byLetter(table []Flag, letter byte) *Flag {
	for i := range table {
		if letter != 0 && table[i].Short == letter {
			return &table[i]
		}
	}
	return nil
}

func invalid(text string) error { return &fault.Error{Kind: fault.Invalid, Text: text} }

// What setters call. Each sets to even where it returns an error: who parses
// drops all of it then.

// Set sets to as parse reads the value.
func Set[T any](to *T, value string, parse func(string) (T, error)) (err error) {
	*to, err = parse(value)
	return err
}

// SetNew sets to, where nil is a flag that was not given.
func SetNew[T any](to **T, value string, parse func(string) (T, error)) (err error) {
	*to = new(T)
	**to, err = parse(value)
	return err
}

// Append adds to a list what parse makes of the value.
func Append[T any](to *[]T, value string, parse func(string) (T, error)) error {
	v, err := parse(value)
	*to = append(*to, v)
	return err
}

// String sets to as it is.
func String(to *string, value string) error {
	*to = value
	return nil
}

// List adds the value as it is.
func List(to *[]string, value string) error {
	*to = append(*to, value)
	return nil
}

// Bool sets to as ParseBool reads the value.
func Bool(to *bool, value string) error { return Set(to, value, ParseBool) }

// Int sets to as ParseInt reads the value.
func Int[T int | int64](to *T, value string) error {
	n, err := ParseInt(value)
	*to = T(n)
	return err
}

// Pair reads name=value into a map. A missing value is empty.
func Pair(to *map[string]string, value string) error {
	name, v, _ := strings.Cut(value, "=")
	if name == "" {
		return invalid("invalid format " + strconv.Quote(value) + ": it is name=value")
	}
	if *to == nil {
		*to = make(map[string]string, 4)
	}
	(*to)[name] = v
	return nil
}

// ParseBool reads a boolean as pflag does: 1, t, true and 0, f, false.
func ParseBool(value string) (bool, error) {
	v, err := strconv.ParseBool(value)
	if err != nil {
		return false, &fault.Error{Kind: fault.Invalid, Text: "not a boolean", Err: err}
	}
	return v, nil
}

// ParseInt reads a number, in decimal or with 0x, 0o or 0b as pflag does.
func ParseInt(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil {
		return 0, &fault.Error{Kind: fault.Invalid, Text: "not a whole number", Err: err}
	}
	return n, nil
}

// ParseDuration reads a duration such as 1m30s.
func ParseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, &fault.Error{Kind: fault.Invalid, Text: "not a duration such as 30s or 1m30s", Err: strconv.ErrSyntax}
	}
	return d, nil
}
