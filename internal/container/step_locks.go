package container

import (
	"fmt"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// mayRemount reports whether the container could make its read-only volumes
// writable: with CAP_SYS_ADMIN in a user namespace that owns its mounts.
// Without a user namespace it could do anything anyhow.
func mayRemount(s *specs.Spec) bool {
	c := s.Process.Capabilities
	if c == nil || namespace(s, specs.UserNamespace) == nil || SharesMounts(s) {
		return false
	}
	set, _ := capability.ParseSet(c.Bounding)
	return set.Has(unix.CAP_SYS_ADMIN)
}

// locks are the mounts whose flags the kernel keeps.
type locks struct {
	list []lock
	from []plan.Slot // their detached mounts, on the host
	// thread says that the clone is made on one that is never used again,
	// for its mount namespace or its working directory.
	thread bool
}

// lock is a mount whose flags the container may not change.
type lock struct {
	slot      *plan.Slot
	recursive bool
	dir       bool
}

// locksHost attaches the detached mounts in a mount namespace of the thread
// that clones. The kernel locks the flags of mounts that come from a mount
// namespace of another user namespace (mount_namespaces(7)), and copies the
// locks with the mount; one that is attached inside has none.
func locksHost(e *env) error {
	e.locks.thread = true
	e.beside.last = append(e.beside.last, func() {
		e.p.Do(plan.Text(
			"unshare(CLONE_NEWNS) in a thread that ends",
			`mount_setattr(open("/"), "", AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_SLAVE})`,
			"move_mount of each detached mount on a tmpfs at "+e.lockPlace(),
		), e.attachLocked)
	})
	return nil
}

// collectLocks lists the mounts. What is shared stays as it is: a copy for
// another user namespace would be a slave.
func (e *env) collectLocks() error {
	if e.locks.list != nil {
		return nil
	}
	e.locks.list = []lock{}
	if e.cfg.Root.Bind != "" {
		e.locks.list = append(e.locks.list, lock{&e.root.dir, e.cfg.Root.Recursive, true})
	}
	for i := range e.mounts.binds {
		if e.mounts.binds[i] == 0 {
			continue
		}
		m := &e.spec.Mounts[i]
		o, err := parseMountOptions(m)
		if err != nil {
			return err
		}
		if o.propagation&unix.MS_SHARED != 0 {
			continue
		}
		dir, err := e.isDir(m.Source)
		if err != nil {
			return err
		}
		e.locks.list = append(e.locks.list, lock{&e.mounts.binds[i], o.recursive, dir})
	}
	return nil
}

// attachLocked runs on a thread that is never used again.
func (e *env) attachLocked(s plan.Slots) error {
	if err := e.collectLocks(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	// Not private: the child follows the host where the configuration says so.
	attr := unix.MountAttr{Propagation: unix.MS_SLAVE}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("cut propagation: %w", err)
	}
	top, err := hiddenTmpfs(e.lockPlace())
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(top) }()
	// The child finds itself in the copy of this directory, whatever its rights
	// are on the way there.
	if err := unix.Fchdir(top); err != nil {
		return fmt.Errorf("lock mounts: %w", err)
	}
	const empty = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	for i := range e.locks.list {
		l := &e.locks.list[i]
		name := strconv.Itoa(i)
		if l.dir {
			err = unix.Mkdirat(top, name, 0o700)
		} else {
			err = unix.Mknodat(top, name, unix.S_IFREG|0o600, 0)
		}
		var at int
		if err == nil {
			at, err = unix.Openat(top, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return fmt.Errorf("lock mounts: %w", err)
		}
		err = unix.MoveMount(s.Get(e.locks.from[i]), "", at, "", empty)
		_ = unix.Close(at)
		if err != nil {
			return fmt.Errorf("lock mounts: %w", err)
		}
	}
	return nil
}

// hiddenTmpfs mounts one where nobody looks.
func hiddenTmpfs(where string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("lock mounts: %w", err)
	}
	defer func() { _ = unix.Close(fs) }()
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("lock mounts: %w", err)
	}
	top, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("lock mounts: %w", err)
	}
	if err := unix.MoveMount(top, "", unix.AT_FDCWD, where, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		_ = unix.Close(top)
		return -1, fmt.Errorf("lock mounts on %s: %w", where, err)
	}
	return top, nil
}

// locksChild takes copies of the locked mounts in the place of the detached
// ones.
func locksChild(e *env) error {
	if err := e.collectLocks(); err != nil {
		return err
	}
	for i := range e.locks.list {
		l := &e.locks.list[i]
		e.locks.from = append(e.locks.from, *l.slot)
		e.p.Note("take locked mount " + e.p.SlotName(*l.slot))
		*l.slot = e.p.OpenTree(plan.InChild, "locked:"+e.p.SlotName(*l.slot), plan.CWD, strconv.Itoa(i), l.recursive)
	}
	return nil
}

// lockPlace is a directory that nobody looks at any more: where the root, or
// its upper layer, lies on the host. Not /proc: covered, it would not count as
// visible, and a user namespace may not mount another then.
func (e *env) lockPlace() string {
	r := &e.cfg.Root
	if p := e.rootPath(); p != "" {
		return p
	}
	if r.Bind != "" {
		return r.Bind
	}
	for _, c := range r.Config {
		if c.Cmd == snapshot.SetFD {
			return c.Open
		}
	}
	return e.cfg.RootTarget
}

// hidden opens a directory of the old root that the container's setup covers,
// and that hooks do not look at: their place is the root's path, where the
// child is already when it has no rights on the way there.
func (e *env) hidden(name string) plan.Slot {
	where := "/proc"
	if p := e.rootPath(); p != "" {
		where = p
	}
	if e.inRoot() {
		where = "."
	}
	return e.p.Openat2(plan.InChild, name+where, plan.CWD, where, unix.O_PATH|unix.O_DIRECTORY, 0, 0)
}

// inRoot reports whether the child begins in the root's path.
func (e *env) inRoot() bool { return e.ns.user && e.rootPath() != "" && e.cfg.Root.Options == "" }

// enterRoot moves the thread that clones there.
func (e *env) enterRoot() {
	e.locks.thread = true
	e.beside.last = append(e.beside.last, func() {
		e.p.Do(plan.Text("unshare(CLONE_FS) in a thread that ends", "chdir("+e.rootPath()+")"), func(plan.Slots) error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare working directory: %w", err)
			}
			return unix.Chdir(e.rootPath())
		})
	})
}
