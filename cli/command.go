// Package cli is tare's command line: it translates arguments into calls of
// the engine and renders what comes back.
//
// Commands and their flags are tables (commands.go, run_flags.go), laid out by
// the linker: nothing runs before main, and only the table of the command that
// was named is looked at. The parser follows pflag's rules, which are those of
// Docker's command line. The cold binary tared turns the same tables into
// completion scripts and man pages; see docs/adr/0002-flag-table.md.
package cli

import (
	"context"
	"strings"

	"github.com/tare-engine/tare/fault"
)

// Command is one command of tare.
type Command struct {
	Name    string   // one word, or two: a group's name and the command's
	Aliases []string // one word or two as well
	Args    string   // the arguments in the usage line
	Short   string   // one line, no full stop
	Long    string   // more lines, may be empty
	Example string   // lines to be indented, may be empty
	Flags   []Flag   // sorted by Name
	Hidden  bool

	// Complete says what the arguments name: Images, Containers, or one of
	// the words given. Used by tared only.
	Complete CompleteKind
	States   []string // of CompleteContainers: those in one of these states; nil is all
	Words    []string

	// Stop ends the flags at the first argument, so that those after it
	// belong to the command in the container.
	Stop bool
	// Raw takes all arguments as they are.
	Raw bool
	// MinArgs and MaxArgs bound the number of arguments; MaxArgs -1 is any.
	MinArgs, MaxArgs int

	// Cold says that only tared can do it (docs/adr/0005-hand-over.md).
	Cold bool
	// New makes an action that collects the flags and then runs; nil where
	// Cold is set.
	New func() Action
}

// CompleteKind says what the arguments of a command name.
type CompleteKind uint8

// The kinds.
const (
	CompleteFiles CompleteKind = iota
	CompleteImages
	CompleteContainers
	CompleteWords
	CompleteNothing
)

// Flag is one flag of a command.
type Flag struct {
	Name  string
	Short byte   // 0: none
	Value string // what the value is, for the help; empty for a boolean
	Usage string
	// Default is shown in the help. The action holds the real one.
	Default string
	// NoValue is the value of the flag without one; empty means that it needs
	// one. Booleans have "true".
	NoValue string
	Hidden  bool
	// Words are values that completion offers.
	Words []string
}

// Bool reports whether the flag is a boolean.
func (f *Flag) Bool() bool { return f.Value == "" }

// noValue is what the flag stands for without a value.
func (f *Flag) noValue() (string, bool) {
	if f.Bool() {
		return "true", true
	}
	return f.NoValue, f.NoValue != ""
}

// title is how errors name the flag.
func (f *Flag) title() string {
	if f.Short != 0 {
		return "-" + string(f.Short) + ", --" + f.Name
	}
	return "--" + f.Name
}

// Action is a command that is being run.
type Action interface {
	// Set takes the value of a flag of the command's table; it is called once
	// for each occurrence, in their order.
	Set(flag, value string) error
	// Run does the work and returns the exit code. An error means a code other
	// than 0, and 1 where the code is 0.
	Run(ctx context.Context, app *App, args []string) (int, error)
}

// errHelp asks for the help text.
var errHelp error = &fault.Error{Kind: fault.Invalid, Text: "help requested"}

// parse gives the flags among args to a and returns the other arguments.
func (c *Command) parse(a Action, args []string) ([]string, error) {
	if c.Raw {
		return args, nil
	}
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			args, err = c.long(a, arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = c.bundle(a, arg[1:], args)
		case c.Stop:
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

func (c *Command) long(a Action, arg string, args []string) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	f := c.flag(name)
	if f == nil {
		if name == "help" {
			return nil, errHelp
		}
		return nil, c.unknown("unknown flag: --"+name, name)
	}
	if !given {
		if v, ok := f.noValue(); ok {
			value = v
		} else if len(args) == 0 {
			return nil, c.usage("flag needs an argument: --" + name)
		} else {
			value, args = args[0], args[1:]
		}
	}
	return args, c.set(a, f, value)
}

// bundle reads short flags: -it, -m64m, -m=64m, -m 64m.
func (c *Command) bundle(a Action, arg string, args []string) ([]string, error) {
	for i := 0; i < len(arg); i++ {
		f := c.short(arg[i])
		if f == nil {
			if arg[i] == 'h' {
				return nil, errHelp
			}
			return nil, c.usage("unknown shorthand flag: '" + arg[i:i+1] + "' in -" + arg)
		}
		rest := arg[i+1:]
		switch v, ok := f.noValue(); {
		case len(rest) > 1 && rest[0] == '=':
			return args, c.set(a, f, rest[1:])
		case ok:
			if err := c.set(a, f, v); err != nil {
				return nil, err
			}
		case rest != "":
			return args, c.set(a, f, rest)
		case len(args) > 0:
			return args[1:], c.set(a, f, args[0])
		default:
			return nil, c.usage("flag needs an argument: '" + arg[i:i+1] + "' in -" + arg)
		}
	}
	return args, nil
}

func (c *Command) set(a Action, f *Flag, value string) error {
	err := a.Set(f.Name, value)
	if err == nil {
		return nil
	}
	return c.hinted(fault.New(fault.KindOf(err), "invalid argument %q for %q flag: %w", value, f.title(), err))
}

func (c *Command) flag(name string) *Flag {
	for i := range c.Flags {
		if c.Flags[i].Name == name {
			return &c.Flags[i]
		}
	}
	return nil
}

func (c *Command) short(b byte) *Flag {
	for i := range c.Flags {
		if b != 0 && c.Flags[i].Short == b {
			return &c.Flags[i]
		}
	}
	return nil
}

// check is the number of arguments.
func (c *Command) check(args []string) error {
	switch n := len(args); {
	case n < c.MinArgs && c.MinArgs == 1:
		return c.usage("requires at least 1 argument")
	case n < c.MinArgs:
		return c.usage("requires at least " + string(rune('0'+c.MinArgs)) + " arguments")
	case c.MaxArgs == 0 && n > 0:
		return c.usage("accepts no arguments")
	case c.MaxArgs > 0 && n > c.MaxArgs:
		return c.usage("too many arguments: " + args[c.MaxArgs])
	}
	return nil
}

func (c *Command) usage(text string) error {
	return c.hinted(fault.New(fault.Invalid, "%s", text))
}

// hinted points to the help, unless err has a hint of its own.
func (c *Command) hinted(err error) error {
	if fault.HintOf(err) != "" {
		return err
	}
	return fault.WithHint(err, "see 'tare "+c.Name+" --help'")
}

func (c *Command) unknown(text, name string) error {
	best := ""
	limit := 3
	for i := range c.Flags {
		if f := &c.Flags[i]; !f.Hidden {
			if d := distance(name, f.Name, limit); d < limit {
				best, limit = f.Name, d
			}
		}
	}
	if best == "" {
		return c.usage(text)
	}
	return fault.WithHint(fault.New(fault.Invalid, "%s", text), "did you mean --"+best+"? See 'tare "+c.Name+" --help'")
}

// distance is the number of single-letter edits between a and b, swaps of
// neighbours included, or limit if there are as many.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j]+cost, prev[j+1]+1, cur[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cur[j+1] = min(cur[j+1], before[j-1]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return min(prev[len(b)], limit)
}
