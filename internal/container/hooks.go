package container

//go:generate go run ../lib/jsongen -o state_json.go append:github.com/opencontainers/runtime-spec/specs-go.State append:github.com/opencontainers/runtime-spec/specs-go.ContainerProcessState

import (
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"golang.org/x/sys/unix"
)

// Hooks runs the hooks of one container. [Make] and [Container.Start] run
// all but the poststop ones by themselves, which belong to the end of the
// container; who starts a container in another process than the one that made
// it calls StartContainer and Poststart.
type Hooks struct {
	Spec *specs.Spec
	// State is what the hooks read: id, bundle and annotations. Version,
	// status and pid are filled in.
	State specs.State
	Facts host.Facts
	// Layout is for StartContainer.
	Layout cgroup.Layout
	Warn   func(string) // may be nil
}

// hookKind is one of the six lists.
type hookKind struct {
	name   string
	status specs.ContainerState
	list   func(*specs.Hooks) []specs.Hook
}

// hookKinds are in the order in which a container's life meets them. The
// status is "created" after step 2 of the lifecycle (runtime-spec, State), and
// the first hooks are its step 3.
var hookKinds = [...]hookKind{
	{"prestart", specs.StateCreated, func(h *specs.Hooks) []specs.Hook { return h.Prestart }}, //nolint:staticcheck // deprecated, and in use
	{"createRuntime", specs.StateCreated, func(h *specs.Hooks) []specs.Hook { return h.CreateRuntime }},
	{"createContainer", specs.StateCreated, func(h *specs.Hooks) []specs.Hook { return h.CreateContainer }},
	{"startContainer", specs.StateCreated, func(h *specs.Hooks) []specs.Hook { return h.StartContainer }},
	{"poststart", specs.StateRunning, func(h *specs.Hooks) []specs.Hook { return h.Poststart }},
	{"poststop", specs.StateStopped, func(h *specs.Hooks) []specs.Hook { return h.Poststop }},
}

const (
	prestart = iota
	createRuntime
	createContainer
	startContainer
	poststart
	poststop
)

func hooksOf(s *specs.Spec, kind int) []specs.Hook {
	if s.Hooks == nil {
		return nil
	}
	return hookKinds[kind].list(s.Hooks)
}

// validateHooks refuses what the specification forbids, before anything is
// made.
func validateHooks(s *specs.Spec) error {
	for kind := range hookKinds {
		for i, h := range hooksOf(s, kind) {
			name := hookKinds[kind].name
			switch {
			case !strings.HasPrefix(h.Path, "/"):
				return fault.New(fault.Invalid, "%s hook %d: path %q is not absolute", name, i, h.Path)
			case h.Timeout != nil && *h.Timeout <= 0:
				return fault.New(fault.Invalid, "%s hook %s: timeout %d is not above zero", name, h.Path, *h.Timeout)
			}
		}
	}
	return nil
}

// StartContainer runs the hooks of that kind inside the container, whose first
// process waits at its start gate, with the rights of that process.
func (h *Hooks) StartContainer(p spawn.Process) error {
	return h.run(startContainer, p.Pid, hookAt{into: p, begin: h.inContainer})
}

// Poststart runs the hooks of that kind. After an error the container has to
// be stopped (runtime-spec, Lifecycle, 9).
func (h *Hooks) Poststart(pid int) error { return h.run(poststart, pid, hookAt{dir: h.State.Bundle}) }

// Poststop is the end of a container of which nothing else is left: its class
// of resctrl goes, and the hooks of that kind run. What fails is warned about.
func (h *Hooks) Poststop() {
	if err := RemoveIntelRdt(h.Spec, h.State.ID, &h.Facts); err != nil && h.Warn != nil {
		h.Warn(err.Error())
	}
	list := hooksOf(h.Spec, poststop)
	for i := range list {
		if err := h.one(poststop, &list[i], 0, hookAt{dir: h.State.Bundle}); err != nil && h.Warn != nil {
			h.Warn(err.Error())
		}
	}
}

// run runs the hooks of one kind up to the first that fails.
func (h *Hooks) run(kind, pid int, at hookAt) error {
	list := hooksOf(h.Spec, kind)
	for i := range list {
		if err := h.one(kind, &list[i], pid, at); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hooks) one(kind int, hook *specs.Hook, pid int, at hookAt) error {
	k := &hookKinds[kind]
	st := h.State
	st.Version, st.Status, st.Pid = specs.Version, k.status, pid
	res, err := h.execute(hook, appendState(nil, &st), at)
	name := k.name + " hook " + hook.Path
	said := ""
	if res.said != "" {
		said = ": " + res.said
	}
	switch {
	case err != nil:
		return fault.New(fault.KindOf(err), "run %s: %w", name, err)
	case res.late:
		return fault.New(fault.Unavailable, "run %s: not done after %v%s", name, time.Duration(*hook.Timeout)*time.Second, said)
	case res.status.Signal != 0:
		return fault.New(fault.Internal, "run %s: ended by signal %d%s", name, int(res.status.Signal), said)
	case res.status.Code != 0:
		return fault.New(fault.Internal, "run %s: exit status %d%s", name, res.status.Code, said)
	}
	return nil
}

// joinFlags are the namespaces that tell the container from the engine.
func joinFlags(s *specs.Spec) (uint64, error) {
	flags := uint64(0)
	for i := range s.Linux.Namespaces {
		f, err := nsFlag(s.Linux.Namespaces[i].Type)
		if err != nil {
			return 0, err
		}
		flags |= f
	}
	return flags, nil
}

// hookStep: before the root is changed the child waits for the hooks of the
// create operation.
func hasCreateHooks(s *specs.Spec) bool {
	return len(hooksOf(s, prestart))+len(hooksOf(s, createRuntime))+len(hooksOf(s, createContainer)) > 0
}

func hooksHost(e *env) error {
	flags, err := joinFlags(e.spec)
	if err != nil {
		return err
	}
	if e.rootPath() == "" && len(hooksOf(e.spec, createContainer)) > 0 {
		return fault.New(fault.Unsupported, "createContainer hooks: the root file system has no path")
	}
	if e.inRoot() && !e.locks.thread {
		e.enterRoot()
	}
	e.newGate(Gate{Name: "hooks", Meet: true, Work: func(p spawn.Process) error {
		h := e.hooks()
		for _, kind := range []int{prestart, createRuntime} {
			if err := h.run(kind, p.Pid, hookAt{dir: h.State.Bundle}); err != nil {
				return err
			}
		}
		if len(hooksOf(e.spec, createContainer)) == 0 {
			return nil
		}
		fd, err := childFile(p, e.run.Get(e.root.dir))
		if err != nil {
			return fmt.Errorf("open root file system: %w", err)
		}
		defer func() { _ = unix.Close(fd) }()
		return h.run(createContainer, p.Pid, hookAt{flags: flags, into: p, root: fd})
	}})
	return nil
}

func hooksChild(e *env) error {
	e.p.Note("wait for the hooks")
	e.waitFor("hooks")
	return nil
}

// rootPath is where the child attaches the root for hooks to see: at its own
// path, as they expect, instead of on top of the host's root. "" is the
// latter.
func (e *env) rootPath() string {
	switch {
	case !hasCreateHooks(e.spec) && !SharesMounts(e.spec):
		return ""
	case e.cfg.Root.Bind != "":
		return e.cfg.Root.Bind
	default:
		return e.cfg.RootTarget
	}
}

func (e *env) hooks() *Hooks {
	return &Hooks{Spec: e.spec, State: e.cfg.State, Facts: e.cfg.Facts, Layout: e.cfg.Layout, Warn: e.warn}
}

func hasStartHooks(s *specs.Spec) bool { return len(hooksOf(s, startContainer)) > 0 }

// arrives reports whether somebody has to know that the child is at the start
// gate: startContainer hooks, which find a complete container there, and a
// create that leaves it to another process.
func (e *env) arrives() bool { return hasStartHooks(e.spec) || e.cfg.Split != nil || e.cfg.Announce }

// arrivalHost makes the pipe by which the child says so.
func arrivalHost(e *env) error {
	if !e.arrives() {
		return nil
	}
	e.gates.start.arrival = e.newArrival("start")
	return nil
}

func arrivalChild(e *env) error {
	if !e.arrives() {
		return nil
	}
	e.p.Note("arrive at the start")
	e.arrive(e.gates.start.arrival)
	return nil
}

// startHooks runs what belongs to the start before the program.
func (c *Container) startHooks() error {
	e := c.env
	if !hasStartHooks(e.spec) {
		return nil
	}
	if err := c.arrived(); err != nil {
		return err
	}
	c.hooked = true
	return e.hooks().StartContainer(c.Process)
}

// arrived waits until the child has come to the start gate.
func (c *Container) arrived() error {
	if err := c.env.gates.start.arrival.wait(); err != nil {
		return c.blame(err)
	}
	return nil
}

// poststart stops the container when one of its hooks fails.
func (c *Container) poststart() error {
	if len(hooksOf(c.env.spec, poststart)) == 0 {
		return nil
	}
	c.hooked = true
	err := c.env.hooks().Poststart(c.Process.Pid)
	if err != nil {
		_ = c.Process.Signal(unix.SIGKILL) // it may have ended
		_, _ = c.Process.Wait()
	}
	return err
}

// poststop is for a container that did not come to life: where hooks have
// begun, those of the end belong to it.
func (c *Container) poststop() {
	e := c.env
	hooked := c.hooked || e.gates.begun("hooks")
	if !hooked && len(e.gates.of("intel-rdt")) == 0 || c.ended {
		return
	}
	c.ended = true
	h := e.hooks()
	if !hooked {
		s := *h.Spec
		s.Hooks = nil
		h.Spec = &s
	}
	h.Poststop()
}
