// Package host finds out what this machine and this caller can do. It is the
// only package that asks; the others are given the answers.
package host

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/linux/spawn/nofile"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

// Facts are what specifications and plans depend on of the machine and the
// caller. They are cheap to find, a few system calls, and do not change while a
// process runs.
type Facts struct {
	Release     string // uname -r
	Hostname    string
	Kernel      seccomp.Version
	Arch        string // GOARCH
	Root        bool   // the caller is root of its user namespace
	UserNS      bool   // and that is not the initial one: no device can be made there
	Bounding    capability.Set
	LastCap     capability.Cap
	AppArmor    bool
	SELinux     bool
	ThermalCPUs []int // CPUs with a thermal_throttle directory

	NoFile [2]uint64 // the caller's original RLIMIT_NOFILE, soft and hard
	// Rlimit returns the caller's soft and hard limit of a resource; nil has
	// none.
	Rlimit func(resource int) [2]uint64
	// GIDs and NoSetgroups are what the id maps of a caller with UserNS allow.
	GIDs        []IDRange
	NoSetgroups bool
	// Resctrl is where that file system is mounted; "" looks for it.
	Resctrl string
}

// Rootful reports whether the caller is root of the machine: it becomes
// unreadable for others before it clones. A rootless one has to stay readable
// until its id map is written.
func (f *Facts) Rootful() bool { return f.Root && !f.UserNS }

// HasGID reports whether a group exists for the caller.
func (f *Facts) HasGID(gid uint32) bool {
	return !f.UserNS || slices.ContainsFunc(f.GIDs, func(r IDRange) bool { return gid >= r.First && gid-r.First < r.Count })
}

// Limit returns the caller's original soft and hard limit of a resource.
func (f *Facts) Limit(resource int) [2]uint64 {
	switch {
	case resource == unix.RLIMIT_NOFILE && f.NoFile != [2]uint64{}: // Go raised it
		return f.NoFile
	case f.Rlimit == nil:
		return [2]uint64{unix.RLIM_INFINITY, unix.RLIM_INFINITY}
	}
	return f.Rlimit(resource)
}

// Probe asks the kernel.
func Probe() (Facts, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Facts{}, err
	}
	f := Facts{
		Release:  unix.ByteSliceToString(u.Release[:]),
		Hostname: unix.ByteSliceToString(u.Nodename[:]),
		Arch:     runtime.GOARCH,
		Root:     IsRoot(),
		AppArmor: exists("/sys/kernel/security/apparmor"),
		UserNS:   InUserNS(),
		SELinux:  exists("/sys/fs/selinux/enforce"),
		NoFile:   [2]uint64{nofile.Soft, nofile.Hard},
		Rlimit:   Rlimit,
	}
	if f.UserNS {
		f.GIDs, f.NoSetgroups = ids()
	}
	f.Kernel = seccomp.ParseVersion(f.Release)
	f.Bounding, f.LastCap = bounding()
	if exists("/sys/devices/system/cpu/cpu0/thermal_throttle") {
		for cpu := range runtime.NumCPU() {
			if exists("/sys/devices/system/cpu/cpu" + strconv.Itoa(cpu) + "/thermal_throttle") {
				f.ThermalCPUs = append(f.ThermalCPUs, cpu)
			}
		}
	}
	return f, nil
}

// UID returns the caller's real user id.
func UID() int { return unix.Getuid() }

// GID returns the caller's real group id.
func GID() int { return unix.Getgid() }

// IsRoot reports whether the caller is root of its user namespace.
func IsRoot() bool { return unix.Geteuid() == 0 }

// InUserNS reports whether this is not the initial user namespace: it compares
// the namespace's inode with PROC_USER_INIT_INO of
// linux/proc_ns.h, which the initial one has in every kernel.
func InUserNS() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino != 0xEFFFFFFD
}

// ids says which ids exist in the caller's user namespace, and whether
// setgroups(2) is forbidden there.
func ids() (gids []IDRange, noSetgroups bool) {
	for line := range strings.Lines(readLine("/proc/self/gid_map")) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[0], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil {
			gids = append(gids, IDRange{uint32(first), uint32(count)})
		}
	}
	return gids, readLine("/proc/self/setgroups") == "deny"
}

// bounding reads the caller's bounding set; the first number that the kernel
// does not know ends it.
func bounding() (set capability.Set, last capability.Cap) {
	for c := range 64 {
		v, _, no := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0, 0)
		if no != 0 {
			break
		}
		last = capability.Cap(c)
		if v == 1 {
			set |= capability.Of(last)
		}
	}
	return set, last
}

func exists(path string) bool { return unix.Access(path, unix.F_OK) == nil }

// Rlimit returns this process's soft and hard limit of a resource.
func Rlimit(resource int) [2]uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return [2]uint64{unix.RLIM_INFINITY, unix.RLIM_INFINITY}
	}
	return [2]uint64{l.Cur, l.Max}
}

// OnlineCPUs returns the list of CPUs ("0-3") and how many they are. Only
// starts that ask for CPUs need it.
func OnlineCPUs() (list string, n int) {
	list = readLine("/sys/devices/system/cpu/online")
	return list, countList(list)
}

// OnlineMems returns the list of memory nodes; "0" without NUMA.
func OnlineMems() string {
	if s := readLine("/sys/devices/system/node/online"); s != "" {
		return s
	}
	return "0"
}

func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// countList counts the numbers of a list such as "0-3,8".
func countList(list string) int {
	n := 0
	for _, part := range strings.Split(list, ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(lo)
		if err != nil {
			return 0
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(hi); err != nil {
				return 0
			}
		}
		n += b - a + 1
	}
	return n
}
