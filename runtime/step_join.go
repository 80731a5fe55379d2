package runtime

import (
	"bytes"
	"fmt"
	"os"

	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/plan"
	"golang.org/x/sys/unix"
)

// joinHost opens what a further process of a container joins by, while host
// paths can still be seen: its first process's namespaces as one descriptor,
// its cgroups, and the host's procfs, which nothing in the container can
// cover.
func joinHost(e *env) error {
	j := e.cfg.join
	for i := range e.spec.Linux.Namespaces {
		flag, err := nsFlag(e.spec.Linux.Namespaces[i].Type)
		if err != nil {
			return err
		}
		e.later |= flag
	}
	// The configuration does not tell whether a user namespace is this
	// process's own; joining it again is EINVAL.
	other, err := j.otherUserNS()
	if err != nil {
		return err
	}
	e.later &^= unix.CLONE_NEWUSER
	if other {
		e.later |= unix.CLONE_NEWUSER
		e.userNS = true
		e.cfg.Facts.NoSetgroups = j.noSetgroups()
	}
	e.forks = e.later&unix.CLONE_NEWPID != 0
	e.init = e.p.Given("init", j.init.Pidfd)
	e.p.Note("open procfs")
	e.proc = e.p.HostSlot("proc")
	e.p.Do(plan.Text(`open("/proc", O_PATH|O_DIRECTORY|O_CLOEXEC) = [proc]`), e.openProc)
	e.letGo = append(e.letGo, e.init, e.proc)
	return e.joinGroups()
}

func (j *joining) otherUserNS() (bool, error) {
	var own, its unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &own); err != nil {
		return false, fmt.Errorf("user namespace of this process: %w", err)
	}
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/user", j.init.Pid), &its); err != nil {
		return false, fmt.Errorf("user namespace of process %d: %w", j.init.Pid, err)
	}
	return own.Ino != its.Ino || own.Dev != its.Dev, nil
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
	e.ownEnds = append(e.ownEnds, fd)
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
	if j.sub != "" {
		path += "/" + clean(j.sub)
	}
	g, err := cgroupfs.Open(e.cfg.Layout, path)
	if e.cfg.Facts.UserNS || e.userNS {
		if fault.KindOf(err) == fault.NotFound {
			return nil // a user's container need not have any
		}
	}
	if err != nil {
		return err
	}
	e.joined = g
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
		e.tasks = append(e.tasks, e.p.Given("tasks", fd))
	}
	if fd := g.UnifiedFD(); fd >= 0 {
		e.unified = e.p.Given("cgroup2", fd)
	}
	e.letGo = append(e.letGo, e.tasks...)
	return nil
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
	if e.later != 0 {
		// One call: the kernel checks all before it joins any, the user
		// namespace first, which gives the rights over the others (Linux 5.8).
		e.p.Note("join the container's namespaces")
		e.p.Setns(plan.InChild, e.init, int(e.later))
	}
	if e.userNS {
		e.becomeRoot()
	}
	if e.forks {
		e.p.Note("enter the pid namespace")
		e.p.Fork()
	}
	// After the fork, of which a container at its limit of processes would
	// have none to spare.
	e.p.Note("join cgroup")
	for _, t := range e.tasks {
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
	e.root = e.p.Openat2(plan.InChild, "root", plan.CWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	e.p.Note("enter working directory " + cwd)
	e.cwd = e.open(cwd, unix.O_PATH|unix.O_DIRECTORY, plan.OK(unix.EAGAIN))
	e.p.OpenInto(plan.InChild, e.cwd, e.root.Arg(), clean(cwd), unix.O_PATH|unix.O_DIRECTORY, plan.InRoot, plan.When(plan.IfErr, e.cwd))
	e.p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{e.cwd.Arg()})
	return nil
}

// letGoChild closes what the rest has no use for, before the process has no
// more rights than those in the container that may look at it.
func letGoChild(e *env) error {
	if len(e.letGo) > 0 {
		e.p.Note("let go of the host's descriptors")
	}
	for _, s := range e.letGo {
		e.p.Close(plan.InChild, s.Arg())
	}
	return nil
}
