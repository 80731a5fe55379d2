package cli

import (
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// constructors make the commands, in the order of the help.
func constructors() []func() Command {
	return []func() Command{
		runCommand, createCommand, startCommand, attachCommand, execCommand, cpCommand, psCommand, logsCommand, statsCommand, healthcheckCommand,
		stopCommand, restartCommand, killCommand, pauseCommand, unpauseCommand, topCommand, waitCommand, rmCommand,
		imagesCommand, importCommand, saveCommand, loadCommand, rmiCommand,
		tagCommand, historyCommand, commitCommand, imagePruneCommand, imageDiffCommand, imageMountCommand, imageUnmountCommand,
		pullCommand, pushCommand, loginCommand, logoutCommand, searchCommand,
		imageGCCommand, systemCheckCommand,
		infoCommand, systemBootCommand, eventsCommand, versionCommand, completionCommand, completeCommand, keeperCommand, manCommand,
		diffCommand, exportCommand,
		renameCommand, portCommand, updateCommand, containerPruneCommand,
		dfCommand, systemPruneCommand,
		inspectCommand, inspectContainerCommand, inspectImageCommand,
	}
}

// Commands returns all commands. The table is made for each call; only help
// and tared ask for it.
func Commands() []Command {
	makers := constructors()
	list := make([]Command, len(makers))
	for i, f := range makers {
		list[i] = f()
		list[i].narrow()
	}
	return list
}

// lookup finds the command that the arguments begin with, and returns it with
// the arguments that follow its name; or nil and all of them. Run is looked at
// first: its start is what is measured.
func lookup(args []string) (*Command, []string) {
	if args[0] == "run" {
		c := runCommand()
		return &c, args[1:]
	}
	two := ""
	if len(args) > 1 {
		two = args[0] + " " + args[1]
	}
	for _, f := range constructors() {
		c, words := f(), 0
		switch {
		case c.named(args[0]):
			words = 1
		case two != "" && c.named(two):
			words = 2
		default:
			continue
		}
		c.narrow()
		return &c, args[words:]
	}
	return nil, args
}

func (c *Command) named(name string) bool { return c.Name == name || slices.Contains(c.Aliases, name) }

// group returns the commands whose name, or another name, has two words of
// which the first is word: with the second word of the first such name.
func group(word string) []Command {
	var found []Command
	for _, c := range Commands() {
		for _, n := range append([]string{c.Name}, c.Aliases...) {
			if first, second, two := strings.Cut(n, " "); two && first == word {
				c.Name = second
				found = append(found, c)
				break
			}
		}
	}
	return found
}

func groupHelp(word string) string {
	var b strings.Builder
	b.WriteString("Usage:  tare " + word + " COMMAND\n")
	commandList(&b, group(word))
	b.WriteString("\nRun 'tare " + word + " COMMAND --help' for more on a command.\n")
	return b.String()
}

func unknownCommand(args []string) error {
	name := args[0]
	if len(group(name)) > 0 && len(args) > 1 {
		name += " " + args[1]
	}
	err := fault.New(fault.Invalid, "'%s' is not a tare command", name)
	best, limit := "", 3
	for _, c := range Commands() {
		for _, n := range append([]string{c.Name}, c.Aliases...) {
			if d := distance(name, n, limit); d < limit && !c.Hidden {
				best, limit = n, d
			}
		}
	}
	if best != "" {
		return fault.WithHint(err, "did you mean "+best+"? See 'tare --help'")
	}
	return fault.WithHint(err, "see 'tare --help'")
}
