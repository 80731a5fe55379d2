// Package container makes one container of one runtime-spec configuration.
//
// [Compile] is pure: it turns the configuration into a plan, step by step
// (steps.go is the order, step_NAME.go the feature). [Make] executes the plan
// up to the start gate, [Container.Start] opens the gate.
package container

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// Config is everything that a container is made of.
type Config struct {
	Spec *specs.Spec
	Root snapshot.Mount // how to mount the root file system

	// RootTarget is an existing directory to mount the root on, inside the
	// container's own mount namespace, where Root has to be mounted by path.
	RootTarget string

	// IdmapRoot shows the root's files with the ids of the container's new
	// user namespace, instead of chowning them. Linux 5.19 for overlay.
	IdmapRoot bool

	// Stdin, Stdout and Stderr are the container's standard descriptors; -1
	// is the container's /dev/null. All are ignored with a terminal.
	Stdin, Stdout, Stderr int
	// Give says which of them become the container's user's own.
	Give Give
	// Program is the path to execute, where it is not what args[0] stands for.
	Program string
	// PreserveFDs is how many descriptors from 3 on the program gets as they
	// are in this process.
	PreserveFDs int

	// State is what hooks and a seccomp agent are told: id, bundle and annotations of the container.
	State specs.State

	// Gates are what the caller does for the child before its program runs:
	// beside what the child does itself, behind its mounts at the latest and
	// before its hooks.
	Gates []Gate

	// Split leaves the start to another process. May be nil.
	Split *Split

	// Keyring names a new session keyring for the container; "" leaves it the
	// caller's.
	Keyring string

	// NoPivot changes the root by chroot, for a host whose own root is the
	// initial ramfs, which pivot_root refuses.
	NoPivot bool

	// Files are what bind mounts of these sources show.
	Files []File

	// IsDir says whether a bind source is a directory; nil asks the host. The
	// engine answers for sources that it is about to make.
	IsDir func(source string) (bool, error)

	// NetNS is the container's network namespace, begun early; nil lets
	// Make begin it. It is closed with the start.
	NetNS *NetNS

	// Filter is a compiled seccomp program to load instead of the profile's.
	Filter []unix.SockFilter
	// FilterFlags are its SECCOMP_FILTER_FLAG_* bits.
	FilterFlags uint32
	// Compiled gets the program of the profile when Filter is nil. May be nil.
	Compiled func(prog []unix.SockFilter, flags uint32)

	// DeviceSource returns the host's path of the container's device node,
	// which the runtime-spec does not have. Where no node can be made the
	// host's is bound. nil: it is the same.
	DeviceSource func(path string) string

	Layout cgroup.Layout
	// Scope is the owner of the cgroup, where that is not this program. May be
	// nil.
	Scope Scope
	// OOMGroup kills the whole container when one of its processes is
	// OOM-killed (v2).
	OOMGroup bool
	// Optional says which resources may be missing on this host with no more
	// than a warning, by their runtime-spec names. nil: none may.
	Optional func(resource string) bool

	Facts host.Facts // the machine and the caller
	// Warn gets one line for everything that was not given. May be nil.
	Warn func(string)

	// After is for crash tests: called after every host op, with the index of
	// cgroup actions apart. May be nil.
	After func(where string)

	// Announce lets the child say that it has come to its start gate, where
	// everything is mounted: see [Container.Ready].
	Announce bool

	// Restore brings about the container's processes where a clone does not. It
	// finds the cgroups in c.Group, calls record once c.Process is set and before
	// that goes on, and sets c.Console if there is a terminal. Of the steps only
	// those of the cgroup are walked. nil: they are cloned.
	Restore func(c *Container, record func() error) error

	join *joining // of a further process in a container that runs
}

// Container is a created or running container.
type Container struct {
	Process spawn.Process
	Group   *cgroupfs.Group // nil without cgroups
	Console *os.File        // the pty's master, with a terminal

	env    *env
	hooked bool // hooks of the start have begun
	ended  bool // those of the end are over
}

// Compile computes the plan of a container without touching the machine. The
// result can be printed; Make computes its own.
func Compile(cfg Config) (*plan.Plan, error) {
	e, err := compile(&cfg, false)
	if err != nil {
		return nil, err
	}
	return e.p, nil
}

// compile walks the steps. With making, those that can begin their work at
// once do; on error it is undone.
func compile(cfg *Config, making bool) (_ *env, err error) {
	e, err := newEnv(cfg)
	if err != nil {
		return nil, err
	}
	e.beside.begin = making
	defer func() {
		if err != nil {
			(&Container{env: e}).abandon()
		}
	}()
	order := [...][]step{containerSteps, processSteps}
	if cfg.join != nil {
		order[0] = joinSteps
	}
	if cfg.Restore != nil {
		order = [...][]step{restoreSteps, nil}
	}
	for _, side := range [2]plan.Side{plan.OnHost, plan.InChild} {
		for _, table := range order {
			if err := e.walk(table, side); err != nil {
				return nil, err
			}
		}
	}
	e.p.Flags, e.p.Cgroup = e.ns.clone, e.cgroup.unified
	return e, nil
}

// walk lets the steps of a table add what they do on one side.
func (e *env) walk(table []step, side plan.Side) error {
	for i := range table {
		s := &table[i]
		do := s.child
		if side == plan.OnHost {
			do = s.host
		}
		if do == nil || !s.used(e.spec) {
			continue
		}
		e.p.Begin(s.name)
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// Make makes the container up to its start gate, and calls record before its
// program can run: what runs is always on disk. Record may be nil. On error,
// record's too, nothing is left.
func Make(cfg Config, record func(*Container) error) (*Container, error) {
	return create(&cfg, record)
}

// create is what a container and a further process of one have in common.
func create(cfg *Config, record func(*Container) error) (c *Container, err error) {
	if record == nil {
		record = func(*Container) error { return nil }
	}
	if cfg.Facts.Rootful() {
		if err := spawn.Harden(); err != nil {
			return nil, err
		}
	}
	e, err := compile(cfg, true)
	if err != nil {
		return nil, err
	}
	made := &Container{env: e}
	c = made
	if SharesMounts(cfg.Spec) {
		if e.root.hostMount, err = MountID(e.rootPath()); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil { // c is nil then
			made.abandon()
		}
	}()
	memory := -1
	if cfg.Split != nil {
		memory = cfg.Split.Progress
	}
	run, err := spawn.NewIn(e.p, memory)
	if err != nil {
		return nil, err
	}
	e.run = run
	if cfg.Restore != nil {
		err = c.restore(record)
	} else if err = c.clone(); err == nil {
		err = record(c)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// options are those of the plan's execution.
func (c *Container) options() (o spawn.Options) {
	if after := c.env.cfg.After; after != nil {
		o.After = func(i int) { after(fmt.Sprintf("host %d", i)) }
	}
	return o
}

// clone makes the first process by a clone of this one, up to its start gate.
func (c *Container) clone() (err error) {
	e, o := c.env, c.options()
	clone := func() {
		if err = e.run.Host(o); err == nil {
			c.Process, err = e.run.Clone(o)
		}
	}
	if e.locks.thread {
		OnLostThread(clone)
	} else {
		clone()
	}
	if err != nil {
		return err
	}
	e.ends.closeChild()
	if e.ns.forks {
		if c.Process, err = e.run.Forked(); err != nil {
			c.Process.Pidfd = -1
			return err
		}
	}
	for _, g := range e.gates.list {
		if err := g.open(c.Process); err != nil {
			return c.blame(err)
		}
		e.after("gate " + g.Name)
	}
	if e.console.near >= 0 {
		if c.Console, err = e.receiveConsole(); err != nil {
			return c.blame(err)
		}
	}
	c.Group = e.cgroup.group
	return nil
}

// restore lets the caller bring about the processes in the container's cgroups.
func (c *Container) restore(record func(*Container) error) error {
	if err := c.env.run.Host(c.options()); err != nil {
		return err
	}
	c.Group = c.env.cgroup.group
	return c.env.cfg.Restore(c, func() error { return record(c) })
}

// blame prefers the child's own account of why it died to the engine's view:
// a pipe that broke, a /proc directory that went.
func (c *Container) blame(err error) error {
	if !errors.Is(err, unix.EPIPE) && !errors.Is(err, errConsoleClosed) && !c.Process.Ended() {
		return err
	}
	if cerr := c.env.run.WaitExec(); cerr != nil {
		return cerr
	}
	return err
}

// Start opens the start gate and returns when the program has been executed.
// On error nothing is left of the container; an [*ExecError] is the program's
// own.
func (c *Container) Start() error {
	if err := c.startHooks(); err != nil {
		c.abandon()
		return err
	}
	if err := c.env.openStart(); err != nil && !errors.Is(err, unix.EPIPE) {
		c.abandon()
		return err
	}
	err := c.env.run.WaitExec()
	if err == nil {
		c.env.reportTolerated(c.env.run)
		err = c.poststart()
	}
	c.env.closeAll()
	c.env.run.Close()
	if err != nil {
		c.Process.Release()
		c.closeConsole()
		c.removeGroup()
		c.poststop()
	}
	var op *spawn.OpError
	if errors.As(err, &op) && op.IsExec() && op.Errno != 0 {
		return &ExecError{Name: c.env.spec.Process.Args[0], Errno: op.Errno}
	}
	return c.env.cfg.join.explain(err)
}

// Abandon kills a created container that was not started, and removes it.
func (c *Container) Abandon() { c.abandon() }

func (c *Container) abandon() {
	if c.Process.Pid != 0 && c.Process.Pidfd >= 0 {
		_ = c.Process.Signal(unix.SIGKILL) // it may have ended by itself
		_, _ = c.Process.Wait()
		c.Process.Release()
	}
	_ = c.env.settleGroup() // what went wrong first is the error
	c.Group = c.env.cgroup.group
	c.env.closeAll()
	c.closeConsole()
	if c.env.run != nil {
		c.env.run.Close()
	}
	c.removeGroup()
	c.poststop()
	if c.env.root.hostMount != 0 {
		if err := DetachRoot(c.env.rootPath(), c.env.root.hostMount); err != nil {
			c.env.warn(err.Error())
		}
	}
}

func (c *Container) closeConsole() {
	if c.Console != nil {
		_ = c.Console.Close()
		c.Console = nil
	}
}

// removeTimeout bounds the wait for dying processes before a cgroup can go.
const removeTimeout = 10 * time.Second

func (c *Container) removeGroup() {
	if c.Group == nil {
		return
	}
	if c.env.cfg.Restore != nil { // which may have left more than the first process
		if err := c.Group.Kill(removeTimeout); err != nil {
			c.env.warn("kill cgroup: " + err.Error())
		}
	}
	if err := c.Group.Remove(removeTimeout); err != nil {
		c.env.warn("remove cgroup: " + err.Error())
	}
	c.Group.Close()
	c.Group = nil
}
