package engine

import (
	"os"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/rootless"
	"github.com/tare-engine/tare/internal/linux/host"
)

// DefaultOptions returns the roots of this caller: the system's for root, the
// user's own for everybody else.
func DefaultOptions() Options {
	if host.IsRoot() {
		return Options{Root: DefaultRoot, RunRoot: DefaultRunRoot}
	}
	root, run := rootless.Roots()
	return Options{Root: root, RunRoot: run}
}

// Enter runs this program again as root of a user namespace when the caller
// is not root, and returns its exit code; done is false for root.
func Enter(o Options) (code int, done bool, err error) {
	if host.IsRoot() {
		return 0, false, nil
	}
	code, err = rootless.Run(os.Args, environ(o), o.RunRoot)
	return code, true, err
}

// EnterContainer is Enter for what needs the ids of a container that runs:
// it joins the container's user namespace.
func EnterContainer(o Options, ref string) (code int, done bool, err error) {
	if host.IsRoot() {
		return 0, false, nil
	}
	g, err := ground.Open(o.Root, o.RunRoot, o.Warn)
	if err != nil {
		return 0, false, err
	}
	id, err := g.State.Find(ref)
	if err != nil {
		return 0, false, err
	}
	r, err := g.State.Get(id)
	if err != nil {
		return 0, false, err
	}
	init, err := r.Proc.Open()
	if r.Exited || err != nil {
		return Enter(o)
	}
	code, err = rootless.Join(init, os.Args, environ(o))
	return code, true, err
}

// environ are this process's variables with the roots. Of two variables with
// one name the first counts.
func environ(o Options) []string {
	return append([]string{"TARE_ROOT=" + o.Root, "TARE_RUN_ROOT=" + o.RunRoot}, os.Environ()...)
}
