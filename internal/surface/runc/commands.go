package runc

import (
	"slices"
	"time"

	"github.com/tare-engine/tare/internal/lib/flags"
)

// options are what the flags of a command set, and what it does with them and
// the arguments.
type options interface {
	run(a *App, args []string) error
}

// command is one row of the command line.
type command struct {
	name     string
	args     string
	min, max int  // arguments; max -1: any number
	stop     bool // flags end with the first argument
	cold     bool // done by tared, which links CRIU's protocol
	short    string
	tables   [][]flags.Flag
	options  func() options // with their defaults
}

var commands = []command{
	{
		"create", "CONTAINER", 1, 1, false, false, "make a container of a bundle",
		[][]flags.Flag{createRows},
		func() options { return &createOptions{createFlags{bundle: "."}} },
	},
	{
		"start", "CONTAINER", 1, 1, false, false, "let the program of a created container run",
		nil, func() options { return startOptions{} },
	},
	{
		"run", "CONTAINER", 1, 1, false, false, "create and start a container, wait for its end and delete it",
		[][]flags.Flag{createRows, runRows},
		func() options { return &runOptions{createFlags: createFlags{bundle: "."}} },
	},
	{
		"state", "CONTAINER", 1, 1, false, false, "print how a container is, as JSON",
		nil, func() options { return stateOptions{} },
	},
	{
		"kill", "CONTAINER [SIGNAL]", 1, 2, false, false, "send a signal (default SIGTERM) to a container's first process",
		[][]flags.Flag{killRows},
		func() options { return &killOptions{} },
	},
	{
		"delete", "CONTAINER", 1, 1, false, false, "remove what is left of a stopped container",
		[][]flags.Flag{deleteRows},
		func() options { return &deleteOptions{} },
	},
	{
		"list", "", 0, 0, false, false, "list containers",
		[][]flags.Flag{listRows},
		func() options { return &listOptions{format: "table"} },
	},
	{
		"exec", "CONTAINER [COMMAND] [ARG...]", 1, -1, true, false, "run a further process in a container",
		[][]flags.Flag{execRows},
		func() options { return &execFlags{} },
	},
	{
		"events", "CONTAINER", 1, 1, false, false, "print statistics and OOM kills as JSON lines",
		[][]flags.Flag{eventsRows},
		func() options { return &eventsOptions{interval: 5 * time.Second} },
	},
	{
		"spec", "", 0, 0, false, false, "write an example of a config.json",
		[][]flags.Flag{specRows},
		func() options { return &specOptions{} },
	},
	{
		"checkpoint", "CONTAINER", 1, 1, false, true, "write a running container to disk, by CRIU",
		[][]flags.Flag{criuRows, checkpointRows},
		func() options { return &checkpointOptions{criuFlags{statusFD: -1}} },
	},
	{
		"restore", "CONTAINER", 1, 1, false, true, "bring a container back from a checkpoint",
		[][]flags.Flag{createRows, criuRows, restoreRows},
		func() options {
			return &restoreOptions{createFlags: createFlags{bundle: "."}, criuFlags: criuFlags{statusFD: -1}}
		},
	},
	{
		"features", "", 0, 0, false, false, "print what a configuration may ask for, as JSON",
		nil, func() options { return featuresOptions{} },
	},
	{
		"update", "CONTAINER", 1, 1, false, false, "change the limits of a container",
		[][]flags.Flag{updateRows},
		func() options { return &updateOptions{given: map[string]string{}} },
	},
	{
		"ps", "CONTAINER [PS OPTIONS...]", 1, -1, true, false, "show the processes of a container",
		[][]flags.Flag{psRows},
		func() options { return &psOptions{format: "table"} },
	},
	{
		"pause", "CONTAINER", 1, 1, false, false, "stop all processes of a container",
		nil, func() options { return pauseOptions{} },
	},
	{
		"resume", "CONTAINER", 1, 1, false, false, "let the processes of a paused container go on",
		nil, func() options { return resumeOptions{} },
	},
}

// rows are all flags of the command.
func (c *command) rows() []flags.Flag {
	if len(c.tables) == 1 {
		return c.tables[0]
	}
	return slices.Concat(c.tables...)
}

func find(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}
