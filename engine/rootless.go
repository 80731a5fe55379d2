package engine

import (
	"os"

	"github.com/tare-engine/tare/host"
	"github.com/tare-engine/tare/rootless"
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
	// Of two variables with one name the first counts.
	env := append([]string{"TARE_ROOT=" + o.Root, "TARE_RUN_ROOT=" + o.RunRoot}, os.Environ()...)
	code, err = rootless.Run(os.Args, env, o.RunRoot)
	return code, true, err
}
