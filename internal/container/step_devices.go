package container

import (
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// device is a node of the runtime-spec's default set; the kernel fixes the
// numbers (Documentation/admin-guide/devices.txt).
type device struct {
	path         string
	major, minor uint32
}

var defaultDevices = []device{
	{"/dev/null", 1, 3},
	{"/dev/zero", 1, 5},
	{"/dev/full", 1, 7},
	{"/dev/random", 1, 8},
	{"/dev/urandom", 1, 9},
	{"/dev/tty", 5, 0},
}

// defaultLinks are the links of the runtime-spec, and core as runc has it.
var defaultLinks = []struct{ name, target string }{
	{"ptmx", "pts/ptmx"},
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"core", "/proc/kcore"},
}

// bindsDev reports whether the configuration brings a /dev of its own, which
// is then left alone.
func bindsDev(s *specs.Spec) bool {
	for i := range s.Mounts {
		if clean(s.Mounts[i].Destination) == "dev" {
			o, err := parseMountOptions(&s.Mounts[i])
			if err == nil && o.bind {
				return true
			}
		}
	}
	return false
}

// devicesChild fills /dev. The nodes are made, not bound, wherever the kernel
// lets us: a bound node is the host's inode, and a chmod in the container is
// one on the host.
func devicesChild(e *env) error {
	e.p.Note("open /dev")
	dev := e.target("/dev", true, 0o755)
	if !bindsDev(e.spec) {
		for _, d := range defaultDevices {
			node, given, err := d.node(e.spec.Linux.Devices)
			if err != nil {
				return err
			}
			if err := e.node(dev, node, given); err != nil {
				return err
			}
		}
		for _, l := range defaultLinks {
			e.p.Note("make /dev/" + l.name)
			e.p.Symlinkat(plan.InChild, l.target, dev.Arg(), l.name, plan.OK(unix.EEXIST))
		}
		for _, d := range e.spec.Linux.Devices {
			if isDefaultDevice(d.Path) || clean(d.Path) == "dev/ptmx" && d.Type == "c" && d.Major == 5 && d.Minor == 2 {
				continue // the container's own multiplexer is there, as a link
			}
			if err := e.node(dev, d, true); err != nil {
				return err
			}
		}
	}
	e.p.Note("open /dev/null")
	if e.freshDev() {
		e.masks.file = e.p.Openat2(plan.InChild, "null", dev.Arg(), "null", unix.O_PATH, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	} else {
		// What an image calls /dev/null may be anything (CVE-2025-31133).
		// The attached one: before Linux 6.15 a detached copy has no copies.
		e.masks.file = e.p.Openat2(plan.InChild, "null", plan.CWD, "/dev/null", unix.O_PATH, 0, unix.RESOLVE_NO_SYMLINKS)
	}
	return nil
}

// freshDev reports whether /dev is a file system of this container's own, so
// that all its nodes are ours.
func (e *env) freshDev() bool {
	for i := range e.spec.Mounts {
		if m := &e.spec.Mounts[i]; clean(m.Destination) == "dev" && m.Type == "tmpfs" {
			return true
		}
	}
	return false
}

// node returns the device as the configuration wants it, if it says a word
// about it. It may not be another: what hides files is /dev/null.
func (d *device) node(list []specs.LinuxDevice) (node specs.LinuxDevice, given bool, err error) {
	node = specs.LinuxDevice{Path: d.path, Type: "c", Major: int64(d.major), Minor: int64(d.minor)}
	for _, g := range list {
		if g.Path != d.path {
			continue
		}
		if g.Type != "c" && g.Type != "u" || g.Major != node.Major || g.Minor != node.Minor {
			return node, true, fault.New(fault.Invalid, "device %s: is c %d:%d, not %s %d:%d", d.path, node.Major, node.Minor, g.Type, g.Major, g.Minor)
		}
		return g, true, nil
	}
	return node, false, nil
}

func isDefaultDevice(p string) bool {
	for _, d := range defaultDevices {
		if d.path == p {
			return true
		}
	}
	return false
}

// node makes one device node, or binds the host's where the container's user
// namespace may not make any. With check, a node that is there already has to
// be the same device.
func (e *env) node(dev plan.Slot, d specs.LinuxDevice, check bool) error {
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(d.FileMode.Perm())
	}
	e.p.Note("make device " + d.Path)
	rel := clean(d.Path)
	var kind uint32
	switch d.Type {
	case "c", "u":
		kind = unix.S_IFCHR
	case "b":
		kind = unix.S_IFBLK
	case "p":
		kind = unix.S_IFIFO
	default:
		return fault.New(fault.Invalid, "device %s: unknown type %q", d.Path, d.Type)
	}
	if (e.ns.user || e.cfg.Facts.UserNS) && kind != unix.S_IFIFO {
		t := e.target(d.Path, false, 0o644)
		src := e.hostDevice(d.Path)
		e.p.MoveMount(plan.InChild, src.Arg(), t.Arg())
		return nil
	}
	dir, name := dev, path.Base(rel)
	if parent := path.Dir(rel); parent != "dev" {
		dir = e.target("/"+parent, true, 0o755)
	}
	number := unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	if check && kind != unix.S_IFIFO {
		// EEXIST: the image, or a mount, has it.
		made := e.p.Open(plan.InChild, d.Path, unix.SYS_MKNODAT, []plan.Arg{
			dir.Arg(), e.p.Str(name), plan.Int(kind | mode), plan.Int(number),
		}, plan.OK(unix.EEXIST))
		e.p.Note("make device " + d.Path + ": another file is there")
		e.p.CheckDevice(plan.InChild, dir, name, uint32(d.Major), uint32(d.Minor), plan.When(plan.IfErr, made))
		e.p.Note("make device " + d.Path)
	} else {
		e.p.Mknodat(plan.InChild, dir.Arg(), name, kind|mode, number, plan.OK(unix.EEXIST))
	}
	if d.UID != nil || d.GID != nil {
		var uid, gid uint32
		if d.UID != nil {
			uid = *d.UID
		}
		if d.GID != nil {
			gid = *d.GID
		}
		if uid|gid != 0 {
			e.p.Call(plan.InChild, unix.SYS_FCHOWNAT, []plan.Arg{
				dir.Arg(), e.p.Str(name), plan.Int(uid), plan.Int(gid), plan.Int(unix.AT_SYMLINK_NOFOLLOW),
			})
		}
	}
	return nil
}

// hostDevice returns a detached bind of the host's node. The host part of the
// plan is complete when it is called: the child makes the copy, before its
// pivot, from the host's tree below the new root.
func (e *env) hostDevice(p string) plan.Slot {
	if e.cfg.DeviceSource != nil {
		p = e.cfg.DeviceSource(p)
	}
	return e.p.OpenTree(plan.InChild, p, plan.CWD, p, false)
}
