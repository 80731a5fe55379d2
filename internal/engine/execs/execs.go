// Package execs is the engine's room of commands that run in containers beside
// the first process.
package execs

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/keepers"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// Options are the parts of an exec session that end with the caller.
type Options struct {
	stdio.Streams
	Warn func(msg string) // gets one line for each default that cannot be given; may be nil
}

// Room is the engine's exec sessions.
type Room struct {
	*ground.Ground

	keepers keepers.Keepers
}

// New returns a room, without I/O.
func New(g *ground.Ground) *Room { return &Room{g, keepers.Keepers{Ground: g}} }

// Info is what is known of an exec session, in Docker's form.
type Info struct {
	ID            string
	Running       bool
	ExitCode      *int // nil while it runs, or before the start
	ProcessConfig Process
	OpenStdin     bool
	OpenStderr    bool
	OpenStdout    bool
	CanRemove     bool
	ContainerID   string
	DetachKeys    []byte
	Pid           int // on the host, while it runs
}

// Process is the process of an exec session.
type Process struct {
	Tty        bool     `json:"tty"`
	Entrypoint string   `json:"entrypoint"`
	Arguments  []string `json:"arguments"`
	Privileged bool     `json:"privileged"`
	User       string   `json:"user,omitempty"`
}

// session is an exec session that this process creates, starts, or both.
type session struct {
	e      *Room
	record *state.Record
	config *api.ContainerConfig // the container's
	cfg    *api.ExecConfig
	x      state.Exec
	init   spawn.Process
	warn   func(string)

	begun   bool   // the session is on disk
	reaping func() // called when the command has ended and still has its number; or nil
}

// open finds the container of a session and takes hold of its first process.
func (e *Room) openSession(ref string, cfg *api.ExecConfig, warn func(string)) (*session, error) {
	if len(cfg.Cmd) == 0 {
		return nil, fault.New(fault.Invalid, "no exec command specified")
	}
	if _, err := stdio.ParseDetachKeys(cfg.DetachKeys); err != nil {
		return nil, err
	}
	id, err := e.State.Find(ref)
	if err != nil {
		return nil, err
	}
	s := &session{e: e, cfg: cfg, warn: warn}
	if s.warn == nil {
		s.warn = func(string) {}
	}
	var st state.Status
	if s.record, st, err = e.Load(id); err != nil {
		return nil, err
	}
	if _, err := st.After(state.Enter); err != nil {
		return nil, err
	}
	if s.config, err = ground.Config(s.record); err != nil {
		return nil, err
	}
	s.init.Pid = s.record.Proc.Pid
	if s.init.Pidfd, err = s.record.Proc.Open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.init.Release() }

// create gives the session its id.
func (s *session) create() (err error) {
	s.x.ID, err = ground.NewID()
	s.x.Container, s.x.Init, s.x.Created = s.record.ID, s.record.Proc, ground.Now()
	s.x.Config = s.cfg.Append(make([]byte, 0, 256))
	return err
}

// command is the text that events have.
func (s *session) command() string { return strings.Join(s.cfg.Cmd, " ") }

func (s *session) note(action string, attrs ...string) {
	s.e.Note(action, s.record, append([]string{"execID", s.x.ID}, attrs...)...)
}

// put writes what has changed of the session.
func (s *session) put(x *state.Exec) error { return s.e.State.PutExec(s.x.Container, x) }

// Create prepares a command in a running container and returns the id of
// the session. A container that does not run, or is paused, is a Conflict.
func (e *Room) Create(ref string, cfg *api.ExecConfig) (string, error) {
	s, err := e.openSession(ref, cfg, nil)
	if err != nil {
		return "", err
	}
	defer s.close()
	if err := s.create(); err != nil {
		return "", err
	}
	if err := s.put(&s.x); err != nil {
		return "", err
	}
	s.note("exec_create: " + s.command())
	return s.x.ID, nil
}

// Exec runs a command in a running container and returns its exit code: 126
// when it cannot be executed, 127 when it is not there.
func (e *Room) Exec(ctx context.Context, ref string, cfg *api.ExecConfig, o *Options) (int, error) {
	s, err := e.openSession(ref, cfg, o.Warn)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if err := s.create(); err != nil {
		return 0, err
	}
	return s.start(ctx, o)
}

// Start starts a session that Create has prepared, waits for its end
// and returns its exit code.
func (e *Room) Start(ctx context.Context, id string, o *Options) (int, error) {
	s, err := e.findSession(id, o.Warn)
	if err != nil {
		return 0, err
	}
	defer s.close()
	return s.start(ctx, o)
}

func (s *session) start(ctx context.Context, o *Options) (int, error) {
	if leavable(s.cfg) {
		return s.viaKeeper(ctx, o)
	}
	return s.run(ctx, o, nil)
}

// findSession opens a session that was created and not started.
func (e *Room) findSession(id string, warn func(string)) (*session, error) {
	x, err := e.State.FindExec(id)
	if err != nil {
		return nil, err
	}
	if x.Proc.Pid != 0 || x.Exited {
		return nil, fault.New(fault.Conflict, "exec session %s has already run", x.ID)
	}
	cfg := &api.ExecConfig{}
	if err := api.ReadExecConfig(x.Config, cfg); err != nil {
		return nil, fault.New(fault.Internal, "exec session %s: damaged: %w", x.ID, err)
	}
	s, err := e.openSession(x.Container, cfg, warn)
	if err != nil {
		return nil, err
	}
	if s.record.Proc != x.Init {
		s.close() // it was stopped and started again
		return nil, ground.ErrNotRunning
	}
	s.x, s.begun = *x, true
	return s, nil
}

// running is a command that runs, with its streams; they are nil with a
// terminal.
type running struct {
	c     *container.Container
	files *stdio.Files
	pipes *stdio.Pipes
}

// run starts the command and waits for its end. A caller whose context ends
// leaves the command: it goes on, and its end is written down as long as this
// process is there.
func (s *session) run(ctx context.Context, o *Options, started func(*container.Container) error) (int, error) {
	r, code, err := s.begin(ctx, o, nil)
	if err != nil {
		return code, err
	}
	r.pipes.Started()
	r.files.Start()
	if started != nil {
		err = started(r.c)
	}
	return ground.Wait(ctx, func() (int, error) { return s.wait(r, err) })
}

// begin starts the command. Ready is called before the program runs, with the
// session on disk; it may be nil. On error nothing runs, and the code is the
// command's.
func (s *session) begin(ctx context.Context, o *Options, ready func(*container.Container) error) (_ *running, code int, err error) {
	x, err := s.compose()
	if err != nil {
		code, err = s.failed(err)
		return nil, code, err
	}
	r := &running{}
	defer func() {
		if err != nil {
			r.pipes.Close()
			_ = r.files.Close() // nothing was written
		}
	}()
	if !s.cfg.Tty {
		if r.files, r.pipes, err = s.connect(o, x); err != nil {
			code, err = s.failed(err)
			return nil, code, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if r.c, err = container.Exec(*x); err == nil {
		if err = s.starting(r.c); err == nil && ready != nil {
			err = ready(r.c)
		}
		if err != nil {
			r.c.Abandon()
		} else {
			err = r.c.Start()
		}
	}
	if err != nil {
		code, err = s.failed(err)
		return nil, code, err
	}
	s.note("exec_start: " + s.command())
	return r, 0, nil
}

// connect makes the command's streams of the caller's.
func (s *session) connect(o *Options, x *container.ExecConfig) (*stdio.Files, *stdio.Pipes, error) {
	files, err := o.Open()
	if err != nil {
		return nil, nil, err
	}
	pipes, err := stdio.ConnectApart(files.In, files.Out, files.Err)
	if err != nil {
		return files, nil, err
	}
	x.Stdin, x.Stdout, x.Stderr = pipes.FD[0], pipes.FD[1], pipes.FD[2]
	return files, pipes, s.give(pipes, x.Process.User.UID)
}

// wait waits for the end of the command, gives the caller all its output, and
// writes the end down. Err is what went wrong before.
func (s *session) wait(r *running, err error) (int, error) {
	if s.reaping != nil && r.c.Process.WaitEnd() == nil {
		s.reaping()
	}
	status, werr := r.c.Process.Wait()
	r.c.Process.Release()
	if r.pipes != nil {
		r.pipes.Drain()
	}
	if err := r.files.Close(); err != nil {
		s.warn("output was lost: " + err.Error())
	}
	if werr != nil {
		return exit.Engine, werr
	}
	s.ended(status.ExitCode(), "")
	return status.ExitCode(), err
}

// starting writes the session down while the child sets itself up: what runs
// is always listed.
func (s *session) starting(c *container.Container) (err error) {
	x := state.Exec{ID: s.x.ID}
	if !s.begun {
		x = s.x
		s.note("exec_create: " + s.command())
	}
	if x.Proc, err = state.Identify(c.Process.Pid); err != nil {
		return err
	}
	if x.Owner, err = state.Identify(unix.Getpid()); err != nil {
		return err
	}
	x.Started, s.begun = ground.Now(), true
	s.x.Proc = x.Proc
	return s.put(&x)
}

// failed notes that the command was not executed.
func (s *session) failed(err error) (int, error) {
	if fault.KindOf(err) == fault.Conflict {
		return 0, err // the container has ended, or is paused: nobody's fault
	}
	code := exit.NotExecutable
	if c := ground.ExitCode(err); c != exit.Engine {
		code = c
	}
	if s.begun {
		s.ended(code, err.Error())
	}
	return code, err
}

// ended writes the end down.
func (s *session) ended(code int, text string) {
	x := state.Exec{ID: s.x.ID, Exited: true, ExitCode: code, Error: text, Finished: ground.Now()}
	if err := s.put(&x); err != nil {
		s.warn(err.Error())
	}
	if text == "" {
		s.noteEnd(code)
	}
}

func (s *session) noteEnd(code int) { s.note("exec_die", "exitCode", strconv.Itoa(code)) }

// Inspect returns what is known of a session.
func (e *Room) Inspect(id string) (*Info, error) {
	x, err := e.State.FindExec(id)
	if err != nil {
		return nil, err
	}
	var cfg api.ExecConfig
	if err := api.ReadExecConfig(x.Config, &cfg); err != nil {
		return nil, fault.New(fault.Internal, "exec session %s: damaged: %w", x.ID, err)
	}
	keys, err := stdio.ParseDetachKeys(cfg.DetachKeys)
	if err != nil {
		return nil, err
	}
	i := &Info{
		ID: x.ID, ContainerID: x.Container, Running: x.Running(), DetachKeys: keys,
		OpenStdin: cfg.AttachStdin, OpenStdout: cfg.AttachStdout, OpenStderr: cfg.AttachStderr,
		ProcessConfig: Process{cfg.Tty, cfg.Cmd[0], cfg.Cmd[1:], cfg.Privileged, cfg.User},
	}
	switch {
	case i.Running:
		i.Pid = x.Proc.Pid
	case x.Exited:
		i.ExitCode = &x.ExitCode
	case x.Proc.Pid != 0:
		code := exit.NoCode // whoever waited for it was killed
		seen, ok, err := e.State.ExecEnd(x)
		if err != nil {
			return nil, err
		}
		if ok {
			code = seen.Code
		}
		i.ExitCode = &code
	}
	return i, nil
}

// IDs lists the sessions of a container's present run that have not
// ended, as inspect shows them.
func (e *Room) IDs(r *state.Record) ([]string, error) {
	list, err := e.State.Execs(r.ID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, x := range list {
		if x.Init == r.Proc && (x.Running() || x.Proc.Pid == 0 && !x.Exited) {
			ids = append(ids, x.ID)
		}
	}
	return ids, nil
}

// Check runs a command with its output on out, and kills it when its time is
// over: late says so. The error is Conflict for a container that does not run,
// or is paused.
func (e *Room) Check(ctx context.Context, ref string, cfg *api.ExecConfig, out *os.File, timeout time.Duration) (code int, late bool, err error) {
	s, err := e.openSession(ref, cfg, nil)
	if err != nil {
		return 0, false, err
	}
	defer s.close()
	if err := s.create(); err != nil {
		return 0, false, err
	}
	var k killer
	s.reaping = func() { k.release() }
	var timer *time.Timer
	unhook := func() bool { return true }
	// It is not left: a check that nobody waits for is killed.
	code, err = s.run(context.WithoutCancel(ctx), &Options{Streams: stdio.Streams{Out: out, Err: out}}, func(x *container.Container) error {
		k.hold(x.Process.Pid)
		timer = time.AfterFunc(timeout, func() { k.kill(true) })
		unhook = context.AfterFunc(ctx, func() { k.kill(false) })
		return nil
	})
	if timer != nil {
		timer.Stop()
	}
	unhook()
	late = k.release()
	if ctx.Err() != nil {
		return 0, false, ctx.Err()
	}
	return code, late, err
}

// killer kills a process with its session, so that what a check has started ends
// with it, until it is released: then the number may become another's.
type killer struct {
	mu   sync.Mutex
	pid  int // 0: none; our child, which has a session of its own and is not reaped
	late bool
}

func (k *killer) hold(pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pid = pid
}

func (k *killer) kill(late bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pid > 0 {
		k.late = k.late || late
		_ = unix.Kill(-k.pid, unix.SIGKILL)
	}
}

func (k *killer) release() (late bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pid = 0
	return k.late
}
