package container

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// env is what the steps of one container share. What one concern needs is a
// struct of its own, in the file of the step that fills it.
type env struct {
	cfg  *Config
	spec *specs.Spec
	p    *plan.Plan
	run  *spawn.Run // the plan's, once there is one

	gates  gates
	beside beside
	ends   ends

	ns       namespaces
	join     join
	cgroup   groups
	root     root
	proc     plan.Slot // see procfs
	mounts   mounts
	locks    locks
	masks    masks
	console  console
	stdio    stdio
	listener plan.Slot // of the seccomp filter, in the child

	tolerated []tolerated
}

// ends are descriptors that a start has opened in this process.
type ends struct {
	child []int // which only the child needs
	own   []int // which are closed when the start is over
}

// closeChild closes what the child has by now.
func (d *ends) closeChild() {
	closeList(d.child)
	d.child = nil
}

func (d *ends) close() {
	d.closeChild()
	closeList(d.own)
	d.own = nil
}

func closeList(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// tolerated is a call whose failure is only worth a warning.
type tolerated struct {
	op   int // index in plan.Child
	text string
}

func newEnv(cfg *Config) (*env, error) {
	s := cfg.Spec
	if s == nil || s.Process == nil || s.Linux == nil {
		return nil, fault.New(fault.Invalid, "spec: process and linux are required")
	}
	if err := validateHooks(s); err != nil {
		return nil, err
	}
	if err := checkListener(s.Linux.Seccomp); err != nil {
		return nil, err
	}
	e := &env{cfg: cfg, spec: s, p: plan.New(), console: console{near: -1}}
	if err := e.unsupported(); err != nil {
		return nil, err
	}
	e.mounts.binds = make([]plan.Slot, len(s.Mounts))
	return e, nil
}

func (e *env) warn(text string) {
	if e.cfg.Warn != nil {
		e.cfg.Warn(text)
	}
}

func (e *env) after(where string) {
	if e.cfg.After != nil {
		e.cfg.After(where)
	}
}

// tolerate makes the last child op's failure with one of its OK errnos a
// warning.
func (e *env) tolerate(text string) {
	e.tolerated = append(e.tolerated, tolerated{len(e.p.Child) - 1, text})
}

func (e *env) reportTolerated(run interface{ Result(int) int }) {
	for _, t := range e.tolerated {
		if r := run.Result(t.op); r < 0 {
			e.warn(fmt.Sprintf("%s: %v", t.text, unix.Errno(-r)))
		}
	}
}

func (e *env) closeAll() {
	e.ends.close()
	e.ns.net.Close()
	if e.cgroup.group != nil {
		e.cgroup.group.CloseTasks()
	}
	if e.join.group != nil {
		e.join.group.Close()
		e.join.group = nil
	}
}

// clean returns dest relative to the root, without leading slash; "." is the
// root itself.
func clean(dest string) string {
	rel := strings.TrimPrefix(path.Clean("/"+dest), "/")
	if rel == "" {
		return "."
	}
	return rel
}

// target adds the ops that open dest inside the root, making the directory
// (dir) or the empty file that is missing. It runs in the child, after the
// mounts before it: no link of the image or of a volume leads outside.
func (e *env) target(dest string, dir bool, mode uint32) plan.Slot {
	return e.complete(e.find(dest, dir), dest, dir, mode)
}

// find adds the op that opens dest inside the root if it is there.
func (e *env) find(dest string, dir bool) plan.Slot {
	rel := clean(dest)
	flags := unix.O_PATH
	if dir {
		flags |= unix.O_DIRECTORY
	}
	return e.p.Openat2(plan.InChild, rel, e.root.dir.Arg(), rel, flags, 0, plan.InRoot, plan.OK(unix.ENOENT))
}

// complete adds the ops that make what find did not find.
func (e *env) complete(t plan.Slot, dest string, dir bool, mode uint32) plan.Slot {
	rel := clean(dest)
	if rel == "." {
		return t
	}
	flags := unix.O_PATH
	if dir {
		flags |= unix.O_DIRECTORY
	}
	e.makeTarget(t, rel, dir, mode)
	if dir {
		e.p.OpenInto(plan.InChild, t, e.root.dir.Arg(), rel, flags, plan.InRoot, plan.When(plan.IfErr, t))
		return t
	}
	e.p.OpenInto(plan.InChild, t, e.root.dir.Arg(), rel, flags, plan.InRoot, plan.When(plan.IfErr, t), plan.OK(unix.ENOENT))
	// A link that leads nowhere, as systemd-resolved's /etc/resolv.conf in an
	// image: the mount covers the link itself.
	e.p.OpenInto(plan.InChild, t, e.root.dir.Arg(), rel, flags|unix.O_NOFOLLOW, plan.InRoot, plan.When(plan.IfErr, t))
	return t
}

// makeTarget makes what is missing of rel when slot t says that it is.
func (e *env) makeTarget(t plan.Slot, rel string, dir bool, mode uint32) {
	missing := plan.When(plan.IfErr, t)
	parent := e.root.dir
	for i := 0; i < len(rel); {
		j := strings.IndexByte(rel[i:], '/')
		last := j < 0
		if last {
			j = len(rel) - i
		}
		name, prefix := rel[i:i+j], rel[:i+j]
		i += j + 1
		switch {
		case last && dir:
			e.p.Mkdirat(plan.InChild, parent.Arg(), name, mode, missing, plan.OK(unix.EEXIST))
		case last:
			e.p.Mknodat(plan.InChild, parent.Arg(), name, unix.S_IFREG|mode, 0, missing, plan.OK(unix.EEXIST))
		default:
			d := e.p.Openat2(plan.InChild, prefix, e.root.dir.Arg(), prefix, unix.O_PATH|unix.O_DIRECTORY, 0, plan.InRoot,
				missing, plan.OK(unix.ENOENT))
			e.p.Mkdirat(plan.InChild, parent.Arg(), name, 0o755, plan.When(plan.IfErr, d), plan.OK(unix.EEXIST))
			e.p.OpenInto(plan.InChild, d, e.root.dir.Arg(), prefix, unix.O_PATH|unix.O_DIRECTORY, plan.InRoot, plan.When(plan.IfErr, d))
			parent = d
		}
	}
}

// open adds an op that opens what is at dest inside the root, if it is there.
func (e *env) open(dest string, flags int, opts ...plan.Opt) plan.Slot {
	rel := clean(dest)
	return e.p.Openat2(plan.InChild, rel, e.root.dir.Arg(), rel, flags, 0, plan.InRoot, opts...)
}
