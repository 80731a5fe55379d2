package spawn

import (
	"bytes"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Process is a child of this process, held by pidfd.
type Process struct {
	Pid   int
	Pidfd int
}

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

// Ended reports whether p has ended, reaped or not. It may be any process
// that a pidfd stands for.
func (p Process) Ended() bool {
	fds := []unix.PollFd{{Fd: int32(p.Pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// Wait waits for p to end and reaps it.
func (p Process) Wait() (Status, error) { return p.wait(unix.WEXITED) }

// WaitEnd waits for p to end and does not reap it: its number stays its own.
func (p Process) WaitEnd() error {
	_, err := p.wait(unix.WEXITED | unix.WNOWAIT)
	return err
}

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

// executed reports whether p, whose descriptors have been closed, did so by
// executing its program and not by dying in execve: PF_FORKNOEXEC of
// /proc/PID/stat, which a zombie still has. Without /proc the answer is yes.
func (p Process) executed() bool {
	const forkNoExec = 0x40
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.Pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer closeFD(fd)
	var buf [512]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return true
	}
	// pid (comm) state ppid pgrp session tty_nr tpgid flags; comm may hold
	// anything.
	stat := buf[:n]
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 7 {
		return true
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
	return err != nil || flags&forkNoExec == 0
}

// Harden makes this process and the children that it clones unreadable and
// untraceable for others until they exec (the CVE-2016-9962 family). Its
// /proc files belong to root from then on. A child that changes its ids gets
// fs.suid_dumpable instead, which is 0 unless somebody debugs: plans set it
// again behind such a call.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set not dumpable: %w", err)
	}
	return nil
}
