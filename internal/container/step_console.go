package container

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// console is the way of the container's terminal to the engine.
type console struct {
	far  plan.Slot // the child's end of a socket
	near int       // the engine's, which the pty's master comes over; -1 without
	pty  plan.Slot // slave
}

func hasTerminal(s *specs.Spec) bool { return s.Process.Terminal }

// consoleHost makes the socket that the pty's master comes back over.
func consoleHost(e *env) error {
	e.console.far = e.p.HostSlot("console socket")
	e.console.near = 0 // known when the host action has run
	e.p.Do(plan.Text("socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, [console socket, engine's end])"), func(s plan.Slots) error {
		fd, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("console socket: %w", err)
		}
		s.Set(e.console.far, fd[0])
		e.console.near = fd[1]
		e.ends.child = append(e.ends.child, fd[0])
		e.ends.own = append(e.ends.own, fd[1])
		return nil
	})
	return nil
}

// consoleChild puts the terminal on /dev/console too.
func consoleChild(e *env) error {
	if err := terminalChild(e); err != nil {
		return err
	}
	e.p.Note("mount /dev/console")
	t := e.target("/dev/console", false, 0o600)
	mnt := e.p.OpenTree(plan.InChild, "pty", e.console.pty.Arg(), "", false)
	e.p.MoveMount(plan.InChild, mnt.Arg(), t.Arg())
	return nil
}

// terminalChild opens a pty in the container's own devpts and sends its
// master to the engine.
func terminalChild(e *env) error {
	e.p.Note("open a terminal")
	// In a new container devpts was mounted by an earlier step. In one that
	// runs, something else may lie there: the ioctls want the master of a pty.
	master := e.open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	e.p.Call(plan.InChild, unix.SYS_IOCTL, []plan.Arg{master.Arg(), plan.Int(unix.TIOCSPTLCK), e.p.Bytes(make([]byte, 8))})
	// TIOCGPTPEER opens the slave without a path (Linux 4.13).
	e.console.pty = e.p.Open(plan.InChild, "pty", unix.SYS_IOCTL, []plan.Arg{
		master.Arg(), plan.Int(unix.TIOCGPTPEER), plan.Int(unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC),
	})
	if uid := e.spec.Process.User.UID; uid != 0 {
		e.p.Call(plan.InChild, unix.SYS_FCHOWN, []plan.Arg{e.console.pty.Arg(), plan.Int(uid), plan.Int(-1)})
	}
	e.p.Note("send the terminal")
	e.sendFD(e.console.far, master)
	return nil
}

// sendFD adds a sendmsg with one byte and one descriptor (SCM_RIGHTS).
func (e *env) sendFD(sock, fd plan.Slot) {
	le := binary.LittleEndian
	data := e.p.Bytes(make([]byte, 8))
	iov := e.p.Words(plan.MemBytes, 0, 1)
	e.p.Pointer(iov, 0, data)
	// struct cmsghdr {len, level, type} and one int, padded to 24 bytes.
	cmsg := make([]byte, 24)
	le.PutUint64(cmsg, 20)
	le.PutUint32(cmsg[8:], unix.SOL_SOCKET)
	le.PutUint32(cmsg[12:], unix.SCM_RIGHTS)
	control := e.p.Bytes(cmsg)
	e.p.StoreSlot(plan.InChild, control, 16, fd)
	// struct msghdr {name, namelen, iov, iovlen, control, controllen, flags}.
	msg := e.p.Words(plan.MemBytes, 0, 0, 0, 1, 0, 24, 0)
	e.p.Pointer(msg, 16, iov)
	e.p.Pointer(msg, 32, control)
	e.p.Call(plan.InChild, unix.SYS_SENDMSG, []plan.Arg{sock.Arg(), msg, plan.Int(unix.MSG_NOSIGNAL)}, plan.Want(1))
}

// receiveConsole waits for the master. The end of the socket means that the
// child has ended.
func (e *env) receiveConsole() (*os.File, error) {
	var b [8]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(e.console.near, b[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receive terminal: %w", err)
		}
		if n == 0 {
			return nil, errConsoleClosed
		}
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(msgs) != 1 {
			return nil, fmt.Errorf("receive terminal: %d messages: %w", len(msgs), err)
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil || len(fds) != 1 {
			return nil, fmt.Errorf("receive terminal: %d descriptors: %w", len(fds), err)
		}
		if size := e.spec.Process.ConsoleSize; size != nil {
			// Before the program's first look at it.
			ws := unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)}
			if err := unix.IoctlSetWinsize(fds[0], unix.TIOCSWINSZ, &ws); err != nil {
				_ = unix.Close(fds[0])
				return nil, fmt.Errorf("set terminal size: %w", err)
			}
		}
		return os.NewFile(uintptr(fds[0]), "terminal"), nil
	}
}
