package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

type mountLine struct{ source, target, fstype, options string }

func mounts() []mountLine {
	b, _ := os.ReadFile("/proc/self/mounts")
	var out []mountLine
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Fields(l)
		if len(f) < 4 {
			continue
		}
		for i := range f {
			f[i] = unescapeMount(f[i])
		}
		out = append(out, mountLine{f[0], f[1], f[2], f[3]})
	}
	return out
}

// unescapeMount undoes the \040 of /proc/self/mounts.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func runMount(p *proc, args []string) {
	o, a := p.getopt(args, "t:o:rwnva types=t options=o read-only=r")
	if len(a) == 0 && !o.has('o') {
		for _, m := range mounts() {
			if t := o.get('t', m.fstype); t == m.fstype {
				p.printf("%s on %s type %s (%s)\n", m.source, m.target, m.fstype, m.options)
			}
		}
		return
	}
	flags, data := mountOptions(strings.Join(o['o'], ","))
	if o.has('r') {
		flags |= unix.MS_RDONLY
	}
	var source, target string
	switch len(a) {
	case 1:
		target = a[0]
	case 2:
		source, target = a[0], a[1]
	default:
		p.fatalf(1, "usage: mount [-t TYPE] [-o OPTIONS] [SOURCE] TARGET")
	}
	const propagation = unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE
	err := unix.Mount(source, target, o.get('t', ""), flags&^propagation, data)
	const afterBind = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err == nil && flags&unix.MS_BIND != 0 && flags&unix.MS_REMOUNT == 0 && flags&afterBind != 0 {
		// a bind ignores its flags: a second call sets them
		err = unix.Mount("", target, "", flags&(afterBind|unix.MS_BIND)|unix.MS_REMOUNT, "")
	}
	if err == nil && flags&propagation != 0 {
		err = unix.Mount("", target, "", flags&(propagation|unix.MS_REC), "")
	}
	if err != nil {
		p.failf("mounting %s on %s failed: %s", source, target, reason(err))
		p.code = 32
	}
}

// mountOptions splits "ro,bind,size=1m" into flags and the file system's own.
func mountOptions(s string) (flags uintptr, data string) {
	var rest []string
	for _, w := range strings.Split(s, ",") {
		switch w {
		case "", "rw", "suid", "dev", "exec", "async", "atime", "defaults", "loop":
		case "ro":
			flags |= unix.MS_RDONLY
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "nodev":
			flags |= unix.MS_NODEV
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "sync":
			flags |= unix.MS_SYNCHRONOUS
		case "remount":
			flags |= unix.MS_REMOUNT
		case "noatime":
			flags |= unix.MS_NOATIME
		case "relatime":
			flags |= unix.MS_RELATIME
		case "bind":
			flags |= unix.MS_BIND
		case "rbind":
			flags |= unix.MS_BIND | unix.MS_REC
		case "move":
			flags |= unix.MS_MOVE
		case "shared":
			flags |= unix.MS_SHARED
		case "rshared":
			flags |= unix.MS_SHARED | unix.MS_REC
		case "private":
			flags |= unix.MS_PRIVATE
		case "rprivate":
			flags |= unix.MS_PRIVATE | unix.MS_REC
		case "slave":
			flags |= unix.MS_SLAVE
		case "rslave":
			flags |= unix.MS_SLAVE | unix.MS_REC
		default:
			rest = append(rest, w)
		}
	}
	return flags, strings.Join(rest, ",")
}

func runUmount(p *proc, args []string) {
	o, a := p.getopt(args, "lfrn lazy=l force=f")
	flags := 0
	if o.has('l') {
		flags |= unix.MNT_DETACH
	}
	if o.has('f') {
		flags |= unix.MNT_FORCE
	}
	for _, t := range a {
		if err := unix.Unmount(t, flags); err != nil {
			p.failf("can't unmount %s: %s", t, reason(err))
			p.code = 32
		}
	}
}

func runMountpoint(p *proc, args []string) {
	o, a := p.getopt(args, "qd quiet=q")
	if len(a) != 1 {
		p.fatalf(1, "usage: mountpoint [-q] PATH")
	}
	var st unix.Statx_t
	// STATX_ATTR_MOUNT_ROOT since Linux 5.8
	if err := unix.Statx(unix.AT_FDCWD, a[0], unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		p.fatalf(1, "%s: %s", a[0], reason(err))
	}
	word := "is"
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		word, p.code = "is not", 32
	}
	if !o.has('q') {
		p.printf("%s %s a mountpoint\n", a[0], word)
	}
}
