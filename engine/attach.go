package engine

import (
	"context"
	"errors"
	"os"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
	"github.com/tare-engine/tare/monitor/wire"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// AttachOptions connect a caller with a running container.
type AttachOptions struct {
	Stdio           // what is nil is not attached
	SigProxy bool   // forward the signals that the caller gets
	Keys     string // that detach, as Docker writes them; empty is ctrl-p,ctrl-q
	Warn     func(string)

	signals *monitor.Signals // caught earlier
}

// dial connects to a container's keeper. A keeper that has been killed gets a
// successor first.
func (e *Engine) dial(id string, want byte) (*monitor.Client, error) {
	dir, err := unix.Open(e.state.LiveDir(id), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errNotKept(err)
	}
	defer func() { _ = unix.Close(dir) }()
	b := newWaiter(dialTimeout)
	for {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: sockPath(dir)})
		if err == nil {
			c := monitor.NewClient(fd)
			if err := c.Send(wire.Hello, wire.Version, want); err != nil {
				c.Close()
				if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
					err = monitor.ErrLost // it was just going
				}
				return nil, err
			}
			return c, nil
		}
		_ = unix.Close(fd)
		// Refused: its successor is on its way.
		if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EAGAIN) || !b.wait() {
			return nil, errNotKept(err)
		}
	}
}

func errNotKept(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return fault.New(fault.Unavailable, "container has no monitor: it runs in the foreground of another command, or ends")
	}
	return fault.New(fault.KindOf(err), "connect to the container's monitor: %w", err)
}

// askSignal lets the keeper send a signal.
func (e *Engine) askSignal(id string, sig unix.Signal) error {
	c, err := e.dial(id, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Send(wire.Signal, byte(sig)); err != nil {
		return err
	}
	buf := make([]byte, 1+wire.MaxData)
	for {
		kind, data, err := c.Receive(buf)
		if err != nil {
			return err
		}
		if kind == wire.Reply && len(data) == 1 {
			if no := unix.Errno(data[0]); no != 0 && no != unix.ESRCH {
				return no
			}
			return nil
		}
		if kind == wire.Exit {
			return nil
		}
	}
}

// finalKeeper tells a container's keeper that nobody needs it when the
// container has ended; nil where it has none.
func (e *Engine) finalKeeper(r *state.Record) *monitor.Client {
	if r.Monitor.Pid == 0 || r.Monitor.Look() == state.Gone {
		return nil
	}
	c, err := e.dial(r.ID, 0)
	if err != nil {
		return nil // it is killed then
	}
	_ = c.Send(wire.Final)
	return c
}

// Attach connects the caller with a running container until it ends, and
// returns its exit code. ErrDetached says that the user has left it.
func (cs *Containers) Attach(ctx context.Context, ref string, o *AttachOptions) (int, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return 0, err
	}
	t, err := e.claim(id, state.Attach, nil)
	if err != nil {
		return 0, err
	}
	t.close()
	c, err := e.dial(id, want(&o.Stdio))
	if err != nil {
		return 0, err
	}
	e.note("attach", t.r)
	cfg, err := decodeConfig(t.r)
	if err != nil {
		return 0, err
	}
	if !cfg.OpenStdin {
		o.In = nil
	}
	return e.session(ctx, id, c, cfg.Tty, o)
}

// want is what a caller attaches to.
func want(s *Stdio) byte {
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

// session copies between the caller and a container. When the keeper is
// killed meanwhile, it goes on with the next one.
func (e *Engine) session(ctx context.Context, id string, c *monitor.Client, tty bool, o *AttachOptions) (int, error) {
	keys, err := monitor.ParseDetachKeys(o.Keys)
	if err != nil {
		return 0, err
	}
	if o.signals == nil {
		if o.signals, err = monitor.Catch(o.SigProxy, tty); err != nil {
			return 0, err
		}
	}
	s := &monitor.Session{
		Client: c, In: o.In, Out: o.Out, Err: o.Err, Terminal: tty, Keys: monitor.NewDetacher(keys), Signals: o.signals,
		Control: func() (*monitor.Client, error) { return e.dial(id, 0) },
		Refused: func(stream string, err error) {
			if o.Warn != nil && !errors.Is(err, unix.EPIPE) {
				o.Warn("write " + stream + ": " + err.Error())
			}
		},
	}
	for {
		end, err := s.Run()
		s.Client.Close()
		if err == nil {
			return end.Code, nil
		}
		if errors.Is(err, monitor.ErrDetached) {
			return 1, ErrDetached
		}
		if !errors.Is(err, monitor.ErrLost) {
			return 0, err
		}
		r, st, err := e.load(id)
		if err != nil {
			return 0, err
		}
		if err := e.mendNow(id); err != nil {
			return 0, err
		}
		if !st.Running() {
			return r.ExitCode, nil
		}
		if o.Warn != nil {
			o.Warn("the container's monitor was killed; another one looks after it now")
		}
		if s.Client, err = e.dial(id, want(&o.Stdio)); err != nil {
			return 0, err
		}
		_ = ctx
	}
}
