package containers

import (
	"context"
	"errors"

	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/keepers"
	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// AttachOptions connect a caller with a running container.
type AttachOptions struct {
	stdio.Streams
	Keys string // that detach, as Docker writes them; empty is ctrl-p,ctrl-q
	Warn func(string)
}

// attached is a caller while it is connected with a container.
type attached struct {
	*stdio.Files

	o       *AttachOptions
	signals stdio.Signals // nil: none come
}

// open makes descriptors of the caller's streams.
func (o *AttachOptions) open() (*attached, error) {
	f, err := o.Open()
	return &attached{Files: f, o: o}, err
}

// finish waits until the caller has everything, unless he has left.
func (a *attached) finish(ctx context.Context) {
	if ctx.Err() != nil {
		a.Leave()
		return
	}
	if err := a.Close(); err != nil {
		a.warn("output was lost: " + err.Error())
	}
}

func (a *attached) warn(text string) {
	if a.o.Warn != nil {
		a.o.Warn(text)
	}
}

// Attach connects the caller with a running container until it ends, and
// returns its exit code. stdio.ErrDetached says that the user has left it.
func (e *Room) Attach(ctx context.Context, ref string, o *AttachOptions) (int, error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return 0, err
	}
	t, err := e.claim(id, state.Attach, nil)
	if err != nil {
		return 0, err
	}
	t.close()
	cfg, err := ground.Config(t.r)
	if err != nil {
		return 0, err
	}
	a, err := o.open()
	if err != nil {
		return 0, err
	}
	defer a.finish(ctx)
	c, err := e.keepers.Dial(ctx, keepers.Of(t.r), client.Want(a.Files))
	if err != nil {
		return 0, err
	}
	e.Note("attach", t.r)
	if !cfg.OpenStdin {
		a.In = nil
	}
	if a.signals, err = o.Catch(cfg.Tty); err != nil {
		c.Close()
		return 0, err
	}
	return e.session(ctx, id, c, cfg.Tty, a)
}

// session copies between the caller and a container. When the keeper is
// killed meanwhile, it goes on with the next one.
func (e *Room) session(ctx context.Context, id string, c *client.Client, tty bool, a *attached) (int, error) {
	keys, err := stdio.ParseDetachKeys(a.o.Keys)
	if err != nil {
		c.Close()
		return 0, err
	}
	if a.In != nil {
		a.Start()
	}
	pidfd := -1
	r, _, err := e.Load(id)
	if err == nil {
		pidfd, _, err = r.Proc.Hold()
	}
	switch {
	case fault.KindOf(err) == fault.NotFound: // --rm: it has ended, and what it said is in the socket
	case err != nil:
		c.Close()
		return 0, err
	case c.Late == nil:
		c.Late = func() { _ = r.Keeper.Continue() }
	}
	if pidfd >= 0 {
		defer func() { _ = unix.Close(pidfd) }()
	}
	s := &client.Session{
		Pidfd: pidfd, Client: c, In: a.In, Out: a.Out, Err: a.Err, Terminal: tty, Keys: stdio.NewDetacher(keys), Signals: a.signals, Linger: true,
		Control: func() (*client.Client, error) {
			r, _, err := e.Load(id)
			if err != nil {
				return nil, err
			}
			return e.keepers.Dial(ctx, keepers.Of(r), 0)
		},
		Refused: func(stream string, err error) {
			if !errors.Is(err, unix.EPIPE) {
				a.warn("write " + stream + ": " + err.Error())
			}
		},
	}
	for {
		end, err := s.Run(ctx)
		s.Client.Close()
		if err == nil {
			return end.Code, nil
		}
		if errors.Is(err, stdio.ErrDetached) {
			return 1, stdio.ErrDetached
		}
		if !errors.Is(err, client.ErrLost) {
			return 0, err
		}
		r, st, err := e.Load(id)
		if err != nil {
			return 0, err
		}
		if err := e.succeed(ctx, r); err != nil {
			return 0, err
		}
		if !st.Running() {
			return r.ExitCode, nil
		}
		a.warn("the container's keeper was killed; another one looks after it now")
		if s.Client, err = e.keepers.Dial(ctx, keepers.Of(r), client.Want(a.Files)); err != nil {
			return 0, err
		}
	}
}
