package containers

import (
	"context"

	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// A container that is not run in the foreground of its command has a keeper:
// the process that started it, with another program (docs/adr/0007). keeper is
// what it holds while it is still the starter.
type keeper struct {
	e      *Room
	part   *wire.ContainerPart // of its settings
	report keepers.Report      // to the caller
	ends   [3]int              // the container's ends of its streams
	want   int                 // what the caller attaches to: wire.Want bits
}

func newKeeper(e *Room, report keepers.Report, want int) *keeper {
	return &keeper{e: e, part: wire.NewContainer(), report: report, want: want, ends: [3]int{-1, -1, -1}}
}

// BeginAsKeeper is the starter's part of a start: it begins the container, tells
// the caller over the socket report, and becomes its keeper. It returns only on
// error, which the caller has been told of. want is what the caller attaches
// to; retry says that the container's restart policy asks for it.
func (e *Room) BeginAsKeeper(ctx context.Context, q *Request, report, want int, retry bool) error {
	k := newKeeper(e, keepers.Report(report), want)
	q.retry = retry
	if report >= 0 {
		q.Created = func(id string) error {
			k.report.Tell(wire.Made, id)
			return nil
		}
		q.Warn = func(text string) { k.report.Tell(wire.Warned, text) }
	}
	if want != 0 {
		q.Attach = &AttachOptions{} // the caller's own process has it
	}
	err := k.begin(ctx, q)
	k.report.Fail(err, ground.ExitCode(err))
	return err
}

// begin returns only on error.
func (k *keeper) begin(ctx context.Context, q *Request) error {
	e := k.e
	if _, err := e.keepers.Path(); err != nil {
		return err
	}
	s := &start{e: e, q: q, holder: k}
	if err := s.begin(ctx); err != nil {
		return err
	}
	k.report.Tell(wire.Started, s.id)
	s.lock.Unlock()
	// Nothing of it is worth a container that runs without a keeper.
	s.touchImage()
	_ = e.Snapshots.Tidy(s.id)
	s.pending.End() // what a kill leaves of the rest is found by the slot
	return k.become(s.id)
}

func (k *keeper) keeper() (state.Proc, error) { return self() }

// connect makes the fifos and the socket of a container that is about to start.
func (k *keeper) connect(s *start) (err error) {
	p := s.comp.Spec
	uid := int(ground.HostID(p.Linux.UIDMappings, p.Process.User.UID))
	dir := k.e.State.LiveDir(s.id)
	defer func() {
		if err != nil {
			k.disconnect()
			s.undone(k.e.State.RemoveLive(s.id))
		}
	}()
	if err := k.e.State.MakeLive(s.id); err != nil {
		return fault.New(fault.KindOf(err), "make %s: %w", dir, err)
	}
	k.e.tell(k.part, s.id, s.config, s.imageConfig(), &s.log)
	w := k.part
	if !s.config.Tty {
		if s.config.OpenStdin {
			if k.ends[0], w.In, err = keepers.Fifo(dir+"/in", unix.O_RDONLY, unix.O_WRONLY, uid); err != nil {
				return err
			}
		}
		// The container holds its own outputs for reading too: a keeper that
		// is killed closes no pipe, and the next one finds what was written.
		if k.ends[1], w.Out, err = keepers.Fifo(dir+"/out", unix.O_RDWR, unix.O_RDONLY, uid); err != nil {
			return err
		}
		if k.ends[2], w.Err, err = keepers.Fifo(dir+"/err", unix.O_RDWR, unix.O_RDONLY, uid); err != nil {
			return err
		}
	}
	if w.Listen, err = keepers.Listen(dir); err != nil {
		return err
	}
	s.box.Stdin, s.box.Stdout, s.box.Stderr = k.ends[0], k.ends[1], k.ends[2]
	return k.listenReady(s.config, dir, uid)
}

// open writes down what the keeper is told, and lets the program run: none runs
// without a keeper because there was no room for a file.
func (k *keeper) open(s *start) error {
	w, x := k.part, s.container
	if x.Console != nil {
		fd, err := unix.FcntlInt(x.Console.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			x.Abandon()
			return err
		}
		w.Pty = fd
	}
	w.Pid, w.Start, w.Pidfd, w.Child = s.record.Proc.Pid, s.record.Proc.Start, x.Process.Pidfd, true
	if k.want != 0 {
		w.Client, w.ClientWant = int(k.report), k.want
	}
	if err := k.e.keepers.WriteSettings(s.id, wire.Settings{Container: w}); err != nil {
		x.Abandon()
		return err
	}
	err := x.Start()
	k.closeEnds()
	return err
}

func (k *keeper) closeEnds() {
	for i, fd := range k.ends {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		k.ends[i] = -1
	}
}

func (k *keeper) disconnect() {
	k.closeEnds()
	for _, fd := range []*int{&k.part.In, &k.part.Out, &k.part.Err, &k.part.Pty, &k.part.Listen, &k.part.Notify} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
		}
		*fd = -1
	}
}

// become executes the keeper in this process, which stays the parent of the
// container. It returns only on error.
func (k *keeper) become(id string) error {
	w := k.part
	return k.e.keepers.Exec(id, w.Pidfd, w.In, w.Out, w.Err, w.Pty, w.Listen, w.Notify, w.Client)
}

// self is this process, as a keeper.
func self() (state.Proc, error) { return state.Identify(unix.Getpid()) }
