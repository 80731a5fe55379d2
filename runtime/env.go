package runtime

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/plan"
	"github.com/tare-engine/tare/spawn"
	"golang.org/x/sys/unix"
)

// removeTimeout bounds the wait for dying processes before a cgroup can go.
const removeTimeout = 10 * time.Second

// env is what the steps of one container share.
type env struct {
	cfg  *Config
	spec *specs.Spec
	p    *plan.Plan
	run  *spawn.Run // the plan's, once there is one

	cloneFlags uint64 // namespaces that clone3 makes
	later      uint64 // namespaces that the child unshares, after joining a user namespace
	forks      bool
	joins      []join
	userNS     bool // the container has a user namespace that is not the engine's

	root, proc plan.Slot
	init       plan.Slot // pidfd of the process whose namespaces are joined
	oldRoot    plan.Slot
	unified    plan.Slot       // directory for CLONE_INTO_CGROUP
	tasks      []plan.Slot     // v1 tasks files
	copyUps    map[int]*copyUp // by index in spec.Mounts
	binds      []plan.Slot     // detached bind mounts, by index in spec.Mounts
	overmount  plan.Slot       // empty read-only tmpfs that hides directories
	cgroupView []plan.Slot     // the container's own groups, by hierarchy, where it has no cgroup namespace
	files      plan.Slot       // tmpfs with Config.Files
	null       plan.Slot       // the container's /dev/null, O_PATH
	dev        plan.Slot       // the container's /dev
	pty        plan.Slot       // slave
	cwd        plan.Slot

	startGate    plan.Slot
	fifo         plan.Slot // the start gate of a split container
	idGate       plan.Slot // opens when the id map is written
	hooksGate    int       // where the hooks of the create operation run
	netDevices   int
	locking      bool        // the clone is made on a thread that is never used again
	locks        []lock      // mounts whose flags are locked
	lockedFrom   []plan.Slot // their detached ones, on the host
	scope        plan.Slot   // opens when systemd has made its unit
	intelRdt     plan.Slot
	listenerGate int
	listener     plan.Slot // of the seccomp filter, in the child
	started      *arrival  // the child is at the start gate
	hooked       bool      // hooks have begun: those of the end belong to them
	stdio        [3]plan.Slot
	preserved    []plan.Slot

	gates      []gate
	startWrite int
	console    int // our end of the socket that the pty's master comes over; -1 without
	consoleEnd plan.Slot
	childEnds  []int // descriptors that only the child needs
	ownEnds    []int // descriptors to close when the start is over

	hostMount uint64          // what the root is mounted on, without a mount namespace
	making    bool            // the plan is for execution, not for printing
	letGo     []plan.Slot     // descriptors that the child closes before it gives up its rights
	joined    *cgroupfs.Group // of the container that a further process joins
	group     *cgroupfs.Group
	groupMade chan error // makeGroup's result, until somebody has waited for it
	netns     *NetNS
	atLast    []func() // add the host ops that wait for other threads
	tolerated []tolerated
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
	e := &env{cfg: cfg, spec: s, p: plan.New(), startWrite: -1, console: -1}
	if err := e.unsupported(); err != nil {
		return nil, err
	}
	e.binds = make([]plan.Slot, len(s.Mounts))
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

func (e *env) closeChildEnds() {
	for _, fd := range e.childEnds {
		_ = unix.Close(fd)
	}
	e.childEnds = nil
}

func (e *env) closeAll() {
	e.closeChildEnds()
	for _, fd := range e.ownEnds {
		_ = unix.Close(fd)
	}
	e.ownEnds = nil
	e.netns.Close()
	if e.group != nil {
		e.group.CloseTasks()
	}
	if e.joined != nil {
		e.joined.Close()
		e.joined = nil
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
	// EAGAIN: somebody on the machine renamed something while a ".." was
	// resolved (openat2(2)); complete opens it once more.
	return e.p.Openat2(plan.InChild, rel, e.root.Arg(), rel, flags, 0, plan.InRoot, plan.OK(unix.ENOENT, unix.EAGAIN))
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
		e.p.OpenInto(plan.InChild, t, e.root.Arg(), rel, flags, plan.InRoot, plan.When(plan.IfErr, t))
		return t
	}
	e.p.OpenInto(plan.InChild, t, e.root.Arg(), rel, flags, plan.InRoot, plan.When(plan.IfErr, t), plan.OK(unix.ENOENT))
	// A link that leads nowhere, as systemd-resolved's /etc/resolv.conf in an
	// image: the mount covers the link itself.
	e.p.OpenInto(plan.InChild, t, e.root.Arg(), rel, flags|unix.O_NOFOLLOW, plan.InRoot, plan.When(plan.IfErr, t))
	return t
}

// makeTarget makes what is missing of rel when slot t says that it is.
func (e *env) makeTarget(t plan.Slot, rel string, dir bool, mode uint32) {
	missing := plan.When(plan.IfErr, t)
	parent := e.root
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
			d := e.p.Openat2(plan.InChild, prefix, e.root.Arg(), prefix, unix.O_PATH|unix.O_DIRECTORY, 0, plan.InRoot,
				missing, plan.OK(unix.ENOENT))
			e.p.Mkdirat(plan.InChild, parent.Arg(), name, 0o755, plan.When(plan.IfErr, d), plan.OK(unix.EEXIST))
			e.p.OpenInto(plan.InChild, d, e.root.Arg(), prefix, unix.O_PATH|unix.O_DIRECTORY, plan.InRoot, plan.When(plan.IfErr, d))
			parent = d
		}
	}
}

// open adds an op that opens what is at dest inside the root, if it is there.
func (e *env) open(dest string, flags int, opts ...plan.Opt) plan.Slot {
	rel := clean(dest)
	return e.p.Openat2(plan.InChild, rel, e.root.Arg(), rel, flags, 0, plan.InRoot, opts...)
}
