package host

import (
	"runtime"
	"unsafe"

	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

// Feature is something that a kernel may lack.
type Feature struct {
	Name    string // with the version that brought it
	Has     bool
	Without string // what the lack of it means
}

// Features asks the kernel. It is for people to read; starts do not call it.
func Features() []Feature {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail with a valid pointer
	v := seccomp.ParseVersion(unix.ByteSliceToString(u.Release[:]))
	atLeast := func(major, minor int) bool { return v.Major > major || v.Major == major && v.Minor >= minor }
	return []Feature{
		{"clone3 with CLONE_INTO_CGROUP (Linux 5.7)", atLeast(5, 7), "no container can start"},
		{"close_range (Linux 5.9)", known(unix.SYS_CLOSE_RANGE, ^uintptr(0), 0, 0), "no container can start"},
		{"mount_setattr (Linux 5.12)", known(unix.SYS_MOUNT_SETATTR, ^uintptr(0), 0, ^uintptr(0)), "no container can start"},
		{"cgroup.kill (Linux 5.14)", atLeast(5, 14), "groups are killed process by process"},
		{"idmapped mounts below overlay (Linux 5.19)", atLeast(5, 19), "images cannot be used with --userns private"},
		{"overlay layers one by one (Linux 6.7)", atLeast(6, 7), "layers are given as one page of options"},
		{"overlay layers by descriptor (Linux 6.13)", atLeast(6, 13), "layers are given by path"},
		{"time namespaces (CONFIG_TIME_NS)", exists("/proc/self/ns/time"), "--time-offset is refused"},
		{"user namespaces (CONFIG_USER_NS)", exists("/proc/self/ns/user"), "--userns private is refused"},
		{"cgroup namespaces (Linux 4.6)", exists("/proc/self/ns/cgroup"), "containers see where they are in the hierarchy"},
		{"seccomp filters (CONFIG_SECCOMP_FILTER)", exists("/proc/sys/kernel/seccomp/actions_avail"), "seccomp profiles are refused"},
		{"overlayfs", hasFS("overlay"), "images cannot be run; --rootfs can"},
		{"POSIX message queues (CONFIG_POSIX_MQUEUE)", hasFS("mqueue"), "/dev/mqueue cannot be mounted"},
	}
}

// known reports whether the kernel has a system call; the arguments make it
// fail early.
func known(nr, a, b, c uintptr) bool {
	_, _, no := unix.RawSyscall6(nr, a, b, c, 0, 0, 0)
	return no != unix.ENOSYS
}

func hasFS(name string) bool {
	b := append([]byte(name), 0)
	fd, _, no := unix.RawSyscall(unix.SYS_FSOPEN, uintptr(unsafe.Pointer(&b[0])), unix.FSOPEN_CLOEXEC, 0)
	runtime.KeepAlive(b)
	if no == 0 {
		_ = unix.Close(int(fd))
	}
	return no == 0
}
