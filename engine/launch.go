package engine

import (
	"context"
	"errors"
	"os"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/monitor"
	"github.com/tare-engine/tare/monitor/wire"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// Launched is a container that has just been started with a keeper.
type Launched struct {
	ID string

	e       *Engine
	client  *monitor.Client
	signals *monitor.Signals
	tty     bool
}

// LaunchOptions are how a container with a keeper is started.
type LaunchOptions struct {
	Attach  *AttachOptions // nil: detached
	Created func(id string) error
	Warn    func(string)
}

// Launch creates and starts a container that has a keeper.
func (cs *Containers) Launch(ctx context.Context, cfg *ContainerConfig, o *LaunchOptions) (*Launched, int, error) {
	if err := cs.e.startRequired(ctx, cfg); err != nil {
		return nil, ExitEngine, err
	}
	file, err := memfile(appendContainerConfig(make([]byte, 0, 4096), cfg))
	if err != nil {
		return nil, ExitEngine, err
	}
	defer func() { _ = unix.Close(file) }()
	l, code, err := cs.e.launch(ctx, cfg.Tty, o, file, "run")
	if fault.KindOf(err) == fault.NotFound && cfg.Image != "" {
		// The starter's word has no types; the caller wants to know this one.
		if _, rerr := cs.e.images.Resolve(cfg.Image, image.Platform{}); errors.Is(rerr, ErrNoImage) {
			err = &fault.Error{Kind: fault.NotFound, Text: err.Error(), Err: ErrNoImage, Hint: fault.HintOf(err)}
		}
	}
	return l, code, err
}

// Start starts a container that has been created or has ended. One that runs
// is no error.
func (cs *Containers) Start(ctx context.Context, ref string, o *LaunchOptions) (*Launched, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return nil, err
	}
	r, st, err := e.load(id)
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
	c, err := decodeConfig(r)
	if err != nil {
		return nil, err
	}
	if o.Attach == nil && st.Running() {
		return &Launched{ID: id}, e.mendNow(id)
	}
	if err := e.startRequired(ctx, c); err != nil {
		return nil, err
	}
	l, _, err := e.launch(ctx, c.Tty, o, -1, "start", id)
	if fault.KindOf(err) == fault.Exists {
		return &Launched{ID: id, e: e, tty: c.Tty}, nil
	}
	return l, err
}

// launch starts a starter and waits for its word.
func (e *Engine) launch(_ context.Context, tty bool, o *LaunchOptions, config int, args ...string) (*Launched, int, error) {
	l := &Launched{e: e, tty: tty}
	w := byte(0)
	if a := o.Attach; a != nil {
		w = want(&a.Stdio)
		var err error
		if l.signals, err = monitor.Catch(a.SigProxy, tty); err != nil {
			return nil, ExitEngine, err
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, ExitEngine, err
	}
	defer func() { _ = unix.Close(pair[1]) }()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, ExitEngine, err
	}
	defer func() { _ = null.Close() }()
	files := []uintptr{null.Fd(), null.Fd(), 2}
	fds := listenFDs()
	for i := range fds {
		files = append(files, uintptr(3+i))
	}
	args = append(args, "--report", itoa(len(files)), "--want", itoa(int(w)), "--fds", itoa(fds))
	files = append(files, uintptr(pair[1]))
	if config >= 0 {
		args = append(args, "--config", itoa(len(files)))
		files = append(files, uintptr(config))
	}
	pid, err := e.forkHelper(files, args)
	_ = unix.Close(pair[1])
	pair[1] = -1
	if err != nil {
		_ = unix.Close(pair[0])
		return nil, ExitEngine, err
	}
	l.client = monitor.NewClient(pair[0])
	code, err := l.word(o)
	if err != nil {
		l.client.Close()
		// It ends now, or is the container's keeper.
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		return nil, code, err
	}
	return l, 0, nil
}

// word waits for what the starter has to say.
func (l *Launched) word(o *LaunchOptions) (int, error) {
	buf := make([]byte, 1+wire.MaxData)
	for {
		kind, data, err := l.client.Receive(buf)
		if errors.Is(err, monitor.ErrLost) {
			return ExitEngine, fault.New(fault.Internal, "the starter was killed")
		}
		if err != nil {
			return ExitEngine, err
		}
		switch kind {
		case wire.Made:
			l.ID = string(data)
			if o.Created != nil {
				if err := o.Created(l.ID); err != nil && o.Warn != nil {
					o.Warn(err.Error())
				}
			}
		case wire.Failed:
			f := wire.ParseFailure(data)
			err := fault.New(fault.Kind(f.Kind), "%s", f.Text)
			if f.Hint != "" {
				err = fault.WithHint(err, f.Hint)
			}
			return f.Code, err
		case wire.Started:
			l.ID = string(data)
			return 0, nil
		case wire.Hello, wire.Input, wire.EOF, wire.Resize, wire.Signal, wire.Final, wire.Output, wire.Errors, wire.Exit, wire.Reply:
		}
	}
}

// Attach connects the caller with the container from its first byte on, and
// returns the exit code.
func (l *Launched) Attach(ctx context.Context, o *AttachOptions) (int, error) {
	if l.client == nil { // it ran already
		return l.e.Containers.Attach(ctx, l.ID, o)
	}
	o.signals = l.signals
	return l.e.session(ctx, l.ID, l.client, l.tty, o)
}

// memfile returns a file in memory with the contents, at its beginning.
func memfile(b []byte) (int, error) {
	fd, err := unix.MemfdCreate("tare-config", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for at := 0; at < len(b); {
		n, err := unix.Pwrite(fd, b[at:], int64(at))
		if err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
		at += n
	}
	return fd, nil
}
