package oci

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

func newStart(*flags) action {
	return func(a *App, args []string) error {
		c, err := a.openLocked(args[0])
		if err != nil {
			return err
		}
		defer c.release()
		return a.start(c)
	}
}

var (
	errStopped = errors.New("container not running")
	errRuns    = errors.New("container is already running")
)

// start lets a created container run. The lock of its directory is held: of
// two starts one finds it running.
func (a *App) start(c *container) error {
	p, life, err := c.process()
	if err != nil {
		return err
	}
	switch life {
	case state.Gone:
		return fault.New(fault.Conflict, "start %s: cannot start a container that has stopped", c.rec.ID)
	case state.Running:
		return fault.New(fault.Conflict, "start %s: %w", c.rec.ID, errRuns)
	case state.Waiting:
	}
	defer p.Release()
	if a.frozen(c) { // it would be waited for, with the lock that resume needs
		return fault.New(fault.Conflict, "start %s: cannot start a container that is paused", c.rec.ID)
	}
	var hooks *tareruntime.Hooks
	if c.rec.Hooks {
		if hooks, err = a.hooks(c); err != nil {
			return err
		}
		if err := hooks.StartContainer(p); err != nil {
			_ = a.kill(c)
			return err
		}
	}
	w := tareruntime.Waiting{Process: p, Program: c.rec.Program, FIFO: c.dir + gateFile, Progress: c.dir + progressFile}
	err = w.Start()
	if errors.Is(err, tareruntime.ErrNotWaiting) {
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
func (c *container) process() (spawn.Process, state.Life, error) {
	none := spawn.Process{Pidfd: -1}
	if c.rec.Pid <= 0 {
		return none, state.Gone, nil
	}
	fd, err := unix.PidfdOpen(c.rec.Pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return none, state.Gone, nil
	}
	if err != nil {
		return none, state.Gone, fault.New(fault.KindOf(err), "pidfd of process %d: %w", c.rec.Pid, err)
	}
	// The number may be another process's by now.
	life := c.rec.proc().Look()
	if life == state.Waiting && c.rec.Restored {
		life = state.Running
	}
	if life == state.Gone {
		_ = unix.Close(fd)
		return none, life, nil
	}
	return spawn.Process{Pid: c.rec.Pid, Pidfd: fd}, life, nil
}

// hooks is what runs the hooks of a container that this process has not made.
func (a *App) hooks(c *container) (*tareruntime.Hooks, error) {
	b, err := a.loadConfig(c.rec.Bundle, c.dir+configFile)
	if err != nil {
		return nil, err
	}
	f, _, err := facts()
	if err != nil {
		return nil, err
	}
	l, err := a.layout()
	if err != nil {
		return nil, err
	}
	b.spec.Linux.CgroupsPath = c.rec.Cgroup
	return &tareruntime.Hooks{
		Spec: b.spec, Facts: f, Layout: l, Warn: a.log.warn,
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
