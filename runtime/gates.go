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

	arrival *arrival // nil: the work need not wait for the child
}

// arrival is a place that the child says it has come to.
type arrival struct {
	end  plan.Slot // the child's
	read int       // the engine's
}

func (g *gate) open(p spawn.Process) error {
	if g.arrival != nil {
		if err := g.arrival.wait(); err != nil {
			return err
		}
	}
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

// newMeeting is a gate whose work begins when the child has come to it.
func (e *env) newMeeting(name string, work func(spawn.Process) error) int {
	e.newGate(name, work)
	i := len(e.gates) - 1
	e.gates[i].arrival = e.newArrival(name)
	return i
}

// meet makes the child wait at a meeting.
func (e *env) meet(i int) {
	e.arrive(e.gates[i].arrival)
	e.p.Gate(e.gates[i].read)
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
		e.childEnds = append(e.childEnds, fd[1])
		e.ownEnds = append(e.ownEnds, fd[0])
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
