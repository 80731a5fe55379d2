package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// join is how a further process comes into a container that runs.
type join struct {
	init  plan.Slot       // pidfd of the process whose namespaces are joined
	group *cgroupfs.Group // the container's
	letGo []plan.Slot     // what the child closes before it gives up its rights
}

// joinHost opens what a further process of a container joins by, while host
// paths can still be seen: its first process's namespaces as one descriptor,
// its cgroups, and the host's procfs, which nothing in the container can
// cover.
func joinHost(e *env) error {
	j := e.cfg.join
	var err error
	if e.ns.later, err = j.foreign(); err != nil {
		return err
	}
	if e.ns.later&unix.CLONE_NEWUSER != 0 {
		e.ns.user = true
		e.cfg.Facts.NoSetgroups = j.noSetgroups()
	}
	e.ns.forks = e.ns.later&unix.CLONE_NEWPID != 0
	e.join.init = e.p.Given("init", j.init.Pidfd)
	e.p.Note("open procfs")
	e.proc = e.p.HostSlot("proc")
	e.p.Do(plan.Text(`open("/proc", O_PATH|O_DIRECTORY|O_CLOEXEC) = [proc]`), e.openProc)
	e.join.letGo = append(e.join.letGo, e.join.init, e.proc)
	return e.joinGroups()
}

// nsLinks are the names of namespaces below /proc/PID/ns.
var nsLinks = [...]struct {
	name string
	flag uint64
}{
	{"user", unix.CLONE_NEWUSER},
	{"mnt", unix.CLONE_NEWNS},
	{"pid", unix.CLONE_NEWPID},
	{"net", unix.CLONE_NEWNET},
	{"ipc", unix.CLONE_NEWIPC},
	{"uts", unix.CLONE_NEWUTS},
	{"cgroup", unix.CLONE_NEWCGROUP},
	{"time", unix.CLONE_NEWTIME},
}

// foreign returns the namespaces of the container's first process that are
// not this process's own: one's own user namespace cannot be joined again,
// and the host's not by everybody.
func (j *joining) foreign() (flags uint64, err error) {
	its := "/proc/" + strconv.Itoa(j.init.Pid) + "/ns/"
	for _, n := range nsLinks {
		var a, b unix.Stat_t
		if err := unix.Stat("/proc/self/ns/"+n.name, &a); err == unix.ENOENT {
			continue // the kernel has no such namespaces
		} else if err != nil {
			return 0, fmt.Errorf("%s namespace of this process: %w", n.name, err)
		}
		if err := j.stat(its+n.name, &b); err != nil {
			if errors.Is(err, unix.ENOENT) {
				err = unix.ESRCH // a zombie has none
			}
			return 0, fmt.Errorf("%s namespace of process %d: %w", n.name, j.init.Pid, err)
		}
		if a.Ino != b.Ino {
			flags |= n.flag
		}
	}
	// While the pidfd's process lives the number is its own. Namespaces of
	// whoever has it next may be this process's: nothing would be joined.
	if j.init.Ended() {
		return 0, errNotRunning
	}
	return flags, nil
}

// stat looks at a namespace of the container's first process. While another
// thread of it than the first executes a program, the first is a zombie without
// namespaces: that passes.
func (j *joining) stat(link string, st *unix.Stat_t) error {
	for tries := 0; ; tries++ {
		err := unix.Stat(link, st)
		switch {
		case err == unix.ENOENT && j.init.Ended():
			return errNotRunning
		case err != unix.ENOENT || tries == 1000:
			return err
		}
		_, _ = unix.Poll(nil, 1) // nothing tells of its end
	}
}

// noSetgroups reports whether the container's user namespace forbids
// setgroups.
func (j *joining) noSetgroups() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/setgroups", j.init.Pid))
	return err == nil && bytes.HasPrefix(b, []byte("deny"))
}

func (e *env) openProc(s plan.Slots) error {
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc: %w", err)
	}
	e.ends.own = append(e.ends.own, fd)
	s.Set(e.proc, fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return fault.New(fault.Unavailable, "open /proc: not a procfs")
	}
	return nil
}

// joinGroups opens the container's cgroups.
func (e *env) joinGroups() error {
	if !hasCgroup(e.spec) {
		return nil
	}
	j := e.cfg.join
	path := e.spec.Linux.CgroupsPath
	if j.besideInit {
		path = j.groupOfInit(path)
	}
	if j.sub != "" {
		path += "/" + clean(j.sub)
	}
	g, err := cgroupfs.Open(e.cfg.Layout, path)
	if e.cfg.Facts.UserNS || e.ns.user {
		if fault.KindOf(err) == fault.NotFound {
			return nil // a user's container need not have any
		}
	}
	if err != nil {
		return err
	}
	e.join.group = g
	if frozen, err := g.Frozen(); err != nil {
		return err
	} else if frozen && !j.ignorePaused {
		return fault.New(fault.Conflict, "container is paused")
	}
	if err := g.OpenTasks(); err != nil {
		return err
	}
	e.p.Note("open the container's cgroups")
	for _, fd := range g.TasksFDs() {
		e.cgroup.tasks = append(e.cgroup.tasks, e.p.Given("tasks", fd))
	}
	switch fd := g.UnifiedFD(); {
	case fd < 0:
	case j.moves, hasAffinity(e.spec) && e.spec.Process.ExecCPUAffinity.Initial != "":
		// Not born there, but moved: the group's cpuset may lack these CPUs.
		procs, err := unix.Openat(fd, "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open cgroup.procs: %w", err)
		}
		e.ends.own = append(e.ends.own, procs)
		e.cgroup.tasks = append(e.cgroup.tasks, e.p.Given("cgroup.procs", procs))
	default:
		e.cgroup.unified = e.p.Given("cgroup2", fd)
	}
	e.join.letGo = append(e.join.letGo, e.cgroup.tasks...)
	return nil
}

// groupOfInit returns the v2 group that the container's first process is in,
// if that is below path.
func (j *joining) groupOfInit(path string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", j.init.Pid))
	if err != nil {
		return path
	}
	for line := range strings.Lines(string(b)) {
		if g, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && strings.HasPrefix(g, path+"/") {
			return g
		}
	}
	return path
}

// joinChild enters the container. From the first call on no process of it can
// trace this one or read its memory, which is a copy of the engine's
// (CVE-2016-9962), and nothing of the engine is executed in there
// (CVE-2019-5736).
func joinChild(e *env) error {
	e.p.Note("stay unreadable until exec")
	e.p.Prctl(plan.InChild, unix.PR_SET_DUMPABLE, 0, 0)
	e.p.Note("no core dump before exec")
	e.p.Rlimit(plan.InChild, unix.RLIMIT_CORE, 0, e.coreHard())
	if e.ns.later != 0 {
		// One call: the kernel checks all before it joins any, the user
		// namespace first, which gives the rights over the others (Linux 5.8).
		e.p.Note("join the container's namespaces")
		e.p.Setns(plan.InChild, e.join.init, int(e.ns.later))
	}
	if e.ns.user {
		e.becomeRoot()
	}
	if e.ns.forks {
		e.p.Note("enter the pid namespace")
		e.p.Fork()
	}
	// After the fork, of which a container at its limit of processes would
	// have none to spare.
	e.p.Note("join cgroup")
	for _, t := range e.cgroup.tasks {
		e.p.Write(plan.InChild, t.Arg(), "0")
	}
	return nil
}

// enterChild opens the container's root, which setns has made this process's
// own, and enters the working directory. It is found below the root and not
// through procfs's magic links: a directory of the host that somebody left
// open is no place to start in (CVE-2024-21626).
func enterChild(e *env) error {
	cwd := e.spec.Process.Cwd
	if cwd == "" || cwd[0] != '/' {
		return fault.New(fault.Invalid, "working directory %q: not absolute", cwd)
	}
	e.root.dir = e.p.Openat2(plan.InChild, "root", plan.CWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	e.p.Note("enter working directory " + cwd)
	e.root.cwd = e.open(cwd, unix.O_PATH|unix.O_DIRECTORY)
	e.p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{e.root.cwd.Arg()})
	return nil
}

// letGoChild closes what the rest has no use for, before the process has no
// more rights than those in the container that may look at it.
func letGoChild(e *env) error {
	if len(e.join.letGo) > 0 {
		e.p.Note("let go of the host's descriptors")
	}
	for _, s := range e.join.letGo {
		e.p.Close(plan.InChild, s.Arg())
	}
	return nil
}
