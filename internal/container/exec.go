package container

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
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
	Give                  Give
	PreserveFDs           int
	Filter                []unix.SockFilter
	FilterFlags           uint32
	Compiled              func(prog []unix.SockFilter, flags uint32)
	Layout                cgroup.Layout
	Facts                 host.Facts
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
	c, err := create(cfg, nil)
	for tries := 0; tries < maxJoins && cfg.join.again(err, &cfg.Layout); tries++ {
		j := cfg.join
		if cfg, err = x.config(); err != nil {
			return nil, err
		}
		cfg.join = j
		c, err = create(cfg, nil)
	}
	return c, cfg.join.explain(err)
}

// maxJoins bounds the tries, of about a millisecond each.
const maxJoins = 1000

// again reports whether another try may succeed. While another thread of the first
// process than its first executes a program, the first is a zombie without
// namespaces: that passes. And there is another way into a v2 group where being
// born into it did not do: a group at its limit of processes lets one move in
// (which waits for the kernel's threadgroup lock), and one that the first
// process has made an inner node of takes none beside the node's.
func (j *joining) again(err error, l *cgroup.Layout) bool {
	v2 := l.Unified() >= 0
	switch {
	case errors.Is(err, unix.ESRCH) && !j.init.Ended():
		_, _ = unix.Poll(nil, 1) // nothing tells of its end
	case errors.Is(err, unix.EAGAIN) && v2 && !j.moves:
		j.moves = true
	case errors.Is(err, unix.EBUSY) && v2 && !j.besideInit && j.sub == "" && len(l.Hierarchies) == 1:
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
		Spec: &s, Stdin: x.Stdin, Stdout: x.Stdout, Stderr: x.Stderr, Give: x.Give, PreserveFDs: x.PreserveFDs,
		Program: x.Program, State: x.State,
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

var errNotRunning error = &fault.Error{Kind: fault.Conflict, Text: "container is not running"}
