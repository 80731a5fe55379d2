package execs

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/keepers"
	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// A session that its caller may leave, with -d or the detach keys, has a keeper,
// as a container has: the process that started the command, with another
// program. Its caller is its first client.

// leavable reports whether the command may go on without its caller.
func leavable(c *api.ExecConfig) bool { return c.Detach || c.Tty }

// kept is what its keeper looks after.
func kept(x *state.Exec) keepers.Kept { return keepers.Kept{ID: x.ID, Proc: x.Proc, Keeper: x.Owner} }

// viaKeeper has a starter begin the session and, unless it is detached, stays
// with it to its end.
func (s *session) viaKeeper(ctx context.Context, o *Options) (int, error) {
	if !s.begun {
		if err := s.put(&s.x); err != nil {
			return 0, err
		}
		s.begun = true
		s.note("exec_create: " + s.command())
	}
	starter := &keepers.Starter{Args: []string{"exec", s.x.ID}, Warn: s.warn}
	if s.cfg.Detach {
		_, c, err := s.e.keepers.Launch(ctx, starter)
		c.Close()
		return fault.CodeOf(err), err
	}
	keys, err := stdio.ParseDetachKeys(s.cfg.DetachKeys)
	if err != nil {
		return 0, err
	}
	files, err := o.Open()
	if err != nil {
		return 0, err
	}
	defer func() {
		if ctx.Err() != nil {
			files.Leave()
			return
		}
		if err := files.Close(); err != nil {
			s.warn("output was lost: " + err.Error())
		}
	}()
	signals, err := o.Catch(true)
	if err != nil {
		return 0, err
	}
	starter.Want = client.Want(files) | wire.WantEnd
	_, c, err := s.e.keepers.Launch(ctx, starter)
	if err != nil {
		return fault.CodeOf(err), err
	}
	defer c.Close()
	files.Start()
	return s.attached(ctx, &client.Session{
		Client: c, In: files.In, Out: files.Out, Terminal: true, Keys: stdio.NewDetacher(keys), Signals: signals,
		Refused: func(stream string, err error) {
			if !errors.Is(err, unix.EPIPE) {
				s.warn("write " + stream + ": " + err.Error())
			}
		},
	})
}

// attached copies between the caller and the command until that ends.
func (s *session) attached(ctx context.Context, c *client.Session) (int, error) {
	x, err := s.e.State.FindExec(s.x.ID)
	if fault.KindOf(err) == fault.NotFound {
		x, err = &state.Exec{ID: s.x.ID}, nil // its container has ended, and what it said is in the socket
	}
	if err != nil {
		return 0, err
	}
	if c.Pidfd, _, err = x.Proc.Hold(); err != nil {
		return 0, err
	}
	if c.Pidfd >= 0 {
		defer func() { _ = unix.Close(c.Pidfd) }()
	}
	c.Client.Late = func() { _ = x.Owner.Continue() }
	c.Control = func() (*client.Client, error) { return s.e.keepers.Dial(ctx, kept(x), 0) }
	end, err := c.Run(ctx) // its keeper's note tells of the end before the record does
	switch {
	case errors.Is(err, stdio.ErrDetached):
		return 1, err
	case errors.Is(err, client.ErrLost):
		return 0, errKeeperLost
	}
	return end.Code, err
}

var errKeeperLost error = &fault.Error{Kind: fault.Internal, Text: "the keeper of the exec session was killed"}

// BeginAsKeeper is the starter's part: it starts a session that was created,
// tells the caller over the socket report, and becomes the keeper of the command.
// It returns only on error, which the caller has been told of. Want is what the
// caller attaches to.
func (e *Room) BeginAsKeeper(ctx context.Context, id string, report, want int) error {
	r := keepers.Report(report)
	code, err := e.beginAsKeeper(ctx, id, r, want)
	r.Fail(err, code)
	return err
}

func (e *Room) beginAsKeeper(ctx context.Context, id string, report keepers.Report, want int) (int, error) {
	s, err := e.findSession(id, func(text string) { report.Tell(wire.Warned, text) })
	if err != nil {
		return 1, err
	}
	defer s.close()
	if _, err := e.keepers.Path(); err != nil {
		return s.failed(err)
	}
	w := wire.NewExec()
	if want != 0 {
		w.Client, w.ClientWant = int(report), want
	}
	run, code, err := s.begin(ctx, &Options{}, func(c *container.Container) error { return s.keep(c, w) })
	if err != nil {
		if rerr := e.State.RemoveLive(s.x.ID); rerr != nil {
			report.Tell(wire.Warned, "clean up: "+rerr.Error())
		}
		return code, err
	}
	run.pipes.Started()
	report.Tell(wire.Started, s.x.ID)
	return exit.Engine, e.keepers.Exec(s.x.ID, w.Pidfd, w.Pty, w.Listen, w.Client)
}

// keep writes down what the keeper is told, before the program runs.
func (s *session) keep(c *container.Container, w *wire.ExecPart) (err error) {
	if err := s.e.State.MakeLive(s.x.ID); err != nil {
		return fault.New(fault.KindOf(err), "make %s: %w", s.e.State.LiveDir(s.x.ID), err)
	}
	if c.Console != nil {
		if w.Pty, err = unix.FcntlInt(c.Console.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return err
		}
	}
	if w.Listen, err = keepers.Listen(s.e.State.LiveDir(s.x.ID)); err != nil {
		return err
	}
	w.Pid, w.Start, w.Pidfd, w.Child = s.x.Proc.Pid, s.x.Proc.Start, c.Process.Pidfd, true
	return s.e.keepers.WriteSettings(s.x.ID, wire.Settings{Exec: w})
}

// Ended is the keeper's last act: it writes down how the command has ended.
func (e *Room) Ended(id string) error {
	x, err := e.State.FindExec(id)
	if fault.KindOf(err) == fault.NotFound {
		return e.State.RemoveLive(id) // its container has gone
	}
	if err != nil {
		return err
	}
	seen, ok, err := e.State.ExecEnd(x)
	if err != nil || !ok || x.Exited {
		return err
	}
	s := &session{e: e, x: *x}
	err = s.put(&state.Exec{ID: x.ID, Exited: true, ExitCode: seen.Code, Finished: time.Unix(0, seen.Time).UTC()})
	if err != nil {
		return err // the note stays
	}
	if s.record, err = e.State.Get(x.Container); err == nil {
		s.noteEnd(seen.Code)
	} else if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return e.State.RemoveLive(id)
}
