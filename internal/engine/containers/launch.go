package containers

import (
	"context"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/keepers"
	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// Begun is a container that has been begun.
type Begun struct {
	ID string

	e      *Room
	held   *start         // by this process; nil: by a keeper
	client *client.Client // of the keeper, with somebody attached
	caller *attached      // who is
	tty    bool
}

// Wait stays with a container that was begun with somebody attached, until it
// ends, and returns its exit code. stdio.ErrDetached says that the user has left it.
func (b *Begun) Wait(ctx context.Context, o *AttachOptions) (int, error) {
	switch {
	case b.held != nil:
		return ground.Wait(ctx, func() (int, error) { return b.held.holder.(*foreground).hold(b.held) })
	case b.client == nil: // it ran already, or nobody stayed
		return b.e.Attach(ctx, b.ID, o)
	}
	defer b.caller.finish(ctx)
	return b.e.session(ctx, b.ID, b.client, b.tty, b.caller)
}

// start starts a container that has been created or has ended. One that runs is
// no error.
func (e *Room) start(ctx context.Context, q *Request) (*Begun, error) {
	id, err := e.State.Find(q.Ref)
	if err != nil {
		return nil, err
	}
	r, st, err := e.Load(id)
	if err != nil {
		return nil, err
	}
	if _, err := st.After(state.Start); err != nil {
		if st == state.Paused {
			err = fault.New(fault.Conflict, "cannot start a paused container, try unpause instead")
		}
		return nil, err
	}
	if st == state.Restarting {
		if err := e.stopWaiting(r); err != nil {
			return nil, err
		}
	}
	c, err := ground.Config(r)
	if err != nil {
		return nil, err
	}
	if q.Attach == nil && st.Running() {
		return &Begun{ID: id, e: e}, e.mendNow(id)
	}
	requires := c.Requires
	if r.Resolved != nil {
		requires = r.Resolved.Requires
	}
	if err := e.startRequired(ctx, requires); err != nil {
		return nil, err
	}
	named := *q
	named.Ref = id
	b, err := e.launch(ctx, &named, c.Tty)
	if fault.KindOf(err) == fault.Exists {
		// Another command was faster, or something else exists that should not.
		if _, st, lerr := e.Load(id); lerr == nil && st.Running() {
			return &Begun{ID: id, e: e, tty: c.Tty}, nil
		}
	}
	return b, err
}

// launch has a starter begin the container, which becomes its keeper, and waits
// for its word. A context that is cancelled ends the wait; the start goes on.
func (e *Room) launch(ctx context.Context, q *Request, tty bool) (*Begun, error) {
	b := &Begun{e: e, tty: tty}
	if q.Attach == nil {
		return b, b.launch(ctx, q)
	}
	var err error
	if b.caller, err = q.Attach.open(); err != nil {
		return nil, err
	}
	if b.caller.signals, err = q.Attach.Catch(tty); err == nil {
		err = b.launch(ctx, q)
	}
	if err != nil {
		b.caller.finish(ctx)
		return nil, err
	}
	return b, nil
}

func (b *Begun) launch(ctx context.Context, q *Request) error {
	warn := func(text string) {
		if q.Warn != nil {
			q.Warn(text)
		}
	}
	s := &keepers.Starter{Args: []string{"start", q.Ref}, Passed: q.Passed, Warn: warn, Made: func(id string) {
		if q.Created == nil {
			return
		}
		if err := q.Created(id); err != nil {
			warn(err.Error())
		}
	}}
	if q.Config != nil {
		s.Args, s.Config = []string{"run"}, q.Config.Append(make([]byte, 0, 4096))
	}
	if b.caller != nil {
		s.Want = client.Want(b.caller.Files) | wire.WantEnd
	}
	var err error
	b.ID, b.client, err = b.e.keepers.Launch(ctx, s)
	if err == nil && b.caller == nil {
		b.client.Close()
		b.client = nil
	}
	return err
}
