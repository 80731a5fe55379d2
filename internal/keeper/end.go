package keeper

import (
	"time"
	"unsafe"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/pidfd"
	"golang.org/x/sys/unix"
)

// sawEnd finds out how the container ended, and notes it where every command
// looks, before the process is reaped: whoever finds it gone finds the note.
func (k *keeper) sawEnd() {
	k.ended = true
	if k.slave >= 0 {
		_ = unix.Close(k.slave) // so that the terminal tells when nobody has it
		k.slave = -1
	}
	k.patient = time.Now().Add(clientPatience)
	status, known := k.status()
	k.end = exit.Seen{Code: exit.NoCode}
	if known {
		k.end = exit.Status(status)
	}
	k.end.Pid, k.end.Start, k.end.Time = k.Pid, k.Start, time.Now().UnixNano()
	k.end.Said = k.cause
	k.note()
	if k.Child {
		for unix.Waitid(unix.P_PIDFD, k.Pidfd, nil, unix.WEXITED, nil) == unix.EINTR {
		}
	}
}

// status is the wait status of the container's process.
func (k *keeper) status() (status int, known bool) {
	if k.Child {
		return k.childStatus()
	}
	// Another process's child: until that one has reaped it, /proc may tell,
	// and afterwards the kernel.
	for range 300 {
		if status, ok := pidfd.ExitStatus(k.Pid, k.Pidfd); ok {
			return status, true
		}
		p := []unix.PollFd{{Fd: int32(k.Pidfd)}}
		if _, err := unix.Poll(p, 10); err == nil && p[0].Revents&unix.POLLHUP != 0 {
			return pidfd.ExitStatus(k.Pid, k.Pidfd)
		}
	}
	return 0, false
}

func (k *keeper) childStatus() (int, bool) {
	// siginfo_t of waitid(2) on 64-bit machines.
	var si struct {
		signo, errno, code, _ int32
		pid                   int32
		uid                   uint32
		status                int32
		_                     [100]byte
	}
	for {
		_, _, no := unix.Syscall6(unix.SYS_WAITID, unix.P_PIDFD, uintptr(k.Pidfd),
			uintptr(unsafe.Pointer(&si)), unix.WEXITED|unix.WNOWAIT, 0, 0)
		if no == unix.EINTR {
			continue
		}
		if no != 0 {
			return 0, false
		}
		break
	}
	const exited = 1 // CLD_EXITED
	if si.code == exited {
		return int(si.status&0xff) << 8, true
	}
	return int(si.status & 0x7f), true
}

// note writes the end into its file, which has room for it.
func (k *keeper) note() {
	fd, err := unix.Open(k.dir+"/end", unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return // a removal under way
	}
	_, _ = unix.Pwrite(fd, k.end.Append(nil), 0)
	_ = unix.Close(fd)
}

// lastDrain bounds what is read when nothing else is waited for any more.
const lastDrain = time.Second

// forsake gives up the clients that do not take what they asked for: what is left
// in the streams is the log's all the same.
func (k *keeper) forsake() {
	for i := range k.clients {
		k.clients[i].want &^= wire.WantOutput | wire.WantErrors
		k.clients[i].owes = false
	}
	k.chunk = 0
	k.drain(time.Now().Add(lastDrain))
}

// handOver closes the log, tells the clients, and executes tare, which writes
// down the end and does what follows. The clients' descriptors stay open until
// it has: they wait for that.
func (k *keeper) handOver() int {
	k.endProbe()
	k.forsake()
	if k.log != nil {
		if err := k.log.End(time.Now()); err != nil && k.logErr == 0 {
			k.logErr = errno(err)
		}
		if lost, err := k.log.Lost(); lost > 0 && k.logErr == 0 {
			k.logErr = errno(err)
		}
		_ = k.log.Close()
	}
	if k.logErr != 0 {
		k.end.LogErr = int(k.logErr)
		k.note()
	}
	k.listenLast()
	k.farewell()
	if k.final {
		return 0
	}
	for i := range k.clients {
		_, _ = unix.FcntlInt(uintptr(k.clients[i].fd), unix.F_SETFD, 0)
	}
	if k.settings.Exec != nil {
		return k.become("ended")
	}
	return k.become("mend") // or the next command does it
}

// listenLast takes what has been sent before the end: a last wish counts, and
// who has just connected wants to know.
func (k *keeper) listenLast() {
	for before := -1; before < len(k.clients); {
		before = len(k.clients)
		k.accept()
	}
	for i := range k.clients {
		for c := &k.clients[i]; !c.gone; {
			n, _, err := unix.Recvfrom(c.fd, k.request[:], unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				break
			}
			k.handle(c, wire.Kind(k.request[0]), k.request[1:n])
		}
	}
}

// become executes tare as the engine's helper. It returns only on error.
func (k *keeper) become(what string) int {
	_ = unix.Exec(k.settings.Tare, k.helper(what), nil)
	return 125
}

// helper are the arguments of tare as the engine's helper.
func (k *keeper) helper(what string) []string {
	s := &k.settings
	id := k.dir
	for i := range len(k.dir) {
		if k.dir[i] == '/' {
			id = k.dir[i+1:]
		}
	}
	return []string{s.Tare, "--root", s.Root, "--run-root", s.Run, wire.HelperCommand, what, id}
}
