package container

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// Gate is a place where the child waits while this process works for it. What
// the child waits for is a pipe: if this process ends, so does the child.
type Gate struct {
	// Name is for error messages, plans and traces.
	Name string
	// Work is done once for each start, and not by two gates at a time. An
	// error undoes the start and is its error.
	Work func(spawn.Process) error
	// Meet lets the work begin when the child has come to the gate. Without
	// it the work goes on beside what the child does before the gate, from
	// the clone on, when the child need not be in its namespaces yet.
	Meet bool
}

// gates are the places where the child waits.
type gates struct {
	list  []*gate   // in the order in which the child comes to them
	start gate      // the last, which no work opens, but Container.Start
	fifo  plan.Slot // the start gate of a split container
}

// gate is a Gate with its pipe. The child holds the read end.
type gate struct {
	Gate
	step  string // the one that has added it
	read  plan.Slot
	write int
	begun bool // the work has

	arrival *arrival // nil: nobody has to know that the child is there
}

// of returns the gates that a step has added.
func (g *gates) of(step string) []*gate {
	var list []*gate
	for _, one := range g.list {
		if one.step == step {
			list = append(list, one)
		}
	}
	return list
}

// begun reports whether the work of a step's gates has.
func (g *gates) begun(step string) bool {
	return slices.ContainsFunc(g.of(step), func(one *gate) bool { return one.begun })
}

// arrival is a place that the child says it has come to.
type arrival struct {
	end  plan.Slot // the child's
	read int       // the engine's
}

// open does the work and lets the child go on.
func (g *gate) open(p spawn.Process) error {
	if g.arrival != nil {
		if err := g.arrival.wait(); err != nil {
			return err
		}
	}
	g.begun = true
	if err := g.Work(p); err != nil {
		return err
	}
	return openGate(g.write)
}

func openGate(fd int) error {
	// The pipe is empty and its buffer larger than one byte: no partial write.
	for {
		_, err := unix.Write(fd, []byte{1})
		if err != unix.EINTR {
			return err
		}
	}
}

// newGate adds a gate to the step that begins.
func (e *env) newGate(of Gate) *gate {
	g := &gate{Gate: of, step: e.p.Steps[len(e.p.Steps)-1], write: -1}
	e.gates.list = append(e.gates.list, g)
	g.read = e.pipe("gate:"+g.Name, func(w int) { g.write = w })
	if g.Meet {
		g.arrival = e.newArrival(g.Name)
	}
	return g
}

// wait makes the child wait at a gate.
func (e *env) wait(g *gate) {
	if g.arrival != nil {
		e.arrive(g.arrival)
	}
	e.p.Gate(g.read)
}

// waitFor makes the child wait at the gates of a step.
func (e *env) waitFor(step string) {
	for _, g := range e.gates.of(step) {
		e.wait(g)
	}
}

func (e *env) newArrival(name string) *arrival {
	a := &arrival{end: e.p.HostSlot("arrival:" + name), read: -1}
	e.p.Do(func() []string { return []string{"pipe2([read end, arrival:" + name + "], O_CLOEXEC)"} }, func(s plan.Slots) error {
		var fd [2]int
		if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("pipe %s: %w", name, err)
		}
		s.Set(a.end, fd[1])
		a.read = fd[0]
		e.ends.child = append(e.ends.child, fd[1])
		e.ends.own = append(e.ends.own, fd[0])
		return nil
	})
	return a
}

func (e *env) arrive(a *arrival) {
	e.p.Write(plan.InChild, a.end.Arg(), "a")
	e.p.Close(plan.InChild, a.end.Arg())
}

// wait returns EPIPE when the child has ended before.
func (a *arrival) wait() error {
	var b [1]byte
	for {
		n, err := unix.Read(a.read, b[:])
		switch {
		case err == unix.EINTR:
		case err == nil && n == 0:
			return unix.EPIPE
		default:
			return err
		}
	}
}

// pipe adds a host action that makes a pipe whose read end is the slot.
func (e *env) pipe(name string, keep func(write int)) plan.Slot {
	read := e.p.HostSlot(name)
	e.p.Do(func() []string { return []string{"pipe2([" + name + ", write end], O_CLOEXEC)"} }, func(s plan.Slots) error {
		var fd [2]int
		if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("pipe %s: %w", name, err)
		}
		s.Set(read, fd[0])
		e.ends.child = append(e.ends.child, fd[0])
		e.ends.own = append(e.ends.own, fd[1])
		keep(fd[1])
		return nil
	})
	return read
}

// gatesHost makes the start gate.
func gatesHost(e *env) error {
	e.gates.start = gate{Gate: Gate{Name: "start"}, write: -1}
	e.gates.start.read = e.pipe("gate:start", func(w int) { e.gates.start.write = w })
	if s := e.cfg.Split; s != nil {
		e.gates.fifo = e.p.Given("gate:fifo", s.FIFO)
	}
	return nil
}

// callerGatesHost adds the gates of the configuration.
func callerGatesHost(e *env) error {
	for _, g := range e.cfg.Gates {
		e.newGate(g)
	}
	return nil
}

// callerGatesChild waits where the first comes that may look for what the
// caller does: hooks, sysctls of a network device. The longer the child can go
// on before, the less it waits.
func callerGatesChild(e *env) error {
	for _, g := range e.gates.of("caller-gates") {
		e.p.Note("wait for " + g.Name)
		e.wait(g)
	}
	return nil
}

// startGateChild makes the child wait for the engine's word. The state of the
// container is on disk by then: what runs is always listed.
func startGateChild(e *env) error {
	if e.cfg.Split != nil {
		e.p.Note("wait to be recorded")
		e.p.Gate(e.gates.start.read)
		e.p.Note("wait for the start")
		e.p.Gate(e.gates.fifo)
		return nil
	}
	e.p.Note("wait for the start")
	e.p.Gate(e.gates.start.read)
	return nil
}

func (e *env) openStart() error { return openGate(e.gates.start.write) }

var errConsoleClosed = errors.New("console: the container ended before it had a terminal")
