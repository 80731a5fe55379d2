// Package pidfd asks the kernel about processes that are held by a pidfd.
package pidfd

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ExitStatus returns the wait status of a process that has ended and is another's
// child, if anybody can tell: /proc while it has not been reaped, which is
// root's to read, and the kernel afterwards through a pidfd that was opened
// before (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15).
func ExitStatus(pid, pidfd int) (status int, ok bool) {
	if pidfd < 0 {
		return 0, false
	}
	// The pid is still its own if it can be found to be before and after.
	if status, ok := zombieStatus(pid); ok && unix.PidfdSendSignal(pidfd, 0, nil, 0) == nil {
		return status, true
	}
	// struct pidfd_info of its first version.
	var info struct {
		mask, cgroup uint64
		_            [11]uint32
		exit         int32
	}
	const (
		exitBit = 1 << 3
		getInfo = 3<<30 | unsafe.Sizeof(info)<<16 | 0xff<<8 | 11
	)
	info.mask = exitBit
	_, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), getInfo, uintptr(unsafe.Pointer(&info)))
	return int(info.exit), no == 0 && info.mask&exitBit != 0
}

// zombieStatus is field 52 of /proc/PID/stat of a zombie.
func zombieStatus(pid int) (int, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 50 || f[0] != "Z" {
		return 0, false
	}
	n, err := strconv.Atoi(f[49])
	return n, err == nil
}
