package state

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
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
func BootID() string { return bootID() }

// bootID is read once: it outlives every process.
var bootID = sync.OnceValue(func() string {
	b, err := fsatomic.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})

// Identify returns the identity of a running process.
func Identify(pid int) (Proc, error) {
	st, err := readStat(pid)
	if err != nil {
		return Proc{}, err
	}
	return Proc{Pid: pid, Start: st.start, Boot: BootID()}, nil
}

type procStat struct {
	state   byte
	flags   uint64
	threads uint64
	start   uint64
}

// ended tells whether all of the process has. A first thread that is a zombie
// beside others has ended by itself, or another thread is executing a program:
// every starter is seen so for a moment when it becomes the keeper.
func (st *procStat) ended() bool {
	return st.state == 'X' || st.state == 'Z' && st.threads <= 1
}

// neverExeced is PF_FORKNOEXEC of linux/sched.h: forked, and has not executed
// a program since.
const neverExeced = 0x40

// readStat reads /proc/PID/stat. A list asks for two of each container.
func readStat(pid int) (procStat, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return procStat{}, err
	}
	var buf [1024]byte // 52 numbers
	n, err := unix.Read(fd, buf[:])
	_ = unix.Close(fd) // read only
	if err != nil {
		return procStat{}, err // ESRCH: it has just ended
	}
	return parseStat(buf[:n])
}

func parseStat(b []byte) (procStat, error) {
	var st procStat
	// The name, field 2, is in parentheses and may contain anything.
	b = b[bytes.LastIndexByte(b, ')')+1:]
	field := 2
	for len(b) > 0 && field < 22 {
		b = bytes.TrimLeft(b, " ")
		end := bytes.IndexByte(b, ' ')
		if end <= 0 {
			return st, unix.EINVAL
		}
		var err error
		switch field++; field {
		case 3:
			st.state = b[0]
		case 9:
			st.flags, err = strconv.ParseUint(string(b[:end]), 10, 64)
		case 20:
			st.threads, err = strconv.ParseUint(string(b[:end]), 10, 64)
		case 22:
			st.start, err = strconv.ParseUint(string(b[:end]), 10, 64)
		}
		if err != nil {
			return st, unix.EINVAL
		}
		b = b[end:]
	}
	if field < 22 {
		return st, unix.EINVAL
	}
	return st, nil
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
	case err != nil || st.start != p.Start || st.ended():
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
