// Package signals catches the signals of a process that is a surface: the
// command line. It turns them into bytes of a pipe.
//
// os/signal does that with two threads and two context switches for each
// signal that is enabled and again when it is disabled: 1.2 ms of a start
// that takes seven. Here the handler is eleven instructions of assembly that
// write the signal's number to a pipe, on the alternate stack that every
// thread of a Go program has, without entering Go.
//
// A signal that is taken over this way must not be given to os/signal.
package signals

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handler and restorer are in pipe_ARCH.s.
func handlerPC() uintptr
func restorerPC() uintptr

// writeEnd is what the handler writes to; -1 before Open.
var writeEnd int64 = -1 //nolint:unused // the assembly does

// sigaction is the kernel's struct sigaction.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
	saRestorer = 0x04000000
)

// Open takes the signals over, for the rest of the process's life, and
// returns the read end of the pipe: one byte for each signal that arrives.
// The pipe does not block the handler: of thousands that nobody reads, some
// are lost. It may be called again, for more signals.
func Open(signals ...unix.Signal) (int, error) {
	if pipeFD[1] == 0 {
		if err := unix.Pipe2(pipeFD[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			return -1, fmt.Errorf("signal pipe: %w", err)
		}
		writeEnd = int64(pipeFD[1])
	}
	act := sigaction{handler: handlerPC(), flags: saOnStack | saRestart | saRestorer, restorer: restorerPC(), mask: ^uint64(0)}
	for _, s := range signals {
		_, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
		if no != 0 {
			return -1, fmt.Errorf("take over signal %d: %w", s, no)
		}
	}
	return pipeFD[0], nil
}

var pipeFD [2]int

// Die ends this process by a signal that was taken over, as if it had not
// been.
func Die(s unix.Signal) {
	var act sigaction // SIG_DFL
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
	_ = unix.Kill(unix.Getpid(), s)
	os.Exit(128 + int(s)) // blocked by whoever started us
}

// Read returns the signals that have arrived.
func Read(fd int) []unix.Signal {
	var b [64]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return nil // EAGAIN: none
	}
	list := make([]unix.Signal, n)
	for i := range list {
		list[i] = unix.Signal(b[i])
	}
	return list
}
