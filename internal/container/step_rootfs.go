package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// root is the container's root file system.
type root struct {
	dir, old plan.Slot // the root, and the one that it is attached on top of
	cwd      plan.Slot // working directory, inside
	// hostMount is the mount below it, where the container has no mount
	// namespace of its own.
	hostMount uint64
}

// rootfsHost makes the root file system as a detached mount: nothing appears
// in any mount namespace before the child attaches it in its own.
func rootfsHost(e *env) error {
	r := &e.cfg.Root
	e.p.Note("mount root file system")
	switch {
	case r.Bind != "":
		e.root.dir = e.p.OpenTree(plan.OnHost, "root", plan.CWD, r.Bind, r.Recursive)
		if r.Recursive {
			// The copies of what is below must not feed mounts back either.
			e.p.MountSetattr(plan.OnHost, e.root.dir.Arg(), true, plan.Attrs{Propagation: unix.MS_PRIVATE})
		}
		a := plan.Attrs{Propagation: unix.MS_PRIVATE}
		if prop, err := propagationOf(e.spec.Linux.RootfsPropagation); err == nil && prop&(unix.MS_SLAVE|unix.MS_SHARED) != 0 {
			a.Propagation = unix.MS_SLAVE // of the host's mount that it is a copy of
		}
		if r.ReadOnly {
			a.Set = unix.MOUNT_ATTR_RDONLY // an image's only layer
		}
		if ns := e.rootMap(); ns != 0 {
			a.Set |= unix.MOUNT_ATTR_IDMAP
			a.UserNS = ns
		}
		e.p.MountSetattr(plan.OnHost, e.root.dir.Arg(), false, a)
	case r.Options != "":
		if e.cfg.RootTarget == "" {
			return fault.New(fault.Internal, "mount root file system: no directory to mount on")
		}
		if e.cfg.IdmapRoot && namespace(e.spec, specs.UserNamespace) != nil {
			return errIdmapLayers
		}
	default:
		return e.overlayHost(r)
	}
	return nil
}

// rootMap is the map that the root is shown with; 0 is none.
func (e *env) rootMap() plan.Slot {
	if !e.cfg.IdmapRoot {
		return 0
	}
	return e.userNSMap()
}

// errIdmapLayers: an idmapped layer is a detached mount, which has no path.
var errIdmapLayers error = &fault.Error{
	Kind: fault.Unsupported, Text: "mount root file system: an overlay with id-mapped layers needs Linux 6.14",
}

func (e *env) overlayHost(r *snapshot.Mount) error {
	// The upper directory is not mapped: overlay itself, which writes as the
	// host's root, would have no id in it. It belongs to the container's root.
	idmap := e.rootMap()
	fs := e.p.Fsopen(plan.OnHost, "overlay")
	for _, c := range r.Config {
		switch c.Cmd {
		case snapshot.SetFlag:
			e.p.FsFlag(plan.OnHost, fs, c.Key)
		case snapshot.SetString:
			if idmap != 0 && c.Key == "lowerdir+" {
				return errIdmapLayers
			}
			e.p.FsString(plan.OnHost, fs, c.Key, c.Value)
		case snapshot.SetFD:
			var dir plan.Slot
			if idmap != 0 && c.Key == "lowerdir+" {
				dir = e.p.OpenTree(plan.OnHost, c.Key, plan.CWD, c.Open, false)
				e.p.MountSetattr(plan.OnHost, dir.Arg(), false, plan.Attrs{Set: unix.MOUNT_ATTR_IDMAP, UserNS: idmap})
			} else {
				// Not O_PATH, which fsconfig takes since Linux 6.14 only.
				dir = e.p.Openat2(plan.OnHost, c.Key, plan.CWD, c.Open, unix.O_RDONLY|unix.O_DIRECTORY, 0, 0)
			}
			e.p.FsFd(plan.OnHost, fs, c.Key, dir.Arg())
		}
	}
	e.label(plan.OnHost, fs)
	e.p.FsCreate(plan.OnHost, fs)
	attrs := 0
	if r.ReadOnly {
		attrs = unix.MOUNT_ATTR_RDONLY
	}
	e.root.dir = e.p.Fsmount(plan.OnHost, "root", fs, attrs)
	return nil
}

// propagationChild cuts the propagation to the host's mounts, before anything
// is mounted.
func propagationChild(e *env) error {
	prop, err := propagationOf(e.spec.Linux.RootfsPropagation)
	if err != nil {
		return err
	}
	outer := uint64(unix.MS_PRIVATE)
	if prop&(unix.MS_SLAVE|unix.MS_SHARED) != 0 {
		outer = unix.MS_SLAVE
	}
	if SharesMounts(e.spec) {
		return nil // they are the host's own
	}
	e.p.Note("cut propagation to the host's mounts")
	e.root.old = e.p.Openat2(plan.InChild, "old root", plan.CWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	e.p.MountSetattr(plan.InChild, e.root.old.Arg(), true, plan.Attrs{Propagation: outer})
	return nil
}

// rootfsChild attaches the root on top of the old one. Paths are resolved
// from its descriptor from here on.
func rootfsChild(e *env) error {
	r := &e.cfg.Root
	e.p.Note("mount root file system")
	switch {
	case r.Options != "":
		e.overlayChild(r)
	case e.rootPath() != "":
		at := e.hidden("root's path ")
		e.p.MoveMount(plan.InChild, e.root.dir.Arg(), at.Arg())
	default:
		e.p.MoveMount(plan.InChild, e.root.dir.Arg(), e.root.old.Arg())
	}
	return nil
}

// overlayChild mounts by path, for kernels whose overlay takes no descriptors
// (before Linux 6.13) nor single layers (before 6.7): mount(2) has one page
// for all options, so layers are short names relative to the working
// directory.
func (e *env) overlayChild(r *snapshot.Mount) {
	e.p.Call(plan.InChild, unix.SYS_CHDIR, []plan.Arg{e.p.Str(r.Base)})
	e.p.Call(plan.InChild, unix.SYS_MOUNT, []plan.Arg{
		e.p.Str("overlay"), e.p.Str(e.cfg.RootTarget), e.p.Str("overlay"), plan.Int(0), e.p.Str(r.Options),
	})
	e.root.dir = e.p.Openat2(plan.InChild, "root", plan.CWD, e.cfg.RootTarget, unix.O_PATH|unix.O_DIRECTORY, 0, 0)
}

// pivotChild makes the container's root the root of its mount namespace and
// lets go of the host's. chroot would leave the old root reachable.
func pivotChild(e *env) error {
	e.p.Note("pivot root")
	e.p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{e.root.dir.Arg()})
	dot := e.p.Str(".")
	if e.cfg.NoPivot || SharesMounts(e.spec) {
		// The root lies on top of the old one already, or the old one is the
		// host's.
		e.p.Call(plan.InChild, unix.SYS_CHROOT, []plan.Arg{dot})
	} else {
		e.p.Call(plan.InChild, unix.SYS_PIVOT_ROOT, []plan.Arg{dot, dot})
		// The old root lies on top of the new one now.
		e.p.Call(plan.InChild, unix.SYS_UMOUNT2, []plan.Arg{dot, plan.Int(unix.MNT_DETACH)})
	}
	e.p.Note("enter working directory " + e.spec.Process.Cwd)
	e.p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{e.root.cwd.Arg()})
	if prop, err := propagationOf(e.spec.Linux.RootfsPropagation); err != nil {
		return err
	} else if prop&(unix.MS_SHARED|unix.MS_UNBINDABLE) != 0 {
		e.p.Note("set root propagation")
		e.p.MountSetattr(plan.InChild, e.root.dir.Arg(), false, plan.Attrs{Propagation: prop})
	}
	return nil
}

// readonlyRootChild comes after the mounts: missing mount points had to be
// made.
func readonlyRootChild(e *env) error {
	e.p.Note("make root read-only")
	e.p.MountSetattr(plan.InChild, e.root.dir.Arg(), false, plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY})
	return nil
}

func propagationOf(name string) (uint64, error) {
	switch name {
	case "", "private", "rprivate":
		return unix.MS_PRIVATE, nil
	case "slave", "rslave":
		return unix.MS_SLAVE, nil
	case "shared", "rshared":
		return unix.MS_SHARED, nil
	case "unbindable", "runbindable":
		return unix.MS_UNBINDABLE, nil
	default:
		return 0, fault.New(fault.Invalid, "propagation %q: unknown", name)
	}
}
