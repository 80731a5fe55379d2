package client

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Session connects the caller's files with an attached container.
type Session struct {
	Client   *Client
	In       *os.File // nil: nothing is sent
	Out, Err *os.File // nil: not shown
	Terminal bool     // the container has one
	Keys     *stdio.Detacher
	Signals  stdio.Signals // nil: none come
	Pidfd    int           // of the container's process; -1: it has ended
	// Linger stays until the end is written down and what follows it is done.
	Linger bool
	// Control opens a further connection: signals and sizes must not wait
	// behind input that the container does not read.
	Control func() (*Client, error)
	// Refused says that a stream of the caller's takes no more. May be nil.
	Refused func(stream string, err error)

	control *Client
	pending []byte // input that the keeper has not taken
	inDone  bool
	raw     *term.State
}

// Want is what a caller with these files attaches to: wire.Want bits.
func Want(s *stdio.Files) byte {
	var w byte
	for _, f := range []struct {
		file *os.File
		bit  byte
	}{{s.In, wire.WantInput}, {s.Out, wire.WantOutput}, {s.Err, wire.WantErrors}} {
		if f.file != nil {
			w |= f.bit
		}
	}
	return w
}

// Run copies until the container ends.
func (s *Session) Run(ctx context.Context) (exit.Seen, error) {
	defer func() { s.control.Close(); s.control = nil }() // a later keeper has its own
	if s.Terminal && s.In != nil && term.IsTerminal(int(s.In.Fd())) {
		old, err := term.MakeRaw(int(s.In.Fd()))
		if err != nil {
			return exit.Seen{}, err
		}
		s.raw = old
	}
	defer s.restore()
	if s.Terminal {
		s.resize(ctx)
	}
	if s.inDone { // a keeper before this one was told
		_ = s.Client.send(ctx, wire.EOF, nil)
	}
	buf := make([]byte, 1+wire.MaxData)
	timeout := -1
	if ctx.Done() != nil {
		timeout = 1000
	}
	var deadline time.Time // for the word of the end, once that has come
	for {
		if err := ctx.Err(); err != nil {
			return exit.Seen{}, err
		}
		if s.Pidfd < 0 {
			timeout = 1000
			switch now := time.Now(); {
			case deadline.IsZero():
				deadline = now.Add(endTime)
			case now.After(deadline):
				return exit.Seen{}, ErrSilent
			}
		}
		fds := s.poll()
		if _, err := unix.Poll(fds, timeout); err != nil && !errors.Is(err, unix.EINTR) {
			return exit.Seen{}, err
		}
		if fds[3].Revents != 0 {
			s.Pidfd = -1
		} else if s.Pidfd < 0 && s.Client.Late != nil {
			s.Client.Late() // it may be stopped
		}
		if fds[1].Revents&unix.POLLIN != 0 {
			s.signals(ctx)
		}
		if fds[1].Revents&(unix.POLLNVAL|unix.POLLERR) != 0 {
			s.Signals = nil // nothing comes from it any more
		}
		if fds[2].Revents != 0 {
			if err := s.read(ctx, buf); err != nil {
				return exit.Seen{}, err
			}
		}
		if fds[0].Revents&unix.POLLOUT != 0 {
			s.flush()
		}
		if fds[0].Revents&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) == 0 {
			continue
		}
		kind, data, err := s.Client.Receive(buf)
		if err != nil {
			return exit.Seen{}, err
		}
		deadline = time.Time{} // it works on what the container has written
		if end, done := s.take(ctx, kind, data); done {
			s.restore()
			if s.Linger {
				s.Client.linger(ctx)
			}
			return end, nil
		}
	}
}

func (s *Session) restore() {
	if s.raw != nil {
		_ = term.Restore(int(s.In.Fd()), s.raw) // the terminal may be gone
		s.raw = nil
	}
}

func (s *Session) poll() []unix.PollFd {
	fds := []unix.PollFd{{Fd: int32(s.Client.fd), Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}, {Fd: int32(s.Pidfd), Events: unix.POLLIN}}
	if s.Signals != nil {
		fds[1] = unix.PollFd{Fd: int32(s.Signals.FD()), Events: unix.POLLIN}
	}
	switch {
	case len(s.pending) > 0:
		fds[0].Events |= unix.POLLOUT
	case s.In != nil && !s.inDone:
		fds[2] = unix.PollFd{Fd: int32(s.In.Fd()), Events: unix.POLLIN}
	}
	return fds
}

// take handles a message of the keeper's.
func (s *Session) take(ctx context.Context, kind wire.Kind, data []byte) (exit.Seen, bool) {
	switch kind {
	case wire.Output:
		s.write(ctx, &s.Out, "standard output", data)
	case wire.Errors:
		s.write(ctx, &s.Err, "standard error", data)
	case wire.Exit:
		end, ok := exit.Parse(data)
		return end, ok
	case wire.Hello, wire.Answer, wire.Reply:
	case wire.Input, wire.EOF, wire.Resize, wire.Request, wire.Signal, wire.Final, wire.Reload, wire.Started, wire.Made, wire.Failed, wire.Warned:
	}
	return exit.Seen{}, false
}

// write gives the caller what the container wrote. What the caller's file does
// not take is lost to the caller, not to the log.
func (s *Session) write(ctx context.Context, f **os.File, stream string, data []byte) {
	for *f != nil && len(data) > 0 && ctx.Err() == nil {
		chunk := data
		if ctx.Done() != nil {
			// One who may leave is not to sit in a write: what poll promises is
			// PIPE_BUF.
			fds := []unix.PollFd{{Fd: int32((*f).Fd()), Events: unix.POLLOUT}}
			if n, err := unix.Poll(fds, 1000); n == 0 || err != nil {
				continue
			}
			chunk = data[:min(len(data), 4096)]
		}
		n, err := unix.Write(int((*f).Fd()), chunk)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32((*f).Fd()), Events: unix.POLLOUT}}, 1000)
		case err != nil:
			*f = nil
			if s.Refused != nil {
				s.Refused(stream, err)
			}
		default:
			data = data[n:]
		}
	}
}

// read takes input of the caller's.
func (s *Session) read(ctx context.Context, buf []byte) error {
	n, err := unix.Read(int(s.In.Fd()), buf[:wire.MaxData])
	switch {
	case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil || n == 0:
		s.inDone = true
		_ = s.Client.send(ctx, wire.EOF, nil)
		return nil
	}
	typed := buf[:n]
	if s.Terminal {
		var detached bool
		if typed, detached = s.Keys.Feed(typed); detached {
			return stdio.ErrDetached
		}
	}
	if len(typed) == 0 {
		return nil
	}
	s.pending = append([]byte{byte(wire.Input)}, typed...)
	s.flush()
	return nil
}

func (s *Session) flush() {
	if len(s.pending) == 0 {
		return
	}
	err := unix.Sendto(s.Client.fd, s.pending, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		s.pending = nil // sent, or the keeper is gone: the next Receive says so
	}
}

// signals passes on what has arrived.
func (s *Session) signals(ctx context.Context) {
	for _, sig := range s.Signals.Read() {
		switch {
		case sig.Resize && sig.Rows > 0 && sig.Cols > 0:
			s.size(ctx, sig.Rows, sig.Cols)
		case sig.Resize:
			s.resize(ctx)
		case sig.Number != 0:
			s.tell(ctx, wire.Signal, byte(sig.Number))
		case sig.Leave != nil:
			s.restore()
			sig.Leave()
		}
	}
}

func (s *Session) resize(ctx context.Context) {
	for _, f := range []*os.File{s.Out, s.In} {
		if f == nil {
			continue
		}
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			s.size(ctx, ws.Row, ws.Col)
			return
		}
	}
}

func (s *Session) size(ctx context.Context, rows, cols uint16) {
	s.tell(ctx, wire.Resize, byte(rows), byte(rows>>8), byte(cols), byte(cols>>8))
}

// tell uses the second connection. A container that has just ended takes no
// more.
func (s *Session) tell(ctx context.Context, kind wire.Kind, data ...byte) {
	if s.control == nil {
		c, err := s.Control()
		if err != nil {
			return
		}
		s.control = c
	}
	if kind == wire.Signal {
		_ = s.control.Post(ctx, kind, data...)
		return
	}
	_ = s.control.send(ctx, kind, data)
}
