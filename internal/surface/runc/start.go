package runc

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

type startOptions struct{}

func (startOptions) run(a *App, args []string) error {
	c, err := a.openLocked(args[0])
	if err != nil {
		return err
	}
	defer c.release()
	return a.start(c)
}

var (
	errStopped = errors.New("container not running")
	errRuns    = errors.New("container is already running")
)

// start lets a created container run. The lock of its directory is held: of
// two starts one finds it running.
func (a *App) start(c *entry) error {
	p, life, err := c.process()
	if err != nil {
		return err
	}
	switch life {
	case state.Gone:
		return fault.New(fault.Conflict, "start %s: cannot start a container that has stopped", c.rec.ID)
	case state.Running:
		return fault.New(fault.Conflict, "start %s: %w", c.rec.ID, errRuns)
	case state.Waiting, state.Unknown:
	}
	defer p.Release()
	if a.frozen(c) { // it would be waited for, with the lock that resume needs
		return fault.New(fault.Conflict, "start %s: cannot start a container that is paused", c.rec.ID)
	}
	var hooks *container.Hooks
	if c.rec.Hooks {
		if hooks, err = a.hooks(c); err != nil {
			return err
		}
		if err := hooks.StartContainer(p); err != nil {
			_ = a.kill(c)
			return err
		}
	}
	w := container.Waiting{Process: p, Program: c.rec.Program, FIFO: c.dir + gateFile, Progress: c.dir + progressFile}
	err = w.Start()
	if errors.Is(err, container.ErrNotWaiting) {
		return fault.New(fault.Conflict, "start %s: cannot start a container that has stopped", c.rec.ID)
	}
	if err != nil {
		return err
	}
	_ = unix.Unlink(c.dir + progressFile) // 60 kB of a tmpfs
	if hooks != nil {
		if err := hooks.Poststart(p.Pid); err != nil {
			_ = a.kill(c)
			return err
		}
	}
	return nil
}

// process opens the container's first process. Nobody has it when life is
// state.Gone.
func (c *entry) process() (spawn.Process, state.Life, error) {
	none := spawn.Process{Pidfd: -1}
	fd, life, err := c.rec.proc().Hold()
	if err != nil || fd < 0 {
		return none, life, err
	}
	if life == state.Waiting && c.rec.Restored {
		life = state.Running
	}
	return spawn.Process{Pid: c.rec.Pid, Pidfd: fd}, life, nil
}

// hooks is what runs the hooks of a container that this process has not made.
func (a *App) hooks(c *entry) (*container.Hooks, error) {
	s, err := a.config(c)
	if err != nil {
		return nil, err
	}
	f, err := host.Probe()
	if err != nil {
		return nil, err
	}
	l, err := a.layout()
	if err != nil {
		return nil, err
	}
	return &container.Hooks{
		Spec: s, Facts: f, Layout: l, Warn: a.log.warn,
		State: specs.State{ID: c.rec.ID, Bundle: c.rec.Bundle, Annotations: c.rec.Annotations},
	}, nil
}

// group opens the container's cgroup. The error is NotFound when it is gone.
func (a *App) group(r *Record) (*cgroupfs.Group, error) {
	l, err := a.layout()
	if err != nil {
		return nil, err
	}
	return cgroupfs.Open(l, r.Cgroup)
}

// layout finds the cgroup hierarchies, once.
func (a *App) layout() (cgroup.Layout, error) {
	if a.cgroups == nil {
		l, err := cgroupfs.Probe()
		if err != nil {
			return l, err
		}
		a.cgroups = &l
	}
	return *a.cgroups, nil
}
