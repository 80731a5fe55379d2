package runc

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
)

type pauseOptions struct{}

func (pauseOptions) run(a *App, args []string) error {
	return a.freeze(args[0], func(s specs.ContainerState) bool { return s == specs.StateRunning || s == specs.StateCreated },
		func(g *cgroupfs.Group) error { return g.Freeze(endTimeout) })
}

type resumeOptions struct{}

func (resumeOptions) run(a *App, args []string) error {
	return a.freeze(args[0], func(s specs.ContainerState) bool { return s == paused }, (*cgroupfs.Group).Thaw)
}

func (a *App) freeze(id string, may func(specs.ContainerState) bool, do func(*cgroupfs.Group) error) error {
	c, err := a.openLocked(id)
	if err != nil {
		return err
	}
	defer c.release()
	if s := a.status(c); !may(s) {
		if s == specs.StateStopped {
			return fault.New(fault.Conflict, "%s: %w", id, errStopped)
		}
		return fault.New(fault.Conflict, "container %s is %s", id, s)
	}
	g, err := a.group(&c.rec)
	if err != nil {
		return err
	}
	defer g.Close()
	return do(g)
}
