package cgroupfs

import (
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Freeze stops every process of the group and waits until they are. After
// timeout it thaws again and returns fault.Unavailable.
func (g *Group) Freeze(timeout time.Duration) error {
	if dir := g.find("freezer"); dir >= 0 {
		return g.freezeV1(dir, timeout)
	}
	dir := g.UnifiedFD()
	if dir < 0 {
		return fault.New(fault.Unsupported, "freeze cgroup %s: no freezer controller", g.path)
	}
	if err := writeAt(dir, "cgroup.freeze", "1"); err != nil {
		return fail("freeze cgroup", g.path, err)
	}
	ok, err := waitEvent(dir, "frozen", 1, time.Now().Add(timeout))
	if err == nil && ok {
		return nil
	}
	if terr := g.Thaw(); err == nil {
		err = terr
	}
	if err != nil {
		return fail("freeze cgroup", g.path, err)
	}
	return fault.New(fault.Unavailable, "freeze cgroup %s: not frozen after %v", g.path, timeout)
}

// freezeV1 writes FROZEN until all tasks are: one that forks at the wrong
// moment keeps the state at FREEZING, and thawing for a moment lets it pass.
func (g *Group) freezeV1(dir int, timeout time.Duration) error {
	b := newBackoff(timeout)
	for n := 1; ; n++ {
		if err := writeAt(dir, "freezer.state", "FROZEN"); err != nil {
			return fail("freeze cgroup", g.path, err)
		}
		state, err := readAt(dir, "freezer.state")
		if err != nil {
			return fail("freeze cgroup", g.path, err)
		}
		if strings.TrimSpace(state) == "FROZEN" {
			return nil
		}
		more := b.wait()
		if n%16 == 0 || !more {
			if err := g.Thaw(); err != nil {
				return err
			}
		}
		if !more {
			return fault.New(fault.Unavailable, "freeze cgroup %s: not frozen after %v", g.path, timeout)
		}
	}
}

// Thaw undoes Freeze.
func (g *Group) Thaw() error {
	dir, file, value := g.find("freezer"), "freezer.state", "THAWED"
	if dir < 0 {
		dir, file, value = g.UnifiedFD(), "cgroup.freeze", "0"
	}
	if dir < 0 {
		return nil // nothing that could have frozen it
	}
	if err := writeAt(dir, file, value); err != nil && !gone(err) {
		return fail("thaw cgroup", g.path, err)
	}
	return nil
}

// Frozen tells whether the group is frozen (or freezing).
func (g *Group) Frozen() (bool, error) {
	dir, file, thawed := g.find("freezer"), "freezer.state", "THAWED"
	if dir < 0 {
		dir, file, thawed = g.UnifiedFD(), "cgroup.freeze", "0"
	}
	if dir < 0 {
		return false, nil
	}
	state, err := readAt(dir, file)
	if err != nil {
		return false, fail("read cgroup", g.path+"/"+file, err)
	}
	return strings.TrimSpace(state) != thawed, nil
}

// Kill sends SIGKILL to everything in the group and its sub-groups, thaws it,
// and waits until it is empty. Processes that do not die in time are
// fault.Unavailable.
func (g *Group) Kill(timeout time.Duration) error {
	b := newBackoff(timeout)
	dir := g.UnifiedFD()
	if dir >= 0 {
		err := writeAt(dir, "cgroup.kill", "1") // 5.14
		if err != nil && !absent(err) && !gone(err) {
			return fail("kill cgroup", g.path, err)
		}
		// v1 keeps frozen tasks from dying.
		if terr := g.Thaw(); terr != nil {
			return terr
		}
		if err == nil {
			if _, err := waitEvent(dir, "populated", 0, b.deadline); err != nil && !gone(err) {
				return fail("kill cgroup", g.path, err)
			}
		}
	}
	// Without cgroup.kill, or for processes that are only in v1.
	for {
		pids, err := g.Procs()
		if err != nil || len(pids) == 0 {
			return err
		}
		if err := g.killAll(pids); err != nil {
			return err
		}
		if !b.wait() {
			return fault.New(fault.Unavailable, "kill cgroup %s: %d processes remain", g.path, len(pids))
		}
	}
}

// killAll signals every process, with the group frozen so that none forks
// away meanwhile.
func (g *Group) killAll(pids []int) error {
	if err := g.Freeze(100 * time.Millisecond); err != nil && fault.KindOf(err) != fault.Unavailable && fault.KindOf(err) != fault.Unsupported {
		return err
	}
	err := g.signalMembers(pids, unix.SIGKILL)
	if terr := g.Thaw(); err == nil {
		err = terr
	}
	return err
}

// Signal sends a signal to every process of the group and its sub-groups.
func (g *Group) Signal(sig unix.Signal) error {
	pids, err := g.Procs()
	if err != nil {
		return err
	}
	if sig == unix.SIGKILL {
		return g.killAll(pids)
	}
	return g.signalMembers(pids, sig)
}

// signalMembers opens a pidfd for each pid and signals those that are members
// afterwards: whoever has the number then is either the one that the pidfd
// holds, or that one is dead and the signal goes nowhere.
func (g *Group) signalMembers(pids []int, sig unix.Signal) error {
	fds := make([]int, len(pids))
	for i, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			fd = -1
		}
		fds[i] = fd
	}
	defer func() {
		for i := range fds {
			closeFD(&fds[i])
		}
	}()
	members, err := g.Procs()
	if err != nil {
		return err
	}
	for i, pid := range pids {
		if _, ok := slices.BinarySearch(members, pid); !ok || fds[i] < 0 {
			continue
		}
		if err := unix.PidfdSendSignal(fds[i], sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fail("signal cgroup", g.path, err)
		}
	}
	return nil
}

// waitEvent waits until a key of dir/cgroup.events has a value; false when
// the deadline came first.
func waitEvent(dir int, key string, value uint64, deadline time.Time) (bool, error) {
	fd, err := openat(dir, "cgroup.events", unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer closeFD(&fd)
	for {
		text, err := read(fd, false)
		if err != nil {
			return false, err
		}
		got, err := cgroup.Field(text, key)
		if err != nil {
			return false, err
		}
		if got == value {
			return true, nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(p, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
	}
}

// Remove removes the group's directories with all sub-groups, waiting for
// dying processes, and closes the Group. Directories that are already gone
// are no error; living processes are fault.Conflict after the timeout.
func (g *Group) Remove(timeout time.Duration) error {
	b := newBackoff(timeout)
	var first error
	for i := range g.in {
		p := &g.in[i]
		closeFD(&p.tasks)
		if p.parent < 0 {
			continue
		}
		for {
			err := removeTree(p.parent, p.name)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EBUSY) || !b.wait() {
				if first == nil {
					first = fail("remove", g.target(i), err)
				}
				break
			}
		}
	}
	g.Close()
	return first
}

// removeTree removes a directory, and where it is busy, first what is below.
func removeTree(parent int, name string) error {
	err := rmdirAt(parent, name)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	dir, err := openat(parent, name, unix.O_RDONLY|dirFlags)
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	err = eachSubdir(dir, func(sub string) error { return removeTree(dir, sub) })
	closeFD(&dir)
	if err != nil {
		return err
	}
	return rmdirAt(parent, name)
}

func rmdirAt(parent int, name string) error {
	for {
		err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		switch {
		case errors.Is(err, unix.EINTR):
		case gone(err):
			return nil
		default:
			return err
		}
	}
}

// RemoveParent removes the empty directories of an absolute path, from its
// end towards the root, in every hierarchy; non-empty ones stay.
func RemoveParent(l cgroup.Layout, path string) error {
	dirs, err := l.Dirs(path)
	if err != nil {
		return err
	}
	for i, d := range dirs {
		for d != "" && !l.Hierarchies[i].ReadOnly {
			err := unix.Rmdir(join(l.Hierarchies[i].Mount, d))
			if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
				break
			}
			if err != nil && !gone(err) {
				return fail("remove", join(l.Hierarchies[i].Mount, d), err)
			}
			n := strings.LastIndexByte(d, '/')
			d = d[:max(n, 0)]
		}
	}
	return nil
}
