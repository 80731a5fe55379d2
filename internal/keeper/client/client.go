// Package client is the other side of a keeper's socket: what the engine asks
// of it, and somebody who attaches.
package client

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Run is one run of a container, by its first process.
type Run struct {
	Pid   int // 0 is any
	Start uint64
}

// Client is one end of a keeper's socket. No wait on it is longer than it says:
// a keeper may have been stopped, or be busy with a disk that does not answer.
type Client struct {
	// Late is called about once a second while the keeper owes something. May be
	// nil.
	Late func()

	fd      int
	run     Run
	version byte // of the keeper; 0 before it has said so
	last    uint32
}

// NewClient takes over a connected socket of the keeper of a run.
func NewClient(fd int, run Run) *Client { return &Client{fd: fd, run: run} }

// Close ends the connection.
func (c *Client) Close() {
	if c != nil && c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

// ErrLost says that the keeper went without telling the container's end.
var ErrLost = errors.New("the connection to the container's keeper was lost")

// ErrOther says that the keeper looks after another run by now: the one that
// was meant has ended.
var ErrOther error = &fault.Error{Kind: fault.Conflict, Text: "container has ended, and was started again"}

// ErrSilent says that the keeper did not answer in time.
var ErrSilent error = &fault.Error{Kind: fault.Unavailable, Text: "the container's keeper does not answer"}

const (
	// answerTime bounds the wait for an answer.
	answerTime = 5 * time.Second
	// endTime bounds the wait for the word of the end once the container's
	// process has ended: its other clients may be slow (the keeper waits ten
	// seconds for them, and then one for each).
	endTime = 25 * time.Second
	// lingerTime bounds the wait for what follows.
	lingerTime = 10 * time.Second
	forever    = time.Duration(1<<62 - 1)
)

// Greet says Hello, and does not wait for the answer: what comes in later is
// checked against the run.
func (c *Client) Greet(ctx context.Context, want byte) error {
	c.last++
	return c.send(ctx, wire.Hello, wire.AppendID([]byte{wire.Version, want}, c.last))
}

// Attach says Hello, and returns what the keeper answers. The errors are ErrLost,
// ErrOther, ErrSilent, and the context's.
func (c *Client) Attach(ctx context.Context, want byte) (wire.Greeting, error) {
	if err := c.Greet(ctx, want); err != nil {
		return wire.Greeting{}, err
	}
	data, err := c.await(ctx, wire.Hello, func(data []byte) bool {
		g, ok := wire.ParseGreeting(data)
		return ok && (g.Version == 1 || g.ID == c.last)
	})
	if err != nil {
		return wire.Greeting{}, err
	}
	g, _ := wire.ParseGreeting(data)
	c.version = g.Version
	if c.run.Pid != 0 && g.Pid != 0 && c.run != (Run{g.Pid, g.Start}) {
		return g, ErrOther
	}
	return g, nil
}

// Ask asks for something and waits for the answer. Besides those of Attach, the
// errors are errnos: the keeper's ([unix.EOPNOTSUPP] from one that is too old
// to know what is asked for).
//
// Precondition: Attach has returned.
func (c *Client) Ask(ctx context.Context, kind wire.Kind, body ...byte) error {
	if err := c.Post(ctx, kind, body...); err != nil {
		return err
	}
	answer := wire.Answer
	if c.version == 1 {
		answer = wire.Reply
	}
	data, err := c.await(ctx, answer, func(data []byte) bool {
		return len(data) == 1 && answer == wire.Reply || len(data) == wire.IDSize+1 && wire.ID(data) == c.last
	})
	if err != nil {
		return err
	}
	if no := unix.Errno(data[len(data)-1]); no != 0 {
		return no
	}
	return nil
}

// Post asks for something, and leaves the answer.
func (c *Client) Post(ctx context.Context, kind wire.Kind, body ...byte) error {
	if c.version == 1 {
		if kind != wire.Signal && kind != wire.Final {
			return unix.EOPNOTSUPP
		}
		return c.send(ctx, kind, body)
	}
	c.last++
	return c.send(ctx, wire.Request, append(append(wire.AppendID(nil, c.last), byte(kind)), body...))
}

// await waits for a message of a kind that is the one meant. An end that comes
// instead is ErrLost: the keeper has no more to say.
func (c *Client) await(ctx context.Context, kind wire.Kind, meant func([]byte) bool) ([]byte, error) {
	buf := make([]byte, 1+wire.MaxData)
	for deadline := time.Now().Add(answerTime); ; {
		switch ready, err := c.poll(ctx, -1, unix.POLLIN, deadline); {
		case err != nil:
			return nil, err
		case !ready:
			return nil, ErrSilent
		}
		got, data, err := c.Receive(buf)
		switch {
		case err != nil:
			return nil, err
		case got == kind && meant(data):
			return data, nil
		case got == wire.Exit:
			return nil, ErrLost
		}
	}
}

// send sends one message.
func (c *Client) send(ctx context.Context, kind wire.Kind, data []byte) error {
	message := append([]byte{byte(kind)}, data...)
	for deadline := time.Now().Add(answerTime); ; {
		err := unix.Sendto(c.fd, message, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return ErrLost // it was just going
		case !errors.Is(err, unix.EAGAIN):
			return err
		default:
			if ready, err := c.poll(ctx, -1, unix.POLLOUT, deadline); err != nil {
				return err
			} else if !ready {
				return ErrSilent
			}
		}
	}
}

// Receive reads one message into buf, when there is one; the end of the
// connection is ErrLost.
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

// Next waits for the next message, for as long as ctx allows.
func (c *Client) Next(ctx context.Context, buf []byte) (wire.Kind, []byte, error) {
	if _, err := c.poll(ctx, -1, unix.POLLIN, time.Now().Add(forever)); err != nil {
		return 0, nil, err
	}
	return c.Receive(buf)
}

// WaitExit waits for the container's end and, after it, until it has been
// written down and what follows has been done.
func (c *Client) WaitExit(ctx context.Context, pidfd int) (exit.Seen, error) {
	end, err := c.WaitEnd(ctx, pidfd)
	if err == nil {
		c.linger(ctx)
	}
	return end, err
}

// WaitEnd waits for the container's end: the log is complete, and nothing else
// has been done yet. The pidfd is the container's process; -1: it has ended.
// Once it has, the wait is bounded.
func (c *Client) WaitEnd(ctx context.Context, pidfd int) (exit.Seen, error) {
	buf := make([]byte, 1+wire.MaxData)
	deadline := time.Now().Add(forever)
	if pidfd < 0 {
		deadline = time.Now().Add(endTime)
	}
	for {
		ready, err := c.poll(ctx, pidfd, unix.POLLIN, deadline)
		switch {
		case err != nil:
			return exit.Seen{}, err
		case !ready && pidfd < 0:
			return exit.Seen{}, ErrSilent
		case !ready:
			pidfd, deadline = -1, time.Now().Add(endTime)
			continue
		}
		kind, data, err := c.Receive(buf)
		if err != nil {
			return exit.Seen{}, err
		}
		if kind != wire.Exit {
			continue
		}
		end, ok := exit.Parse(data)
		switch {
		case !ok:
			return end, ErrLost
		case c.run.Pid != 0 && c.run != (Run{end.Pid, end.Start}):
			return end, ErrOther
		}
		return end, nil
	}
}

// linger waits until the container's end has been written down, and with --rm
// the container removed: whoever does it holds the other end of the socket.
func (c *Client) linger(ctx context.Context) {
	var b [1]byte
	for deadline := time.Now().Add(lingerTime); ; {
		if ready, err := c.poll(ctx, -1, unix.POLLIN, deadline); err != nil || !ready {
			return
		}
		if _, _, err := c.Receive(b[:]); err != nil {
			return
		}
	}
}

// poll waits until the socket is ready; false: the deadline has passed, or the
// process of the pidfd has ended. It looks at ctx once a second.
func (c *Client) poll(ctx context.Context, pidfd int, events int16, deadline time.Time) (bool, error) {
	for {
		left := max(0, min(time.Until(deadline), time.Second))
		fds := [...]unix.PollFd{{Fd: int32(c.fd), Events: events}, {Fd: int32(pidfd), Events: unix.POLLIN}}
		_, err := unix.Poll(fds[:], int((left+time.Millisecond-1)/time.Millisecond))
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return false, err
		case err == nil && fds[0].Revents != 0:
			return true, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil && fds[1].Revents != 0, !time.Now().Before(deadline):
			return false, nil
		case c.Late != nil && time.Until(deadline) < time.Hour:
			c.Late()
		}
	}
}
