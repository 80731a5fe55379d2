package container

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// Split is for a container that another process starts, when this one has
// ended (docs/adr/0005). Its start gate is a FIFO instead of a pipe: the
// child holds it O_RDWR, so that the wait has no end, and closes it by exec,
// which whoever writes to it sees.
//
// Until [Container.Detach] the child waits at a pipe of this process: it ends
// when this process is killed.
type Split struct {
	FIFO     int // open O_RDWR
	Progress int // an empty file, see [spawn.NewIn]
}

// programChild looks for the program before the start gate: a create whose
// program is not there fails, and not the start. What its user may not
// execute is found out by the start.
func programChild(e *env) error {
	args := e.spec.Process.Args
	if e.cfg.Split == nil || len(args) == 0 {
		return nil
	}
	e.p.Note("exec: " + args[0])
	var found plan.Slot
	list := candidates(args[0], e.spec.Process.Env)
	for i, path := range list {
		var opts []plan.Opt
		if i+1 < len(list) {
			opts = append(opts, plan.OK(unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ESTALE))
		}
		check := []plan.Arg{plan.CWD, e.p.Str(path), plan.Int(unix.X_OK)}
		if i == 0 {
			found = e.p.Open(plan.InChild, "program", unix.SYS_FACCESSAT, check, opts...)
			continue
		}
		e.p.Call(plan.InChild, unix.SYS_FACCESSAT, check, append(opts, plan.When(plan.IfErr, found), plan.Out(found))...)
	}
	return nil
}

// hasProgram is for the table of steps.
func hasProgram(s *specs.Spec) bool { return len(s.Process.Args) > 0 }

// Ready waits until the child of a split container, or of one with
// Config.Announce, has come to its start gate. On error nothing is left of the container.
func (c *Container) Ready() error {
	err := c.arrived()
	if err == nil {
		c.env.reportTolerated(c.env.run)
		return nil
	}
	c.abandon()
	var op *spawn.OpError
	if errors.As(err, &op) && op.Step == "program" && op.Errno != 0 {
		return &ExecError{Name: c.env.spec.Process.Args[0], Errno: op.Errno}
	}
	return err
}

// Detach leaves a split container to whoever starts it, and a restored one to
// itself. The process stays a child of this one, which closes what it holds of
// it.
func (c *Container) Detach() error {
	if c.env.cfg.Restore == nil {
		if err := c.env.openStart(); err != nil {
			c.abandon()
			return fmt.Errorf("let go of the container: %w", err)
		}
	}
	c.env.closeAll()
	c.env.run.Close()
	c.Process.Release()
	c.closeConsole()
	if c.Group != nil {
		c.Group.Close()
		c.Group = nil
	}
	return nil
}

// Waiting is a container at its start gate, seen from a process that has not
// made it.
type Waiting struct {
	Process  spawn.Process // whose identity the caller has checked
	Program  string        // args[0], for the error
	FIFO     string        // path
	Progress string        // path
}

// ErrNotWaiting says that nobody waits at the start gate: the container has
// ended before it was started.
var ErrNotWaiting = errors.New("nobody waits at the start gate")

// Start opens the gate and returns when the program has been executed. The
// error is like that of [Container.Start].
func (w *Waiting) Start() error {
	progress, err := unix.Open(w.Progress, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open progress: %w", err)
	}
	defer func() { _ = unix.Close(progress) }()
	fifo, err := unix.Open(w.FIFO, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENXIO) { // no reader
		return ErrNotWaiting
	}
	if err != nil {
		return fmt.Errorf("open start gate: %w", err)
	}
	defer func() { _ = unix.Close(fifo) }()
	if err := openGate(fifo); err != nil {
		if errors.Is(err, unix.EPIPE) {
			return ErrNotWaiting
		}
		return fmt.Errorf("open start gate: %w", err)
	}
	// The last reader of the FIFO goes with exec, or with the process.
	for fds := []unix.PollFd{{Fd: int32(fifo)}}; fds[0].Revents&unix.POLLERR == 0; {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for exec: %w", err)
		}
	}
	p, err := spawn.ReadProgress(progress)
	if err != nil {
		return err
	}
	if err = p.Outcome(w.Process); err != nil {
		// Its descriptors go a moment before it does.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(w.Process.Pidfd), Events: unix.POLLIN}}, 1000)
	}
	var op *spawn.OpError
	if errors.As(err, &op) && op.IsExec() && op.Errno != 0 {
		return &ExecError{Name: w.Program, Errno: op.Errno}
	}
	return err
}
