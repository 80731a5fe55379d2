package runtime

import (
	"errors"
	"fmt"

	"github.com/tare-engine/tare/plan"
	"github.com/tare-engine/tare/spawn"
	"golang.org/x/sys/unix"
)

// gate is a place where the child waits while the engine does something for
// it. The child holds the read end; the end of the pipe ends the child.
type gate struct {
	name  string
	read  plan.Slot
	write int
	work  func(spawn.Process) error
}

func (g *gate) open(p spawn.Process) error {
	if err := g.work(p); err != nil {
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

// newGate adds a gate that the engine opens when work is done.
func (e *env) newGate(name string, work func(spawn.Process) error) plan.Slot {
	i := len(e.gates)
	e.gates = append(e.gates, gate{name: name, write: -1, work: work})
	e.gates[i].read = e.pipe("gate:"+name, func(w int) { e.gates[i].write = w })
	return e.gates[i].read
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
		e.childEnds = append(e.childEnds, fd[0])
		e.ownEnds = append(e.ownEnds, fd[1])
		keep(fd[1])
		return nil
	})
	return read
}

func gatesHost(e *env) error {
	e.startGate = e.pipe("gate:start", func(w int) { e.startWrite = w })
	if s := e.cfg.Split; s != nil {
		e.fifo = e.p.Given("gate:fifo", s.FIFO)
	}
	return nil
}

// startGateChild makes the child wait for the engine's word. The state of the
// container is on disk by then: what runs is always listed.
func startGateChild(e *env) error {
	if e.cfg.Split != nil {
		e.p.Note("wait to be recorded")
		e.p.Gate(e.startGate)
		e.p.Note("wait for the start")
		e.p.Gate(e.fifo)
		return nil
	}
	e.p.Note("wait for the start")
	e.p.Gate(e.startGate)
	return nil
}

func (e *env) openStart() error { return openGate(e.startWrite) }

var errConsoleClosed = errors.New("console: the container ended before it had a terminal")
