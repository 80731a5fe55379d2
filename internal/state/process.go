package state

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// Proc identifies a process beyond the reuse of its pid: by when it started,
// in which boot.
type Proc struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`  // boot id
}

// BootID returns the kernel's random id of this boot. Until it could be read once it
// is an error, with which nothing is known of any process.
func BootID() (string, error) {
	bootID.Lock()
	defer bootID.Unlock()
	if bootID.id == "" {
		b, err := fsatomic.ReadFile("/proc/sys/kernel/random/boot_id")
		if err != nil {
			return "", fault.New(fault.KindOf(err), "read the boot id: %w", err)
		}
		bootID.id = strings.TrimSpace(string(b))
	}
	return bootID.id, nil
}

// bootID is read once: it outlives every process.
var bootID struct {
	sync.Mutex
	id string
}

// ThisBoot reports whether an id is that of this boot. What is not known is taken for
// this one: of that nobody cleans up.
func ThisBoot(id string) bool {
	now, err := BootID()
	return err != nil || id == now
}

// Identify returns the identity of a running process.
func Identify(pid int) (Proc, error) {
	st, err := readStat(pid)
	if err != nil {
		return Proc{}, err
	}
	boot, err := BootID()
	if err != nil {
		return Proc{}, err
	}
	return Proc{Pid: pid, Start: st.start, Boot: boot}, nil
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

// readStat reads /proc/PID/stat.
//
// While a thread that is not the first one executes a program, it takes the place
// of the first one, and what was opened before shows that one as the kernel lets go
// of it: a zombie, or dead, of no threads. It is the process's end only if it is so
// when it is opened anew, and then it is soon not there at all.
func readStat(pid int) (st procStat, err error) {
	for tries := range maxReleased {
		if st, err = readStatOnce(pid); err != nil || st.threads > 0 && st.state != 'X' {
			break
		}
		if tries > 2 {
			_, _ = unix.Poll(nil, 1) // nothing tells of it
		}
	}
	return st, err
}

// maxReleased bounds the looks at a thread that the kernel lets go of.
const maxReleased = 100

// readStatOnce reads it. A list asks for two of each container.
func readStatOnce(pid int) (procStat, error) {
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
	Unknown // it could not be looked at: nobody acts on that
)

// Look finds out how p is.
func (p Proc) Look() Life {
	if p.Pid <= 0 || !ThisBoot(p.Boot) {
		return Gone
	}
	st, err := readStat(p.Pid)
	if _, berr := BootID(); berr != nil && err == nil {
		err = berr
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		return Gone
	case err != nil:
		return Unknown // no descriptor left, no memory
	case st.start != p.Start || st.ended():
		return Gone
	case st.flags&neverExeced != 0:
		return Waiting
	default:
		return Running
	}
}

// exiting is PF_EXITING of linux/sched.h: the first process of a pid namespace has
// it while the kernel ends the others.
const exiting = 0x4

// Ends reports whether p has ended, or is about to.
func (p Proc) Ends() bool {
	if p.Look() == Gone {
		return true
	}
	st, err := readStat(p.Pid)
	return err == nil && st.start == p.Start && st.flags&exiting != 0
}

// Open returns a pidfd of p, whoever started it, for the caller to close. One
// that has ended, or that has not executed its program yet, is a fault.Conflict.
//
// A thread that executes a program takes its process's place a moment before it
// counts as one that has executed one: that passes.
func (p Proc) Open() (int, error) {
	for tries := 0; ; tries++ {
		fd, life, err := p.Hold()
		if err != nil || life == Running {
			return fd, err
		}
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		if life != Waiting || tries == maxWaiting {
			return -1, fault.New(fault.Conflict, "container is not running")
		}
		_, _ = unix.Poll(nil, 1) // nothing tells of it
	}
}

// maxWaiting bounds the looks at a process that may be about to count as running,
// a millisecond each.
const maxWaiting = 50

// Hold returns a pidfd of p for the caller to close, and how p is; -1 when it has
// ended. The identity is looked at once the pidfd is held: it stands for p, and
// not for a later process with its pid.
func (p Proc) Hold() (int, Life, error) {
	if p.Pid <= 0 {
		return -1, Gone, nil
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	// EINVAL, and since Linux 6.17 ENOENT, is of a thread: the number is another's.
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return -1, Gone, nil
	}
	if err != nil {
		return -1, Unknown, fault.New(fault.KindOf(err), "pidfd of process %d: %w", p.Pid, err)
	}
	life := p.Look()
	if life == Running || life == Waiting {
		return fd, life, nil
	}
	_ = unix.Close(fd)
	if life == Unknown {
		err = fault.New(fault.Unavailable, "process %d cannot be looked at", p.Pid)
	}
	return -1, life, err
}

// Continue lets p go on if it has been stopped (SIGSTOP). A process that has
// ended is no error.
func (p Proc) Continue() error {
	st, err := readStat(p.Pid)
	if err != nil || st.start != p.Start || st.state != 'T' || !ThisBoot(p.Boot) {
		return nil
	}
	fd, _, err := p.Hold()
	if err != nil || fd < 0 {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// killTimeout is how long Kill waits for an end.
const killTimeout = 10 * time.Second

// Kill sends SIGKILL to p and waits for its end. The pidfd is checked against
// the identity: a pid may be reused between two looks. One that does not die in
// ten seconds, in the kernel's hands, is a fault.Unavailable.
func (p Proc) Kill() error {
	fd, _, err := p.Hold()
	if err != nil || fd < 0 {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return err
	}
	for deadline := time.Now().Add(killTimeout); ; {
		left := max(0, time.Until(deadline).Milliseconds())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n > 0:
			return nil
		default:
			return fault.New(fault.Unavailable, "process %d does not die of SIGKILL", p.Pid)
		}
	}
}
