package runtime

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/spawn"
	"golang.org/x/sys/unix"
)

// ExecConfig is a further process of a container that runs.
type ExecConfig struct {
	// Init is the container's first process, whose namespaces are joined. The
	// pidfd belongs to the caller, who has made sure that it is that process
	// (state.Proc.Open), and stays open until Start has returned.
	Init spawn.Process

	// Spec is the container's configuration, of which count the cgroup and
	// what concerns every process: seccomp, personality.
	Spec *specs.Spec
	// Process is what to run. With Terminal, [Container.Console] is the master
	// of a pty of the container's own devpts.
	Process *specs.Process
	// Program is the path to execute, where it is not what args[0] stands for.
	Program string

	// State is what a seccomp agent is told of the container.
	State specs.State

	// SubCgroup is a group below the container's, which has to be there.
	SubCgroup string
	// IgnorePaused begins a process in a paused container, which goes on with
	// the container. Without it that is a fault.Conflict.
	IgnorePaused bool

	// As in Config.
	Stdin, Stdout, Stderr int
	PreserveFDs           int
	Filter                []unix.SockFilter
	FilterFlags           uint32
	Compiled              func(prog []unix.SockFilter, flags uint32)
	Layout                cgroup.Layout
	Facts                 Facts
	Warn                  func(string)
	After                 func(where string)
}

// joining is what a Config of a further process has besides.
type joining struct {
	init         spawn.Process
	sub          string
	ignorePaused bool
	moves        bool // into the v2 group, by cgroup.procs
	besideInit   bool // in the first process's v2 group, below the container's
}

// Exec brings a process into a running container, up to the start gate:
// Start, Abandon and Container.Process are as after Create. Its Group is nil,
// for the container's is not this process's to remove. A container that has
// ended meanwhile is a fault.Conflict.
func Exec(x ExecConfig) (*Container, error) {
	cfg, err := x.config()
	if err != nil {
		return nil, err
	}
	c, err := create(cfg)
	if cfg.Layout.Unified() >= 0 && cfg.join.again(err, len(cfg.Layout.Hierarchies) == 1) {
		j := cfg.join
		if cfg, err = x.config(); err != nil {
			return nil, err
		}
		cfg.join = j
		c, err = create(cfg)
	}
	return c, cfg.join.explain(err)
}

// again reports whether another way into a v2 group may succeed where being
// born into it did not: a group at its limit of processes lets one move in
// (which waits for the kernel's threadgroup lock), and one that the first
// process has made an inner node of takes none beside the node's.
func (j *joining) again(err error, pure bool) bool {
	switch {
	case errors.Is(err, unix.EAGAIN):
		j.moves = true
	case errors.Is(err, unix.EBUSY) && j.sub == "" && pure:
		j.besideInit = true
	default:
		return false
	}
	return true
}

func (x *ExecConfig) config() (*Config, error) {
	if x.Spec == nil || x.Spec.Linux == nil || x.Process == nil {
		return nil, fault.New(fault.Invalid, "exec: a configuration and a process are required")
	}
	s := *x.Spec
	s.Process, s.Hooks = x.Process, nil
	return &Config{
		Spec: &s, Stdin: x.Stdin, Stdout: x.Stdout, Stderr: x.Stderr, PreserveFDs: x.PreserveFDs, Program: x.Program, State: x.State,
		Filter: x.Filter, FilterFlags: x.FilterFlags, Compiled: x.Compiled,
		Layout: x.Layout, Facts: x.Facts, Warn: x.Warn, After: x.After,
		join: &joining{init: x.Init, sub: x.SubCgroup, ignorePaused: x.IgnorePaused},
	}, nil
}

// explain says of an error that the container's end brought about that it is
// that: namespaces without a process, no room in a dead pid namespace, a child
// that was killed with the rest.
func (j *joining) explain(err error) error {
	var ee *ExecError
	if j == nil || err == nil || errors.As(err, &ee) || !j.init.Ended() {
		return err
	}
	return errNotRunning
}

var errNotRunning = fault.New(fault.Conflict, "container is not running")
