package monitor

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/tare-engine/tare/monitor/wire"
	"github.com/tare-engine/tare/spawn/sigpipe"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Client is one end of a keeper's socket.
type Client struct{ fd int }

// NewClient takes over a connected socket.
func NewClient(fd int) *Client { return &Client{fd: fd} }

// Close ends the connection.
func (c *Client) Close() {
	if c != nil && c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

// ErrDetached says that the user typed the keys that detach: the container
// goes on.
var ErrDetached = errors.New("detached")

// ErrLost says that the keeper went without telling the container's end.
var ErrLost = errors.New("the connection to the container's monitor was lost")

// Send sends one message.
func (c *Client) Send(kind wire.Kind, data ...byte) error {
	for {
		err := unix.Sendto(c.fd, append([]byte{byte(kind)}, data...), unix.MSG_NOSIGNAL, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Receive reads one message into buf; the end of the connection is ErrLost.
func (c *Client) Receive(buf []byte) (wire.Kind, []byte, error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
			return 0, nil, ErrLost
		case err != nil:
			return 0, nil, err
		}
		return wire.Kind(buf[0]), buf[1:n], nil
	}
}

// WaitExit waits for the container's end and, after it, until it has been
// written down and what follows has been done.
func (c *Client) WaitExit(ctx context.Context) (wire.End, error) {
	end, err := c.WaitEnd(ctx)
	if err == nil {
		c.linger()
	}
	return end, err
}

// WaitEnd waits for the container's end: the log is complete, and nothing else
// has been done yet.
func (c *Client) WaitEnd(ctx context.Context) (wire.End, error) {
	buf := make([]byte, 1+wire.MaxData)
	for {
		if ready, err := c.poll(ctx, time.Hour); err != nil {
			return wire.End{}, err
		} else if !ready {
			continue
		}
		kind, data, err := c.Receive(buf)
		if err != nil {
			return wire.End{}, err
		}
		if kind != wire.Exit {
			continue
		}
		end, ok := wire.ParseEnd(data)
		if !ok {
			return end, ErrLost
		}
		return end, nil
	}
}

// linger waits until the container's end has been written down, and with --rm
// the container removed: whoever does it holds the other end of the socket.
func (c *Client) linger() {
	var b [1]byte
	for deadline := time.Now().Add(10 * time.Second); ; {
		if ready, err := c.poll(context.Background(), time.Until(deadline)); err != nil || !ready {
			return
		}
		if _, _, err := c.Receive(b[:]); err != nil {
			return
		}
	}
}

// poll waits for something to read; it looks at ctx once a second.
func (c *Client) poll(ctx context.Context, timeout time.Duration) (bool, error) {
	for deadline := time.Now().Add(timeout); ; {
		left := max(0, min(time.Until(deadline), time.Second))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		switch {
		case n > 0:
			return true, nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return false, err
		case ctx.Err() != nil:
			return false, ctx.Err()
		case !time.Now().Before(deadline):
			return false, nil
		}
	}
}

// Session connects the caller's files with an attached container.
type Session struct {
	Client   *Client
	In       *os.File // nil: nothing is sent
	Out, Err *os.File // nil: not shown
	Terminal bool     // the container has one
	Keys     *Detacher
	Signals  *Signals
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

// Run copies until the container ends.
func (s *Session) Run() (wire.End, error) {
	defer s.control.Close()
	if s.Terminal && s.In != nil && term.IsTerminal(int(s.In.Fd())) {
		old, err := term.MakeRaw(int(s.In.Fd()))
		if err != nil {
			return wire.End{}, err
		}
		s.raw = old
	}
	defer s.restore()
	if s.Terminal {
		s.resize()
	}
	buf := make([]byte, 1+wire.MaxData)
	for {
		fds := s.poll()
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return wire.End{}, err
		}
		if fds[1].Revents&unix.POLLIN != 0 {
			s.signals()
		}
		if fds[2].Revents != 0 {
			if err := s.read(buf); err != nil {
				return wire.End{}, err
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
			return wire.End{}, err
		}
		if end, done := s.take(kind, data); done {
			s.restore()
			s.Client.linger()
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
	fds := []unix.PollFd{{Fd: int32(s.Client.fd), Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}}
	if s.Signals != nil {
		fds[1] = unix.PollFd{Fd: int32(s.Signals.fd), Events: unix.POLLIN}
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
func (s *Session) take(kind wire.Kind, data []byte) (wire.End, bool) {
	switch kind {
	case wire.Output:
		s.write(&s.Out, "standard output", data)
	case wire.Errors:
		s.write(&s.Err, "standard error", data)
	case wire.Exit:
		end, ok := wire.ParseEnd(data)
		return end, ok
	case wire.Hello, wire.Reply:
	case wire.Input, wire.EOF, wire.Resize, wire.Signal, wire.Final, wire.Started, wire.Made, wire.Failed:
	}
	return wire.End{}, false
}

// write gives the caller what the container wrote. What the caller's file does
// not take is lost to the caller, not to the log.
func (s *Session) write(f **os.File, stream string, data []byte) {
	for *f != nil && len(data) > 0 {
		n, err := unix.Write(int((*f).Fd()), data)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32((*f).Fd()), Events: unix.POLLOUT}}, -1)
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
func (s *Session) read(buf []byte) error {
	n, err := unix.Read(int(s.In.Fd()), buf[:wire.MaxData])
	switch {
	case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil || n == 0:
		s.inDone = true
		_ = s.Client.Send(wire.EOF)
		return nil
	}
	typed := buf[:n]
	if s.Terminal {
		var detached bool
		if typed, detached = s.Keys.Feed(typed); detached {
			return ErrDetached
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
func (s *Session) signals() {
	for _, sig := range sigpipe.Read(s.Signals.fd) {
		switch {
		case sig == unix.SIGWINCH:
			s.resize()
		case s.Signals.forward:
			s.send(wire.Signal, byte(sig))
		default:
			s.restore()
			sigpipe.Die(sig)
		}
	}
}

func (s *Session) resize() {
	for _, f := range []*os.File{s.Out, s.In} {
		if f == nil {
			continue
		}
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			s.send(wire.Resize, byte(ws.Row), byte(ws.Row>>8), byte(ws.Col), byte(ws.Col>>8))
			return
		}
	}
}

// send sends over the second connection. A container that has just ended
// takes no more.
func (s *Session) send(kind wire.Kind, data ...byte) {
	if s.control == nil {
		c, err := s.Control()
		if err != nil {
			return
		}
		s.control = c
	}
	_ = s.control.Send(kind, data...)
}
