package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arenaSize is the unit in which Go reserves address space for its heap, on
// 64-bit Linux.
const arenaSize = 64 << 20

// withoutHeap clones with the Go heap left out of the child: the part of it
// that a small process has, which is one arena. The child runs assembly and
// needs no more than the code and the plan; a child that had the heap would
// cost this process a page fault for every page that it writes afterwards
// (0.2 ms of CPU), and hold a copy of all that the engine has read.
//
// Another fork at this moment would miss the heap too, and os/exec runs Go in
// its child: ForkLock keeps it out.
func withoutHeap(heap unsafe.Pointer, clone func() int) int {
	start := uintptr(heap) &^ (arenaSize - 1)
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	// Failures only mean that some is copied after all.
	_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, start, arenaSize, unix.MADV_DONTFORK)
	defer func() { _, _, _ = unix.RawSyscall(unix.SYS_MADVISE, start, arenaSize, unix.MADV_DOFORK) }()
	return clone()
}
