package spawn

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Status is how a process ended.
type Status struct {
	Code   int         // exit code, when Signal is 0
	Signal unix.Signal // the signal that ended it
	Core   bool
}

// ExitCode is the shell's view of s: 128+n for signal n.
func (s Status) ExitCode() int {
	if s.Signal != 0 {
		return 128 + int(s.Signal)
	}
	return s.Code
}

// siginfo is the part of siginfo_t that waitid(2) fills, on 64-bit machines.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	status                int32
	_                     [100]byte
}

// Wait waits for p to end and reaps it.
func (p Process) Wait() (Status, error) { return p.wait(unix.WEXITED) }

func (p Process) wait(options int) (Status, error) {
	var si siginfo
	for {
		_, _, no := unix.Syscall6(unix.SYS_WAITID, unix.P_PIDFD, uintptr(p.Pidfd),
			uintptr(unsafe.Pointer(&si)), uintptr(options), 0, 0)
		if no == unix.EINTR {
			continue
		}
		if no != 0 {
			return Status{}, fmt.Errorf("wait for process %d: %w", p.Pid, no)
		}
		break
	}
	const exited, dumped = 1, 3 // CLD_EXITED, CLD_DUMPED
	if si.code == exited {
		return Status{Code: int(si.status)}, nil
	}
	return Status{Signal: unix.Signal(si.status), Core: si.code == dumped}, nil
}

// Signal sends sig to p. A process that has ended gives ESRCH.
func (p Process) Signal(sig unix.Signal) error {
	return unix.PidfdSendSignal(p.Pidfd, sig, nil, 0)
}

// Release closes the pidfd.
func (p Process) Release() { closeFD(p.Pidfd) }

// Harden makes this process and the children that it clones unreadable and
// untraceable for others until they exec (the CVE-2016-9962 family). Its
// /proc files belong to root from then on.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set not dumpable: %w", err)
	}
	return nil
}
