package cli

import (
	"slices"

	"github.com/tare-engine/tare/fault"
)

// constructors make the commands, in the order of the help.
func constructors() []func() Command {
	return []func() Command{
		runCommand, psCommand, rmCommand,
		imagesCommand, importCommand, rmiCommand,
		infoCommand, versionCommand, completionCommand, completeCommand,
	}
}

// Commands returns all commands. The table is made for each call; only help
// and tared ask for it.
func Commands() []Command {
	makers := constructors()
	list := make([]Command, len(makers))
	for i, f := range makers {
		list[i] = f()
	}
	return list
}

// lookup returns the command of a name, or nil. Run is looked at first: its
// start is what is measured.
func lookup(name string) *Command {
	if name == "run" {
		c := runCommand()
		return &c
	}
	for _, f := range constructors() {
		if c := f(); c.Name == name || slices.Contains(c.Aliases, name) {
			return &c
		}
	}
	return nil
}

func unknownCommand(name string) error {
	err := fault.New(fault.Invalid, "'%s' is not a tare command", name)
	best, limit := "", 3
	for _, c := range Commands() {
		if d := distance(name, c.Name, limit); d < limit && !c.Hidden {
			best, limit = c.Name, d
		}
	}
	if best != "" {
		return fault.WithHint(err, "did you mean "+best+"? See 'tare --help'")
	}
	return fault.WithHint(err, "see 'tare --help'")
}
