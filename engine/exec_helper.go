package engine

import (
	"context"
	"io"
	"os"
	"syscall"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
	tareruntime "github.com/tare-engine/tare/runtime"
	"golang.org/x/sys/unix"
)

// A session that its caller may leave, with -d or the detach keys, belongs to
// a helper: this program again, in a session of its own, which starts the
// command, waits for it and writes its end down. It tells the caller over a
// socket, one message each:
//
//	w text                  a warning
//	s                       started; with the pty's master, if there is one
//	f code kind hint 0 text it was not started
//	x code                  it has ended
//
// The end of the socket on the caller's side means that nobody is attached.

// ExecHelper is the hidden command that helpers run; its argument is the id
// of a session, its socket is descriptor 3.
const ExecHelper = "__exec"

const helperSocket = 3

// leavable reports whether the command may go on without its caller.
func (c *ExecConfig) leavable() bool { return c.Detach || c.Tty }

// viaHelper starts the session in a helper and, unless it is detached, stays
// with it to its end.
func (s *session) viaHelper(o *ExecOptions) (int, error) {
	if err := s.put(&s.x); err != nil {
		return 0, err
	}
	s.begun = true
	s.note("exec_create: " + s.command())
	sock, err := s.e.startExecHelper(s.x.ID)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(sock) }()
	for {
		kind, text, fd, err := receive(sock)
		switch {
		case err != nil:
			return 0, err
		case kind == 'w':
			s.warn(string(text))
		case kind == 'f' && len(text) >= 2:
			return int(text[0]), failure(text)
		case kind != 's':
			return 0, errHelperLost
		case fd < 0:
			return 0, nil
		case s.cfg.Detach:
			_ = unix.Close(fd)
			return 0, nil
		default:
			return s.attach(sock, os.NewFile(uintptr(fd), "terminal"), o)
		}
	}
}

var errHelperLost = fault.New(fault.Internal, "the helper of the exec session was killed")

// ErrDetached says that the user has typed the detach keys.
var ErrDetached = fault.New(fault.Unavailable, "read escape sequence")

// attach copies between the caller's terminal and the session's.
func (s *session) attach(sock int, master *os.File, o *ExecOptions) (int, error) {
	keys, err := monitor.ParseDetachKeys(s.cfg.DetachKeys)
	if err != nil {
		return 0, err
	}
	signals, err := monitor.Catch(false, true)
	if err != nil {
		return 0, err
	}
	size := s.cfg.ConsoleSize
	t, err := monitor.OpenTerminal(master, o.In, o.Out, uint16(size[0]), uint16(size[1]))
	if err != nil {
		return 0, err
	}
	// Wakes the wait below.
	t.Detach(keys, func() { _ = unix.Shutdown(sock, unix.SHUT_RD) })
	t.Start()
	if err := signals.Until(sock, t, nil); err != nil {
		t.Restore()
		return 0, err
	}
	if t.Detached() {
		t.Restore()
		return 1, ErrDetached
	}
	kind, text, _, err := receive(sock)
	if err != nil || kind != 'x' || len(text) != 1 {
		t.Restore()
		return 0, errHelperLost
	}
	t.Finish()
	return int(text[0]), nil
}

func (e *Engine) startExecHelper(id string) (sock int, err error) {
	exe, err := os.Executable()
	if err != nil {
		return -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(pair[1]) }()
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(pair[0])
		return -1, err
	}
	defer func() { _ = unix.Close(null) }()
	fd := uintptr(null)
	_, err = syscall.ForkExec(exe, []string{exe, "--root", e.opt.Root, "--run-root", e.opt.RunRoot, ExecHelper, id}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{fd, fd, fd, uintptr(pair[1])}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		_ = unix.Close(pair[0])
		return -1, fault.New(fault.KindOf(err), "start %s: %w", exe, err)
	}
	return pair[0], nil
}

// HelpExec is what the helper does.
func (cs *Containers) HelpExec(_ context.Context, id string) (int, error) {
	unix.CloseOnExec(helperSocket)
	send := func(kind byte, text string, rights []byte) {
		// Nobody may be left to tell.
		_ = unix.Sendmsg(helperSocket, append([]byte{kind}, text...), rights, nil, unix.MSG_NOSIGNAL)
	}
	sendFailure := func(code int, err error) {
		send('f', string([]byte{byte(code), byte(fault.KindOf(err))})+fault.HintOf(err)+"\x00"+err.Error(), nil)
	}
	s, err := cs.findSession(id, func(msg string) { send('w', msg, nil) })
	if err != nil {
		sendFailure(1, err)
		return 0, err
	}
	defer s.close()
	started := false
	code, err := s.run(&ExecOptions{}, func(c *tareruntime.Container) error {
		started = true
		var rights []byte
		if c.Console != nil {
			rights = unix.UnixRights(int(c.Console.Fd()))
		}
		send('s', "", rights)
		if c.Console != nil {
			go discardLeft(c.Console)
		}
		return nil
	})
	if !started {
		sendFailure(code, err)
		return 0, err
	}
	send('x', string([]byte{byte(code)}), nil)
	return 0, err
}

// discardLeft reads the terminal once the caller has left: a command whose
// output nobody takes would come to a halt.
func discardLeft(master *os.File) {
	fds := []unix.PollFd{{Fd: helperSocket, Events: unix.POLLRDHUP}}
	for {
		if n, err := unix.Poll(fds, -1); err != unix.EINTR && (n > 0 || err != nil) {
			break
		}
	}
	_, _ = io.Copy(io.Discard, master) // EIO is its end
}

// receive reads one message and the descriptor that came with it, or -1.
func receive(sock int) (kind byte, text []byte, fd int, err error) {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, nil, -1, err
		case n == 0:
			return 0, nil, -1, errHelperLost
		}
		fd = -1
		if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(msgs) == 1 {
			if fds, err := unix.ParseUnixRights(&msgs[0]); err == nil && len(fds) == 1 {
				fd = fds[0]
			}
		}
		return buf[0], buf[1:n], fd, nil
	}
}

// failure makes an error of the text of an 'f' message.
func failure(text []byte) error {
	kind, rest := fault.Kind(text[1]), string(text[2:])
	for i := range len(rest) {
		if rest[i] != 0 {
			continue
		}
		err := fault.New(kind, "%s", rest[i+1:])
		if i > 0 {
			err = fault.WithHint(err, rest[:i])
		}
		return err
	}
	return errHelperLost
}
