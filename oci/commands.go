package oci

// action does what a command is for, with the arguments behind its flags.
type action func(a *App, args []string) error

// command is one row of the command line.
type command struct {
	name     string
	args     string
	min, max int  // arguments; max -1: any number
	stop     bool // flags end with the first argument
	short    string
	new      func(*flags) action // declares the flags
}

// commands is a function, not a variable: the rows' functions print it.
func commands() []command {
	return []command{
		{"create", "CONTAINER", 1, 1, false, "make a container of a bundle", newCreate},
		{"start", "CONTAINER", 1, 1, false, "let the program of a created container run", newStart},
		{"run", "CONTAINER", 1, 1, false, "create and start a container, wait for its end and delete it", newRun},
		{"state", "CONTAINER", 1, 1, false, "print how a container is, as JSON", newState},
		{"kill", "CONTAINER [SIGNAL]", 1, 2, false, "send a signal (default SIGTERM) to a container's first process", newKill},
		{"delete", "CONTAINER", 1, 1, false, "remove what is left of a stopped container", newDelete},
		{"list", "", 0, 0, false, "list containers", newList},
		{"exec", "CONTAINER [COMMAND] [ARG...]", 1, -1, true, "run a further process in a container", newExec},
		{"events", "CONTAINER", 1, 1, false, "print statistics and OOM kills as JSON lines", newEvents},
		{"spec", "", 0, 0, false, "write an example of a config.json", newSpec},
		{"checkpoint", "CONTAINER", 1, 1, false, "write a running container to disk, by CRIU", newCheckpoint},
		{"restore", "CONTAINER", 1, 1, false, "bring a container back from a checkpoint", newRestore},
		{"features", "", 0, 0, false, "print what a configuration may ask for, as JSON", newFeatures},
		{"update", "CONTAINER", 1, 1, false, "change the limits of a container", newUpdate},
		{"ps", "CONTAINER [PS OPTIONS...]", 1, -1, true, "show the processes of a container", newPs},
		{"pause", "CONTAINER", 1, 1, false, "stop all processes of a container", newPause},
		{"resume", "CONTAINER", 1, 1, false, "let the processes of a paused container go on", newResume},
	}
}

func find(name string) *command {
	list := commands()
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}
