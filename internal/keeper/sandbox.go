package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// holdSandbox holds the namespaces of a sandbox until somebody kills this process.
// It returns where whoever made it ended before it was on disk.
func holdSandbox(gate int) int {
	var b [1]byte
	for {
		n, err := unix.Read(gate, b[:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return 125
		}
		break
	}
	_ = unix.Close(gate)
	ignoreChildren()
	for {
		_, _ = unix.Poll(nil, -1)
	}
}

// ignoreChildren has the kernel reap what is left to the first process of a pid
// namespace. The Go runtime's handler of SIGCHLD would have it wait for nobody.
func ignoreChildren() {
	// struct kernel_sigaction: the handler is SIG_IGN.
	action := [4]uint64{1}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}
