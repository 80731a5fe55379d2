package state

import (
	"os"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// Proc identifies a process beyond the reuse of its pid: by when it started,
// in which boot.
type Proc struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`  // boot id
}

// BootID returns the kernel's random id of this boot.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Identify returns the identity of a running process.
func Identify(pid int) (Proc, error) {
	st, err := readStat(pid)
	if err != nil {
		return Proc{}, err
	}
	return Proc{Pid: pid, Start: st.start, Boot: BootID()}, nil
}

type procStat struct {
	state byte
	flags uint64
	start uint64
}

// neverExeced is PF_FORKNOEXEC of linux/sched.h: forked, and has not executed
// a program since.
const neverExeced = 0x40

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	// The name, field 2, is in parentheses and may contain anything.
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 20 {
		return procStat{}, unix.EINVAL
	}
	st := procStat{state: f[0][0]}
	if st.flags, err = strconv.ParseUint(f[6], 10, 64); err != nil {
		return procStat{}, err
	}
	st.start, err = strconv.ParseUint(f[19], 10, 64)
	return st, err
}

// Life is what is known of a process.
type Life uint8

// The states of a process.
const (
	Gone    Life = iota // ended, or it is another process's pid now
	Waiting             // cloned, has not executed its program
	Running
)

// Look finds out how p is.
func (p Proc) Look() Life {
	if p.Pid <= 0 || p.Boot != BootID() {
		return Gone
	}
	st, err := readStat(p.Pid)
	switch {
	case err != nil || st.start != p.Start || st.state == 'Z' || st.state == 'X':
		return Gone
	case st.flags&neverExeced != 0:
		return Waiting
	default:
		return Running
	}
}

// Open returns a pidfd of p, whoever started it, for the caller to close. The
// identity is looked at once the pidfd is held: it stands for p, and not for
// a later process with its pid. One that has ended, or that has not executed
// its program yet, is a fault.Conflict.
func (p Proc) Open() (int, error) {
	notRunning := fault.New(fault.Conflict, "container is not running")
	if p.Pid <= 0 {
		return -1, notRunning
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return -1, notRunning
	}
	if err != nil {
		return -1, fault.New(fault.KindOf(err), "pidfd of process %d: %w", p.Pid, err)
	}
	if p.Look() != Running {
		_ = unix.Close(fd)
		return -1, notRunning
	}
	return fd, nil
}

// Kill sends SIGKILL to p and waits for its end. The pidfd is checked against
// the identity: a pid may be reused between two looks.
func (p Proc) Kill() error {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if p.Look() == Gone {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return err
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if err != unix.EINTR {
			return err
		}
	}
}
