package container

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"golang.org/x/sys/unix"
)

// mounts are what the engine prepares of the configuration's mounts.
type mounts struct {
	binds   []plan.Slot     // detached bind mounts, by index in spec.Mounts
	copyUps map[int]*copyUp // by index in spec.Mounts
	files   plan.Slot       // tmpfs with Config.Files
}

func hasMounts(s *specs.Spec) bool { return len(s.Mounts) > 0 }

// mountsHost makes the bind mounts as detached copies, while the host's paths
// can still be seen.
func mountsHost(e *env) error {
	for i := range e.spec.Mounts {
		m := &e.spec.Mounts[i]
		o, err := parseMountOptions(m)
		if err != nil {
			return err
		}
		if o.bind && len(o.data) > 0 {
			e.warn("mount " + m.Destination + ": a bind mount has no " + strings.Join(o.data, ","))
		}
		if m.Type == "cgroup" {
			if err := e.cgroupViewHost(); err != nil {
				return err
			}
		}
		if err := checkProcMount(m); err != nil {
			return err
		}
		if o.copyUp {
			e.copyUpHost(i, m)
		}
		if !o.bind || o.remount || e.file(m) != nil {
			continue
		}
		if len(o.super) > 0 {
			e.warn("mount " + m.Destination + ": " + strings.Join(o.super, ",") + ": a bind mount has its source's")
		}
		if !path.IsAbs(m.Source) {
			return fault.New(fault.Invalid, "mount %s: source %q is not absolute", m.Destination, m.Source)
		}
		e.p.Note("mount " + m.Destination)
		if err := e.bindHost(i, m, &o); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) bindHost(i int, m *specs.Mount, o *mountOptions) error {
	src := e.p.OpenTree(plan.OnHost, m.Source, plan.CWD, m.Source, o.recursive)
	e.mounts.binds[i] = src
	if clean(m.Destination) == "proc" {
		e.p.Do(plan.Text("fstatfs([source]): a procfs"), func(s plan.Slots) error {
			var fs unix.Statfs_t
			if err := unix.Fstatfs(s.Get(src), &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
				return errOverProc(m.Destination)
			}
			return nil
		})
	}
	if o.propagation == 0 {
		// As every engine: a volume does not feed mounts back to the host.
		o.propagation, o.recPropagation = unix.MS_PRIVATE, o.recursive
	}
	if o.idmap || len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		var ns plan.Slot
		if len(m.UIDMappings) > 0 {
			ns = e.idmapSlot(m.UIDMappings, m.GIDMappings)
		} else if ns = e.userNSMap(); ns == 0 {
			return fault.New(fault.Invalid, "mount %s: idmap without mappings", m.Destination)
		}
		e.p.MountSetattr(plan.OnHost, src.Arg(), o.recursiveIdmap, plan.Attrs{Set: unix.MOUNT_ATTR_IDMAP, UserNS: ns})
	}
	e.p.MountSetattr(plan.OnHost, src.Arg(), o.recPropagation, plan.Attrs{Propagation: o.propagation})
	if o.set|o.clear != 0 {
		e.p.MountSetattr(plan.OnHost, src.Arg(), false, plan.Attrs{Set: o.set, Clear: o.clear})
	}
	if o.recSet|o.recClear != 0 {
		e.p.MountSetattr(plan.OnHost, src.Arg(), true, plan.Attrs{Set: o.recSet, Clear: o.recClear})
	}
	return nil
}

// mountsChild attaches the mounts in the order of the configuration.
func mountsChild(e *env) error {
	for i := range e.spec.Mounts {
		m := &e.spec.Mounts[i]
		e.p.Note("mount " + m.Destination)
		if clean(m.Destination) == "." {
			return fault.New(fault.Invalid, "mount %q: destination is the root", m.Destination)
		}
		o, err := parseMountOptions(m)
		if err != nil {
			return err
		}
		switch {
		case o.remount:
			e.remount(m, &o)
		case o.bind && e.file(m) != nil:
			e.bindFile(m, &o)
		case e.mounts.binds[i] != 0:
			dir, err := e.isDir(m.Source)
			if err != nil {
				return err
			}
			mode := uint32(0o644)
			if dir {
				mode = 0o755
			}
			t := e.target(m.Destination, dir, mode)
			e.p.MoveMount(plan.InChild, e.mounts.binds[i].Arg(), t.Arg())
		case m.Type == "cgroup" || m.Type == "cgroup2":
			e.mountCgroup(m, &o)
		default:
			e.mountFS(i, m, &o)
		}
	}
	return nil
}

// isDir says what kind of mount point a bind source needs.
func (e *env) isDir(source string) (bool, error) {
	if e.cfg.IsDir != nil {
		return e.cfg.IsDir(source)
	}
	fi, err := os.Stat(source)
	if err != nil {
		return false, fault.New(fault.Invalid, "bind source %s: %w", source, unwrapPath(err))
	}
	return fi.IsDir(), nil
}

// mountFS mounts a file system that belongs to the container's namespaces.
func (e *env) mountFS(i int, m *specs.Mount, o *mountOptions) {
	var mnt plan.Slot
	inherit := m.Type == "tmpfs" && !o.has("mode")
	readonly := (inherit || o.copyUp) && (o.set|o.recSet)&unix.MOUNT_ATTR_RDONLY != 0
	if readonly { // the mode has to be written first
		o.set, o.recSet = o.set&^unix.MOUNT_ATTR_RDONLY, o.recSet&^unix.MOUNT_ATTR_RDONLY
	}
	if m.Type == "proc" && len(o.data) == 0 && isNew(e.spec, specs.PIDNamespace) && !e.procUsed() {
		mnt = e.procfs()
		e.p.MountSetattr(plan.InChild, mnt.Arg(), false, plan.Attrs{Set: o.set, Clear: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | o.clear})
	} else {
		mnt = e.newFS(m, o)
	}
	t := e.find(m.Destination, true)
	var mode plan.Slot
	if inherit {
		// The kernel's default is 1777 whatever lies below; an image's /run
		// is 0755 and stays so. A new directory gets the default.
		mode = e.p.ModeOf(plan.InChild, t, plan.When(plan.IfOK, t))
	}
	e.complete(t, m.Destination, true, 0o755)
	e.p.MoveMount(plan.InChild, mnt.Arg(), t.Arg())
	if mode != 0 {
		e.p.Call(plan.InChild, unix.SYS_FCHMODAT, []plan.Arg{mnt.Arg(), e.p.Str("."), mode.Arg()}, plan.When(plan.IfOK, mode))
	}
	if c := e.mounts.copyUps[i]; c != nil {
		c.from, c.to = t, mnt
		e.wait(c.gate)
	}
	if readonly {
		e.p.MountSetattr(plan.InChild, mnt.Arg(), false, plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY})
	}
	e.propagate(mnt, o)
}

// remount changes what is mounted at the destination already: the mount's
// attributes, and without bind the file system's own options.
func (e *env) remount(m *specs.Mount, o *mountOptions) {
	t := e.open(m.Destination, unix.O_PATH)
	if !o.bind && len(o.data)+len(o.super) > 0 {
		fs := e.p.Open(plan.InChild, "fs:remount", unix.SYS_FSPICK, []plan.Arg{
			t.Arg(), e.p.Str(""), plan.Int(unix.FSPICK_CLOEXEC | unix.FSPICK_EMPTY_PATH),
		})
		e.fsOptions(fs, m, o)
		e.p.Call(plan.InChild, unix.SYS_FSCONFIG, []plan.Arg{fs.Arg(), plan.Int(unix.FSCONFIG_CMD_RECONFIGURE), plan.Int(0), plan.Int(0), plan.Int(0)})
	}
	if o.set|o.clear != 0 {
		e.p.MountSetattr(plan.InChild, t.Arg(), false, plan.Attrs{Set: o.set, Clear: o.clear})
	}
	if o.recSet|o.recClear != 0 {
		e.p.MountSetattr(plan.InChild, t.Arg(), true, plan.Attrs{Set: o.recSet, Clear: o.recClear})
	}
	e.propagate(t, o)
}

// overProc are the files of /proc that may be covered: what programs such as
// lxcfs give the container its own view of. Anything else there could mislead
// whoever writes to a process's attributes (CVE-2019-16884, CVE-2019-19921).
var overProc = []string{
	"cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime",
	"sys/crypto/fips_enabled", "sys/kernel/ns_last_pid",
}

func errOverProc(destination string) error {
	return fault.New(fault.Invalid, "mount %s: only procfs itself can be mounted there", destination)
}

// checkProcMount refuses what would cover /proc or a part of it, but for a
// procfs of the host, which is found out when it is opened.
func checkProcMount(m *specs.Mount) error {
	dest := clean(m.Destination)
	rel, inside := strings.CutPrefix(dest, "proc/")
	o, err := parseMountOptions(m)
	switch {
	case err != nil:
		return err
	case dest == "proc" && m.Type != "proc" && !o.bind && !o.remount,
		inside && !slices.Contains(overProc, rel) && m.Type != "proc" && !o.remount:
		return errOverProc(m.Destination)
	}
	return nil
}

// procUsed reports whether a second mount of type proc is asked for.
func (e *env) procUsed() bool {
	n := 0
	for i := range e.spec.Mounts {
		if e.spec.Mounts[i].Type == "proc" {
			n++
		}
	}
	return n > 1
}

func (e *env) newFS(m *specs.Mount, o *mountOptions) plan.Slot {
	fs := e.p.Fsopen(plan.InChild, m.Type)
	source := m.Source
	if source == "" {
		source = m.Type
	}
	e.p.FsString(plan.InChild, fs, "source", source)
	e.fsOptions(fs, m, o)
	if m.Type == "tmpfs" || m.Type == "devpts" || m.Type == "mqueue" {
		e.label(plan.InChild, fs)
	}
	e.p.FsCreate(plan.InChild, fs)
	return e.p.Fsmount(plan.InChild, m.Type, fs, int(o.set|o.recSet))
}

// fsOptions sets what the file system takes of a mount's options.
func (e *env) fsOptions(fs plan.Slot, m *specs.Mount, o *mountOptions) {
	for _, flag := range o.super {
		e.p.FsFlag(plan.InChild, fs, flag)
	}
	for _, d := range o.data {
		key, value, ok := strings.Cut(d, "=")
		if ok && m.Type == "devpts" && key == "gid" && !e.hasGID(value) {
			continue // the terminals' group does not exist in there
		}
		if ok {
			e.p.FsString(plan.InChild, fs, key, value)
		} else if m.Type != "devpts" || key != "newinstance" {
			e.p.FsFlag(plan.InChild, fs, key)
		}
	}
}

// mountCgroup mounts the container's view of its cgroups: the one unified
// hierarchy, or a tmpfs with one mount for each v1 hierarchy.
func (e *env) mountCgroup(m *specs.Mount, o *mountOptions) {
	o.set |= o.recSet
	mounts := e.cfg.Layout.Mounts()
	if len(mounts) == 1 && mounts[0].Target == "" {
		fs := e.p.Fsopen(plan.InChild, mounts[0].FSType)
		e.p.FsCreate(plan.InChild, fs)
		mnt := e.p.Fsmount(plan.InChild, "cgroup", fs, int(o.set))
		t := e.target(m.Destination, true, 0o755)
		e.p.MoveMount(plan.InChild, mnt.Arg(), t.Arg())
		e.propagate(mnt, o)
		return
	}
	fs := e.p.Fsopen(plan.InChild, "tmpfs")
	e.p.FsString(plan.InChild, fs, "mode", "755")
	e.p.FsCreate(plan.InChild, fs)
	top := e.p.Fsmount(plan.InChild, "cgroup tmpfs", fs, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	t := e.target(m.Destination, true, 0o755)
	e.p.MoveMount(plan.InChild, top.Arg(), t.Arg())
	for i, c := range mounts {
		e.p.Note("mount " + m.Destination + "/" + c.Target)
		e.p.Mkdirat(plan.InChild, top.Arg(), c.Target, 0o755)
		if e.cgroup.view != nil {
			at := e.p.Openat2(plan.InChild, c.Target, top.Arg(), c.Target, unix.O_PATH|unix.O_DIRECTORY, 0, unix.RESOLVE_BENEATH)
			e.attachCgroup(i, at, o.set)
			e.cgroupLinks(&c, top)
			continue
		}
		fs := e.p.Fsopen(plan.InChild, c.FSType)
		for _, d := range strings.Split(c.Data, ",") {
			if key, value, ok := strings.Cut(d, "="); ok {
				e.p.FsString(plan.InChild, fs, key, value)
			} else if d != "" {
				e.p.FsFlag(plan.InChild, fs, d)
			}
		}
		e.p.FsCreate(plan.InChild, fs)
		mnt := e.p.Fsmount(plan.InChild, c.FSType, fs, int(o.set))
		at := e.p.Openat2(plan.InChild, c.Target, top.Arg(), c.Target, unix.O_PATH|unix.O_DIRECTORY, 0, unix.RESOLVE_BENEATH)
		e.p.MoveMount(plan.InChild, mnt.Arg(), at.Arg())
		e.cgroupLinks(&c, top)
	}
	if o.set&unix.MOUNT_ATTR_RDONLY != 0 {
		e.p.MountSetattr(plan.InChild, top.Arg(), false, plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY})
	}
	e.propagate(top, o)
}

// propagate sets a mount's propagation, if the configuration says a word
// about it.
func (e *env) propagate(mnt plan.Slot, o *mountOptions) {
	if o.propagation != 0 {
		e.p.MountSetattr(plan.InChild, mnt.Arg(), o.recPropagation, plan.Attrs{Propagation: o.propagation})
	}
}

func (e *env) cgroupLinks(c *cgroup.Mount, top plan.Slot) {
	for _, l := range c.Links {
		e.p.Symlinkat(plan.InChild, c.Target, top.Arg(), l)
	}
}
