package runc

import (
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// endTimeout bounds the wait for processes that have been killed.
const endTimeout = 10 * time.Second

// orphanTimeout bounds the wait for a process whose creator was killed.
const orphanTimeout = time.Second

var killRows = []flags.Flag{
	{
		Name: "all", Short: 'a', Usage: "to every process of the container, not only the first",
		Set: func(o any, v string) error { return flags.Bool(&o.(*killOptions).all, v) },
	},
}

type killOptions struct{ all bool }

func (o *killOptions) run(a *App, args []string) error {
	name := "SIGTERM"
	if len(args) > 1 {
		name = args[1]
	}
	sig := unix.Signal(0) // is it there?
	if name != "0" {
		var err error
		if sig, err = oci.ParseSignal(name); err != nil {
			return err
		}
	}
	c, err := a.open(args[0])
	if err != nil {
		return err
	}
	return a.signal(c, sig, o.all)
}

// signal sends a signal to a container. It takes no lock: a container must be
// killable whatever another command is waiting for.
func (a *App) signal(c *entry, sig unix.Signal, all bool) error {
	if all && c.rec.Cgroup != "" {
		return a.signalAll(c, sig)
	}
	p, life, err := c.process()
	if err != nil {
		return err
	}
	if life == state.Gone {
		return fault.New(fault.Conflict, "kill %s: %w", c.rec.ID, errStopped)
	}
	defer p.Release()
	if err := p.Signal(sig); err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = errStopped
		}
		return fault.New(fault.Conflict, "kill %s: %w", c.rec.ID, err)
	}
	if sig != unix.SIGKILL {
		return nil
	}
	if !c.rec.OwnPIDNS {
		return a.signalAll(c, sig) // nothing ends with the first process
	}
	return a.thaw(c)
}

// signalAll signals every process of the container's cgroup.
func (a *App) signalAll(c *entry, sig unix.Signal) error {
	g, err := a.group(&c.rec)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	return g.Signal(sig)
}

// thaw lets the processes of a paused container die.
func (a *App) thaw(c *entry) error {
	g, err := a.group(&c.rec)
	if err != nil {
		return nil //nolint:nilerr // no group: nothing is frozen
	}
	defer g.Close()
	return g.Thaw()
}

var deleteRows = []flags.Flag{
	{
		Name: "force", Short: 'f', Usage: "kill the container if it runs; no error if it does not exist",
		Set: func(o any, v string) error { return flags.Bool(&o.(*deleteOptions).force, v) },
	},
}

type deleteOptions struct{ force bool }

func (o *deleteOptions) run(a *App, args []string) error {
	c, err := a.openLocked(args[0])
	if errors.Is(err, errNotExist) && o.force {
		return fsatomic.Sweep(a.root)
	}
	if err != nil {
		return err
	}
	defer c.release()
	if _, life, err := c.process(); err != nil {
		return err
	} else if life == state.Running && !o.force {
		return fault.New(fault.Conflict, "delete %s: cannot delete a container that is not stopped: %s", c.rec.ID, a.status(c))
	}
	return errors.Join(a.destroy(c), fsatomic.Sweep(a.root))
}

// lives reports whether the container was made, in this boot.
func (c *entry) lives() bool { return c.rec.Pid != 0 && state.ThisBoot(c.rec.BootID) }

// kill ends every process of a container.
func (a *App) kill(c *entry) error {
	err := c.rec.proc().Kill()
	if c.rec.Cgroup == "" {
		return err
	}
	g, gerr := a.group(&c.rec)
	if gerr != nil {
		if fault.KindOf(gerr) == fault.NotFound {
			gerr = nil
		}
		return errors.Join(err, gerr)
	}
	defer g.Close()
	return g.Kill(endTimeout)
}

// destroy removes a container: its processes, its cgroup, its record.
func (a *App) destroy(c *entry) error {
	timeout := endTimeout
	// Nothing of a pid namespace outlives its first process.
	own := c.lives() && (!c.rec.OwnPIDNS || c.rec.proc().Look() != state.Gone)
	if own {
		if err := a.kill(c); err != nil {
			return err
		}
	} else {
		// A process that was cloned dies with its creator, and nothing else
		// is ours to kill: the group may be another container's by now.
		timeout = orphanTimeout
	}
	if c.rec.Cgroup != "" {
		g, err := a.group(&c.rec)
		if err == nil {
			err = g.Remove(timeout)
		}
		if err != nil && fault.KindOf(err) != fault.NotFound {
			if own {
				return err
			}
			a.log.warn(err.Error())
		}
	}
	if c.rec.HostMount != 0 && c.lives() {
		if err := container.DetachRoot(c.rec.Rootfs, c.rec.HostMount); err != nil {
			return err
		}
	}
	if c.rec.Hooks && c.rec.Pid != 0 {
		h, err := a.hooks(c)
		if err != nil {
			a.log.warn("poststop hooks: " + err.Error())
		} else {
			h.Poststop()
		}
	}
	return c.forget()
}
