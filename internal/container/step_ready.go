package container

// beside is the work that other threads do while the plan is computed.
type beside struct {
	begin bool     // the plan is for execution, not for printing: it begins at once
	last  []func() // add the host ops that wait for it
}

// readyHost is where the engine needs what other threads make: last before
// the clone.
func readyHost(e *env) error {
	for _, wait := range e.beside.last {
		wait()
	}
	return nil
}
