package engine

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// ExecConfig is a command for a running container, in the form of Docker's
// exec create request.
type ExecConfig struct {
	User         string   // user[:group]; empty is the container's
	Privileged   bool     // with all capabilities
	Tty          bool     // a terminal instead of three pipes
	ConsoleSize  [2]uint  // height, width
	AttachStdin  bool     //
	AttachStderr bool     //
	AttachStdout bool     //
	Detach       bool     // nobody waits for its end
	DetachKeys   string   // "ctrl-p,ctrl-q"; empty is that
	Env          []string // NAME=VALUE, added to the container's; NAME removes
	WorkingDir   string   // absolute; empty is the container's
	Cmd          []string //
}

// ExecOptions are the parts of an exec session that end with the caller.
type ExecOptions struct {
	Stdio
	Warn func(msg string) // as in RunOptions
}

// ExecInspect is what is known of an exec session, in Docker's form.
type ExecInspect struct {
	ID            string
	Running       bool
	ExitCode      *int // nil while it runs, or before the start
	ProcessConfig ExecProcess
	OpenStdin     bool
	OpenStderr    bool
	OpenStdout    bool
	CanRemove     bool
	ContainerID   string
	DetachKeys    []byte
	Pid           int // on the host, while it runs
}

// ExecProcess is the process of an exec session.
type ExecProcess struct {
	Tty        bool     `json:"tty"`
	Entrypoint string   `json:"entrypoint"`
	Arguments  []string `json:"arguments"`
	Privileged bool     `json:"privileged"`
	User       string   `json:"user,omitempty"`
}

// session is an exec session that this process creates, starts, or both.
type session struct {
	e      *Engine
	record *state.Record
	config *ContainerConfig // the container's
	cfg    *ExecConfig
	x      state.Exec
	init   spawn.Process
	warn   func(string)

	begun bool // the session is on disk
}

// open finds the container of a session and takes hold of its first process.
func (cs *Containers) openSession(ref string, cfg *ExecConfig, warn func(string)) (*session, error) {
	e := cs.e
	if err := e.harden(); err != nil {
		return nil, err
	}
	if len(cfg.Cmd) == 0 {
		return nil, fault.New(fault.Invalid, "no exec command specified")
	}
	if _, err := monitor.ParseDetachKeys(cfg.DetachKeys); err != nil {
		return nil, err
	}
	id, err := e.state.Find(ref)
	if err != nil {
		return nil, err
	}
	s := &session{e: e, cfg: cfg, warn: warn}
	if s.warn == nil {
		s.warn = func(string) {}
	}
	var st state.Status
	if s.record, st, err = e.load(id); err != nil {
		return nil, err
	}
	if _, err := st.After(state.Enter); err != nil {
		return nil, err
	}
	if s.config, err = decodeConfig(s.record); err != nil {
		return nil, err
	}
	s.init.Pid = s.record.Proc.Pid
	if s.init.Pidfd, err = s.record.Proc.Open(); err != nil {
		return nil, err
	}
	return s, nil
}

var errNotRunning = fault.New(fault.Conflict, "container is not running")

func (s *session) close() { s.init.Release() }

// create gives the session its id.
func (s *session) create() (err error) {
	s.x.ID, err = newID()
	s.x.Container, s.x.Init, s.x.Created = s.record.ID, s.record.Proc, now()
	s.x.Config = appendExecConfig(make([]byte, 0, 256), s.cfg)
	return err
}

// command is the text that events have.
func (s *session) command() string { return strings.Join(s.cfg.Cmd, " ") }

func (s *session) note(action string, attrs ...string) {
	s.e.note(action, s.record, append([]string{"execID", s.x.ID}, attrs...)...)
}

// put writes what has changed of the session.
func (s *session) put(x *state.Exec) error { return s.e.state.PutExec(s.record.ID, x) }

// ExecCreate prepares a command in a running container and returns the id of
// the session. A container that does not run, or is paused, is a Conflict.
func (cs *Containers) ExecCreate(_ context.Context, ref string, cfg *ExecConfig) (string, error) {
	s, err := cs.openSession(ref, cfg, nil)
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
func (cs *Containers) Exec(_ context.Context, ref string, cfg *ExecConfig, o *ExecOptions) (int, error) {
	s, err := cs.openSession(ref, cfg, o.Warn)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if err := s.create(); err != nil {
		return 0, err
	}
	if cfg.leavable() {
		return s.viaHelper(o)
	}
	return s.run(o, nil)
}

// ExecStart starts a session that ExecCreate has prepared, waits for its end
// and returns its exit code.
func (cs *Containers) ExecStart(_ context.Context, id string, o *ExecOptions) (int, error) {
	s, err := cs.findSession(id, o.Warn)
	if err != nil {
		return 0, err
	}
	defer s.close()
	return s.run(o, nil)
}

// findSession opens a session that was created and not started.
func (cs *Containers) findSession(id string, warn func(string)) (*session, error) {
	x, err := cs.e.state.FindExec(id)
	if err != nil {
		return nil, err
	}
	if x.Proc.Pid != 0 {
		return nil, fault.New(fault.Conflict, "exec session %s has already run", x.ID)
	}
	cfg := &ExecConfig{}
	if err := json.Unmarshal(x.Config, cfg); err != nil {
		return nil, fault.New(fault.Internal, "exec session %s: damaged: %w", x.ID, err)
	}
	s, err := cs.openSession(x.Container, cfg, warn)
	if err != nil {
		return nil, err
	}
	if s.record.Proc != x.Init {
		s.close() // it was stopped and started again
		return nil, errNotRunning
	}
	s.x, s.begun = *x, true
	return s, nil
}

// run starts the command and waits for its end.
func (s *session) run(o *ExecOptions, started func(*tareruntime.Container) error) (int, error) {
	x, err := s.compose()
	if err != nil {
		return s.failed(err)
	}
	var streams *monitor.Streams
	if !s.cfg.Tty {
		if streams, err = monitor.ConnectApart(o.In, o.Out, o.Err); err != nil {
			return s.failed(err)
		}
		if err := s.give(streams, x.Process.User.UID); err != nil {
			streams.Close()
			return s.failed(err)
		}
		x.Stdin, x.Stdout, x.Stderr = streams.FD[0], streams.FD[1], streams.FD[2]
	}
	c, err := tareruntime.Exec(*x)
	if err == nil {
		if err = s.starting(c); err != nil {
			c.Abandon()
		} else {
			err = c.Start()
		}
	}
	if err != nil {
		if streams != nil {
			streams.Close()
		}
		return s.failed(err)
	}
	s.note("exec_start: " + s.command())
	if streams != nil {
		streams.Started()
	}
	if started != nil {
		err = started(c)
	}
	status, werr := c.Process.Wait()
	c.Process.Release()
	if streams != nil {
		streams.Drain()
	}
	if werr != nil {
		return ExitEngine, werr
	}
	s.ended(status.ExitCode(), "")
	return status.ExitCode(), err
}

// starting writes the session down while the child sets itself up: what runs
// is always listed.
func (s *session) starting(c *tareruntime.Container) (err error) {
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
	x.Started, s.begun = now(), true
	return s.put(&x)
}

// failed notes that the command was not executed.
func (s *session) failed(err error) (int, error) {
	if fault.KindOf(err) == fault.Conflict {
		return 0, err // the container has ended, or is paused: nobody's fault
	}
	code := ExitNotExecutable
	if c := exitCode(err); c != ExitEngine {
		code = c
	}
	if s.begun {
		s.ended(code, err.Error())
	}
	return code, err
}

// ended writes the end down.
func (s *session) ended(code int, text string) {
	x := state.Exec{ID: s.x.ID, Exited: true, ExitCode: code, Error: text, Finished: now()}
	if err := s.put(&x); err != nil {
		s.warn(err.Error())
	}
	if text == "" {
		s.note("exec_die", "exitCode", strconv.Itoa(code))
	}
}

// ExecInspect returns what is known of a session.
func (cs *Containers) ExecInspect(_ context.Context, id string) (*ExecInspect, error) {
	x, err := cs.e.state.FindExec(id)
	if err != nil {
		return nil, err
	}
	var cfg ExecConfig
	if err := json.Unmarshal(x.Config, &cfg); err != nil {
		return nil, fault.New(fault.Internal, "exec session %s: damaged: %w", x.ID, err)
	}
	keys, err := monitor.ParseDetachKeys(cfg.DetachKeys)
	if err != nil {
		return nil, err
	}
	i := &ExecInspect{
		ID: x.ID, ContainerID: x.Container, Running: x.Running(), DetachKeys: keys,
		OpenStdin: cfg.AttachStdin, OpenStdout: cfg.AttachStdout, OpenStderr: cfg.AttachStderr,
		ProcessConfig: ExecProcess{cfg.Tty, cfg.Cmd[0], cfg.Cmd[1:], cfg.Privileged, cfg.User},
	}
	switch {
	case i.Running:
		i.Pid = x.Proc.Pid
	case x.Exited:
		i.ExitCode = &x.ExitCode
	case x.Proc.Pid != 0:
		unknown := -1 // whoever waited for it was killed
		i.ExitCode = &unknown
	}
	return i, nil
}

// ExecIDs lists the sessions of a container's present run that have not
// ended, as inspect shows them.
func (e *Engine) execIDs(r *state.Record) ([]string, error) {
	list, err := e.state.Execs(r.ID)
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
