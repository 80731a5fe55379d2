package layer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setTimesFD is futimens, which package unix lacks: utimensat with a null
// path acts on the fd itself.
func setTimesFD(fd int, times [2]unix.Timespec) error {
	_, _, no := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if no != 0 {
		return no
	}
	return nil
}

// SetTimes sets both times of what fd has open to t.
func SetTimes(fd int, t unix.Timespec) error { return setTimesFD(fd, [2]unix.Timespec{t, t}) }
