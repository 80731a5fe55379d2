package containers

import (
	"context"

	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// view is the file system of a container as its processes see it, volumes
// included.
type view struct {
	root  int // O_PATH; every name is resolved as if it were "/"
	ids   ground.IDMaps
	of    *state.Record
	close func()
}

// view opens a container's file system: that of its first process while one
// runs, paused or not. For one that does not run everything is mounted as for
// a start, which then waits at its gate for ever and is abandoned.
func (e *Room) view(ctx context.Context, id string) (*view, error) {
	if err := e.Harden(); err != nil {
		return nil, err
	}
	r, st, err := e.Load(id)
	if err != nil {
		return nil, err
	}
	if st.Running() {
		fd, err := r.Proc.Open()
		if err != nil {
			return nil, err
		}
		p := spawn.Process{Pid: r.Proc.Pid, Pidfd: fd}
		defer p.Release()
		v := &view{ids: ground.IDMapsOf(p.Pid), of: r}
		v.root, err = ground.OpenRoot(p)
		v.close = func() { _ = unix.Close(v.root) }
		return v, err
	}
	// Nobody starts it meanwhile.
	lock, err := e.State.Lock(id)
	if err != nil {
		return nil, err
	}
	if r, st, err = e.Load(id); err != nil || st.Running() {
		lock.Unlock()
		if err == nil {
			return e.view(ctx, id) // somebody was faster
		}
		return nil, err
	}
	v, err := e.stoppedView(ctx, r)
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	unmount := v.close
	v.close = func() {
		unmount()
		lock.Unlock()
	}
	return v, nil
}

func (e *Room) stoppedView(ctx context.Context, r *state.Record) (*view, error) {
	c, err := ground.Config(r)
	if err != nil {
		return nil, err
	}
	old := *r
	look := &start{e: e, q: &Request{Until: Planned}, id: r.ID, config: ground.Alone(c), old: &old}
	if err := look.begin(ctx); err != nil {
		return nil, err
	}
	look.comp = look.comp.View()
	b := &look.box
	b.Spec, b.Filter, b.Compiled, b.Announce = look.comp.Spec, nil, nil, true
	child, err := container.Make(*b, nil)
	look.sandbox.Close()
	if err != nil {
		return nil, err
	}
	v := &view{ids: ground.IDMapsOf(child.Process.Pid), of: r}
	if err := child.Ready(); err != nil {
		return nil, err
	}
	if v.root, err = ground.OpenRoot(child.Process); err != nil {
		child.Abandon()
		return nil, err
	}
	v.close = func() {
		_ = unix.Close(v.root)
		child.Abandon()
	}
	return v, nil
}
