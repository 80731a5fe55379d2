package container

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// mountOptions is a mount's option list, sorted by who takes each option.
type mountOptions struct {
	bind, recursive       bool // bind or rbind
	set, clear            uint64
	recSet, recClear      uint64 // rro and the like: AT_RECURSIVE
	propagation           uint64
	recPropagation        bool
	data                  []string // for the file system
	super                 []string // for the superblock: sync and the like
	copyUp                bool     // tmpcopyup
	remount               bool
	idmap, recursiveIdmap bool
}

// mountFlag is an option that is a mount attribute (mount_setattr(2)).
type mountFlag struct {
	name       string
	set, clear uint64
	recursive  bool
}

// mountFlags are the options of the runtime-spec's table that are attributes.
// The atime modes are one field: setting one clears the others.
var mountFlags = []mountFlag{
	{"async", 0, 0, false},
	{"atime", 0, unix.MOUNT_ATTR_NOATIME, false},
	{"defaults", 0, 0, false},
	{"dev", 0, unix.MOUNT_ATTR_NODEV, false},
	{"diratime", 0, unix.MOUNT_ATTR_NODIRATIME, false},
	{"exec", 0, unix.MOUNT_ATTR_NOEXEC, false},
	{"loud", 0, 0, false},
	{"noiversion", 0, 0, false},
	{"nolazytime", 0, 0, false},
	{"nomand", 0, 0, false},
	{"noatime", unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME, false},
	{"nodev", unix.MOUNT_ATTR_NODEV, 0, false},
	{"nodiratime", unix.MOUNT_ATTR_NODIRATIME, 0, false},
	{"noexec", unix.MOUNT_ATTR_NOEXEC, 0, false},
	{"norelatime", 0, unix.MOUNT_ATTR__ATIME, false},
	{"nostrictatime", 0, unix.MOUNT_ATTR__ATIME, false},
	{"nosuid", unix.MOUNT_ATTR_NOSUID, 0, false},
	{"nosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, 0, false},
	{"relatime", unix.MOUNT_ATTR_RELATIME, unix.MOUNT_ATTR__ATIME, false},
	{"ro", unix.MOUNT_ATTR_RDONLY, 0, false},
	{"rw", 0, unix.MOUNT_ATTR_RDONLY, false},
	{"strictatime", unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME, false},
	{"suid", 0, unix.MOUNT_ATTR_NOSUID, false},
	{"symfollow", 0, unix.MOUNT_ATTR_NOSYMFOLLOW, false},
	{"ratime", 0, unix.MOUNT_ATTR_NOATIME, true},
	{"rdev", 0, unix.MOUNT_ATTR_NODEV, true},
	{"rdiratime", 0, unix.MOUNT_ATTR_NODIRATIME, true},
	{"rexec", 0, unix.MOUNT_ATTR_NOEXEC, true},
	{"rnoatime", unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME, true},
	{"rnodev", unix.MOUNT_ATTR_NODEV, 0, true},
	{"rnodiratime", unix.MOUNT_ATTR_NODIRATIME, 0, true},
	{"rnoexec", unix.MOUNT_ATTR_NOEXEC, 0, true},
	{"rnorelatime", 0, unix.MOUNT_ATTR__ATIME, true},
	{"rnostrictatime", 0, unix.MOUNT_ATTR__ATIME, true},
	{"rnosuid", unix.MOUNT_ATTR_NOSUID, 0, true},
	{"rnosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, 0, true},
	{"rrelatime", unix.MOUNT_ATTR_RELATIME, unix.MOUNT_ATTR__ATIME, true},
	{"rro", unix.MOUNT_ATTR_RDONLY, 0, true},
	{"rrw", 0, unix.MOUNT_ATTR_RDONLY, true},
	{"rstrictatime", unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME, true},
	{"rsuid", 0, unix.MOUNT_ATTR_NOSUID, true},
	{"silent", 0, 0, false}, // fsconfig has no such flag
	{"rsymfollow", 0, unix.MOUNT_ATTR_NOSYMFOLLOW, true},
}

// has reports whether a data option is set.
func (o *mountOptions) has(key string) bool {
	for _, d := range o.data {
		if k, _, _ := strings.Cut(d, "="); k == key {
			return true
		}
	}
	return false
}

func parseMountOptions(m *specs.Mount) (mountOptions, error) {
	var o mountOptions
	o.bind = m.Type == "bind"
	// mount(2) takes one string: an element may hold several options.
next:
	for opt := range strings.SplitSeq(strings.Join(m.Options, ","), ",") {
		for i := range mountFlags {
			f := &mountFlags[i]
			if f.name != opt {
				continue
			}
			if f.recursive {
				o.recSet = o.recSet&^f.clear | f.set
				o.recClear = o.recClear&^f.set | f.clear
			} else {
				o.set = o.set&^f.clear | f.set
				o.clear = o.clear&^f.set | f.clear
			}
			continue next
		}
		switch opt {
		case "bind":
			o.bind = true
		case "rbind":
			o.bind, o.recursive = true, true
		case "private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable":
			p, err := propagationOf(opt)
			if err != nil {
				return o, err
			}
			o.propagation, o.recPropagation = p, opt[0] == 'r'
		case "tmpcopyup":
			o.copyUp = true
		case "idmap":
			o.idmap = true
		case "ridmap":
			o.idmap, o.recursiveIdmap = true, true
		case "remount":
			o.remount = true
		case "dirsync", "iversion", "lazytime", "mand", "sync":
			o.super = append(o.super, opt)
		case "":
		default:
			o.data = append(o.data, opt)
		}
	}
	for _, d := range o.data {
		// mount(2) never looks at what a bind mount says to a file system.
		if o.bind && !strings.Contains(d, "=") {
			return o, fault.New(fault.Invalid, "mount %s: unknown option %q", m.Destination, d)
		}
	}
	switch mapped := o.idmap || len(m.UIDMappings)+len(m.GIDMappings) > 0; {
	case mapped && !o.bind:
		return o, fault.New(fault.Unsupported, "mount %s: an id mapping of type %s: bind mounts only", m.Destination, m.Type)
	case (len(m.UIDMappings) == 0) != (len(m.GIDMappings) == 0):
		return o, fault.New(fault.Invalid, "mount %s: uidMappings and gidMappings are required together", m.Destination)
	case o.copyUp && m.Type != "tmpfs":
		return o, fault.New(fault.Invalid, "mount %s: tmpcopyup of type %s: tmpfs only", m.Destination, m.Type)
	case o.remount && (o.copyUp || mapped):
		return o, fault.New(fault.Invalid, "mount %s: remount changes neither content nor ids", m.Destination)
	case (m.Type == "cgroup" || m.Type == "cgroup2") && len(o.data) > 0:
		return o, fault.New(fault.Unsupported, "mount %s: option %q of a cgroup mount", m.Destination, o.data[0])
	}
	// The kernel wants the whole atime field cleared when it is set.
	if o.set&unix.MOUNT_ATTR__ATIME != 0 || o.clear&unix.MOUNT_ATTR__ATIME != 0 {
		o.clear |= unix.MOUNT_ATTR__ATIME
	}
	if o.recSet&unix.MOUNT_ATTR__ATIME != 0 || o.recClear&unix.MOUNT_ATTR__ATIME != 0 {
		o.recClear |= unix.MOUNT_ATTR__ATIME
	}
	return o, nil
}

// MountOptions returns the names of the options that are not a file system's
// own, sorted.
func MountOptions() []string {
	names := []string{
		"bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap", "dirsync", "iversion", "lazytime", "mand", "sync",
		"private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable",
	}
	for i := range mountFlags {
		names = append(names, mountFlags[i].name)
	}
	slices.Sort(names)
	return names
}
