// Package keepers is how the engine starts the keepers of containers, tells them what
// they look after, and asks them for something (docs/adr/0007).
package keepers

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// Keepers are those of one data root.
type Keepers struct{ *ground.Ground }

// Timeout bounds the wait for a keeper whose container is being removed.
const Timeout = 2 * time.Second

// Kept is what a keeper looks after: a run of a container, or a command in one.
type Kept struct {
	ID     string
	Proc   state.Proc // its first process
	Keeper state.Proc
}

// Of returns the run that a record tells of.
func Of(r *state.Record) Kept { return Kept{r.ID, r.Proc, r.Keeper} }

// Connect connects to the keeper of r. A keeper that has
// been killed gets a successor first; one that somebody has stopped is let go
// on: whoever wants something of a container cannot want its keeper to stand
// still.
func (k Keepers) Connect(ctx context.Context, r Kept) (*client.Client, error) {
	dir, err := unix.Open(k.State.LiveDir(r.ID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errNotKept(err)
	}
	defer func() { _ = unix.Close(dir) }()
	keeper := r.Keeper
	if err := keeper.Continue(); err != nil {
		return nil, err
	}
	b := ground.NewWaiter(ground.DialTimeout)
	for {
		// One that does not accept keeps nobody waiting: EAGAIN.
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: sockPath(dir)})
		if err == nil {
			c := client.NewClient(fd, client.Run{Pid: r.Proc.Pid, Start: r.Proc.Start})
			c.Late = func() { _ = keeper.Continue() } // it may have been stopped since
			return c, nil
		}
		_ = unix.Close(fd)
		// Refused: its successor is on its way.
		if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EAGAIN) {
			return nil, errNotKept(err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !b.Wait() {
			return nil, errNotKept(err)
		}
	}
}

// Find finds the keeper of a container of which only the id is known: it is who
// listens. The zero Proc is none.
func (k Keepers) Find(id string) (state.Proc, error) {
	dir, err := unix.Open(k.State.LiveDir(id), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return state.Proc{}, nil
	}
	if err != nil {
		return state.Proc{}, errNotKept(err)
	}
	defer func() { _ = unix.Close(dir) }()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return state.Proc{}, err
	}
	defer func() { _ = unix.Close(fd) }()
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: sockPath(dir)})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return state.Proc{}, nil // nobody does any more
	}
	if err != nil {
		return state.Proc{}, errNotKept(err)
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return state.Proc{}, err
	}
	p, err := state.Identify(int(cred.Pid))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return state.Proc{}, nil // it has just ended
	}
	return p, err
}

// Written waits until the keeper of a container that has ended writes its log no more:
// it has executed tare, which waits for the container's lock, or has ended. One that
// does not get there, because of a client that does not read, is killed.
func (k Keepers) Written(keeper state.Proc) error {
	for b := ground.NewWaiter(Timeout); ; {
		comm, err := os.ReadFile("/proc/" + strconv.Itoa(keeper.Pid) + "/comm")
		switch {
		case keeper.Look() == state.Gone:
			return nil
		case err == nil && strings.TrimSpace(string(comm)) != Program:
			return nil
		case !b.Wait():
			return keeper.Kill()
		}
	}
}

func errNotKept(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED):
		return fault.New(fault.Unavailable, "container has no keeper: it runs in the foreground of another command, or ends")
	case errors.Is(err, unix.EAGAIN):
		return client.ErrSilent
	}
	return fault.New(fault.KindOf(err), "connect to the container's keeper: %w", err)
}

// Dial connects to the keeper of r, and has its word that it looks after
// that one.
func (k Keepers) Dial(ctx context.Context, r Kept, want byte) (*client.Client, error) {
	c, err := k.Connect(ctx, r)
	if err != nil {
		return nil, err
	}
	if _, err := c.Attach(ctx, want); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Ask asks the keeper of a run for something. A run that has ended meanwhile is
// no error.
func (k Keepers) Ask(ctx context.Context, r Kept, kind wire.Kind, body ...byte) error {
	c, err := k.Dial(ctx, r, 0)
	if err == nil {
		defer c.Close()
		err = c.Ask(ctx, kind, body...)
	}
	if errors.Is(err, client.ErrLost) || errors.Is(err, client.ErrOther) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ESTALE) {
		return nil
	}
	return err
}

// Final tells a container's keeper that nobody needs it when the
// container has ended; nil where it has none, or does not answer: it is killed
// then.
func (k Keepers) Final(ctx context.Context, r Kept) *client.Client {
	if r.Keeper.Pid == 0 || r.Keeper.Look() == state.Gone {
		return nil
	}
	c, err := k.Connect(ctx, r)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if _, err = c.Attach(ctx, 0); err == nil {
		err = c.Ask(ctx, wire.Final)
	}
	if err != nil {
		c.Close()
		return nil
	}
	return c
}
