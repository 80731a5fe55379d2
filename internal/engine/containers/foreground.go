package containers

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// foreground is the holder of a container in this process: `run --rm`, where
// nothing is kept of the container that would outlive the command.
type foreground struct {
	caller *attached
	pipes  *stdio.Pipes
}

func (s *start) isForeground() bool {
	_, ok := s.holder.(*foreground)
	return ok
}

// foreground begins a container that this process holds.
func (e *Room) foreground(ctx context.Context, q *Request) (*Begun, error) {
	caller, err := q.Attach.open()
	if err != nil {
		return nil, err
	}
	h := &foreground{caller: caller}
	s := &start{e: e, q: q, holder: h}
	if err := s.begin(ctx); err != nil {
		caller.finish(ctx)
		return nil, err
	}
	s.lock.Unlock()
	s.sandbox.Close()
	h.started()
	return &Begun{ID: s.id, e: e, held: s}, nil
}

func (h *foreground) keeper() (state.Proc, error) { return state.Proc{}, nil }

func (h *foreground) connect(s *start) (err error) {
	if h.pipes, err = stdio.Connect(h.caller.In, h.caller.Out, h.caller.Err); err != nil {
		return err
	}
	p := s.comp.Spec
	if uid := ground.HostID(p.Linux.UIDMappings, p.Process.User.UID); uid != 0 {
		if err := h.pipes.Give(int(uid)); err != nil {
			h.disconnect()
			return err
		}
	}
	s.box.Stdin, s.box.Stdout, s.box.Stderr = h.pipes.FD[0], h.pipes.FD[1], h.pipes.FD[2]
	return nil
}

func (h *foreground) disconnect() {
	h.pipes.Close()
}

// open takes over the signals before the program runs.
func (h *foreground) open(s *start) (err error) {
	if h.caller.signals, err = h.caller.o.Catch(false); err != nil {
		s.container.Abandon()
		return err
	}
	return s.container.Start()
}

func (h *foreground) started() {
	h.pipes.Started()
	h.caller.Start()
}

// hold waits for the end of the container, and sees to it.
func (h *foreground) hold(s *start) (int, error) {
	e := s.e
	// What can wait is done while the container works.
	err := e.Snapshots.Tidy(s.id)
	s.touchImage()
	// Who looks after this process was killed, or could not see to the end, finds
	// the slot, and cleans up when the container has ended.
	settled := false
	defer func() {
		if settled {
			s.pending.End()
		} else {
			s.pending.Leave()
		}
	}()
	if !s.config.HostConfig.AutoRemove {
		err = errors.Join(err, e.State.Sync(s.id))
	}
	status, werr := stdio.Wait(h.caller.signals, s.container.Process, nil)
	if g := s.container.Group; g != nil && !ownsProcesses(s.comp.Spec) {
		_ = g.Kill(ground.RemoveTimeout) // the rest would hold the streams; what remains is reported when the cgroup goes
	}
	h.pipes.Wait()
	if oerr := h.pipes.Err(); oerr != nil {
		err = errors.Join(err, fault.New(fault.KindOf(oerr), "output was lost: %w", oerr))
	}
	h.caller.finish(context.Background())
	if werr != nil {
		return exit.Engine, werr
	}
	s.container.Process.Release()
	proc := s.record.Proc
	seen := exit.Seen{Pid: proc.Pid, Start: proc.Start, Code: status.ExitCode(), Signal: int(status.Signal), Time: time.Now().UnixNano()}
	// The program has run: its exit code is the answer, whatever else happens.
	ended := s.endHere(seen)
	settled = ended == nil
	for _, err := range []error{err, ended} {
		if err != nil {
			s.warn(err.Error())
		}
	}
	return seen.Code, nil
}
