// Package cli is tare's command line: it translates arguments into calls of
// the engine and renders what comes back.
//
// Commands and their flags are tables (commands.go, run_flags.go), laid out by
// the linker: nothing runs before main, and only the table of the command that
// was named is looked at. A row has all that there is of a flag, its setter too
// (package flags). The cold binary tared turns the same tables into completion
// scripts and man pages; see docs/adr/0002-flag-table.md.
package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// Command is one command of tare.
type Command struct {
	Name    string       // one word, or two: a group's name and the command's
	Aliases []string     // one word or two as well
	Args    string       // the arguments in the usage line
	Short   string       // one line, no full stop
	Long    string       // more lines, may be empty
	Example string       // lines to be indented, may be empty
	Flags   []flags.Flag // sorted by Name
	Without []string     // flags of the table that the command does not have
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

	// New makes an action that the flags are set in and that then runs; nil
	// where Cold is set.
	New func() Action
	// Cold says that only tared can do it (docs/adr/0005-hand-over.md). Options
	// makes what the flags are set in, in both programs; nil without flags.
	Cold    bool
	Options func() any
}

// narrow drops the flags of the table that the command does not have. It is
// done for one that was found: most are only asked for their names.
func (c *Command) narrow() {
	if len(c.Without) > 0 {
		c.Flags = slices.DeleteFunc(slices.Clone(c.Flags), func(f flags.Flag) bool { return slices.Contains(c.Without, f.Name) })
	}
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

// Action is a command that is being run. The setters of its flags know its
// type.
type Action interface {
	// Run does the work and returns the exit code. An error means a code other
	// than 0, and 1 where the code is 0.
	Run(ctx context.Context, app *App, args []string) (int, error)
}

// parse has the setters of the flags among args set what to holds, and returns
// the other arguments.
func (c *Command) parse(to any, args []string) ([]string, error) {
	if c.Raw {
		return args, nil
	}
	rest, err := flags.Parse(c.Flags, to, args, c.Stop)
	if err == nil || errors.Is(err, flags.ErrHelp) {
		return rest, err
	}
	var u *flags.Unknown
	if errors.As(err, &u) {
		if best := c.like(u.Name); best != "" {
			return nil, fault.WithHint(err, "did you mean --"+best+"? See 'tare "+c.Name+" --help'")
		}
	}
	return nil, c.hinted(err)
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

// like is the flag that a name may be a slip of, or "".
func (c *Command) like(name string) string {
	best, limit := "", 3
	for i := range c.Flags {
		if f := &c.Flags[i]; !f.Hidden {
			if d := distance(name, f.Name, limit); d < limit {
				best, limit = f.Name, d
			}
		}
	}
	return best
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
