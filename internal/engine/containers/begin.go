package containers

import (
	"context"
	"errors"
	"io"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Until says how far a container is begun.
type Until uint8

// The places to stop at.
const (
	Running Until = iota // its program has been executed
	Created              // it exists, and is not started
	Planned              // every system call is known, and nothing has been done
)

// Request asks for a container to be begun.
type Request struct {
	// Config is what a new container is to be; nil begins the one of Ref.
	Config *api.ContainerConfig
	Ref    string // name, ID or unique ID prefix of one that exists
	Until  Until

	Attach *AttachOptions // who stays with it to its end; nil: nobody
	Plan   io.Writer      // gets the plan, with Planned

	// Created is called with the full ID once a new container exists. Its error
	// stops the start and removes the container where this process holds it; with
	// a keeper, which does not wait for it, it is a warning. May be nil.
	Created func(id string) error
	// Warn is called with one line for each thing that was asked for as a
	// default and cannot be given. May be nil.
	Warn func(msg string)

	// Passed is how many descriptors from 3 on are for the container.
	Passed int
	// retry says that its restart policy starts it, and nobody else.
	retry bool
}

// start is a container on its way into being. Its stages fill it in.
type start struct {
	e      *Room
	q      *Request
	holder holder // who looks after it; nil where nothing is started

	id       string
	config   *api.ContainerConfig
	old      *state.Record // of a container that exists; nil for a new one
	lock     *state.Lock
	lease    *store.Lease
	resolved *state.Resolved
	image    *store.Image // nil with RootFS
	log      logs.Config  // for a keeper
	sandbox  *ground.Sandbox
	comp     *compose.Composition
	box      container.Config // what the container is made of
	pending  *state.Pending

	container *container.Container
	record    state.Record // as it is on disk

	stays bool // its program could not be executed: the container is kept all the same
	left  bool // something could not be undone: the next command tries
}

// holder is who looks after a container from its start to its end: the command
// in whose foreground it runs, or a keeper.
type holder interface {
	// connect makes what the container's standard streams are connected with.
	connect(*start) error
	// disconnect takes that back.
	disconnect()
	// open lets the program run. On error nothing is left of the process.
	open(*start) error
	// keeper is the process to note in the record; none: it is noted nowhere.
	keeper() (state.Proc, error)
}

// stage is one stage of a beginning. Do undoes what it has done itself when it
// fails; undo takes back a stage that was completed, when a later one fails.
type stage struct {
	name string
	used func(*start) bool
	do   func(*start, context.Context) error
	undo func(*start, error)
}

// beginning is the way from a configuration, or a container that exists, to a
// container that runs: for run, create, start, restart, a restart policy and
// boot. Up to compose everything is computed, and nothing is made but notes,
// leases and a namespace on a thread: that far goes --plan, which takes only the
// image's lease, while it reads. The crash tests loop over it.
var beginning = [...]stage{
	{"lock", (*start).acts, (*start).takeLock, (*start).giveUp},
	{"resolve", nil, (*start).resolve, (*start).dropLease},
	{"check", nil, (*start).check, nil},
	{"pending", (*start).acts, (*start).note, (*start).unnote},
	{"sandbox", nil, (*start).prepareSandbox, (*start).releaseSandbox},
	{"compose", nil, (*start).compose, nil},
	{"name", (*start).fresh, (*start).reserve, (*start).free},
	{"layer", (*start).layered, (*start).makeLayer, (*start).removeLayer},
	{"volumes", (*start).acts, (*start).makeVolumes, (*start).removeVolumes},
	{"streams", (*start).runs, (*start).connect, (*start).disconnect},
	{"record", (*start).rests, (*start).recordCreated, (*start).unrecord},
	{"box", (*start).runs, (*start).makeBox, (*start).dropBox},
	{"open", (*start).runs, (*start).open, nil},
}

func (s *start) acts() bool    { return s.q.Until != Planned }
func (s *start) runs() bool    { return s.q.Until == Running }
func (s *start) rests() bool   { return s.q.Until == Created }
func (s *start) fresh() bool   { return s.acts() && s.old == nil }
func (s *start) layered() bool { return s.acts() && s.image != nil }

// begin goes through the stages. On error nothing is left that was not there
// before, but for a container whose program could not be executed.
//
// A context that is cancelled before the program runs undoes the start.
func (s *start) begin(ctx context.Context) error {
	for i := range beginning {
		st := &beginning[i]
		if st.used != nil && !st.used(s) {
			continue
		}
		err := ctx.Err()
		if err == nil {
			err = st.do(s, ctx)
		}
		if err != nil {
			s.undo(i, err)
			return err
		}
		s.e.Reached(st.name)
	}
	s.sandbox.Drop()
	s.dropLease(nil)
	s.e.Images.DropOldBase()
	return nil
}

// undo takes back the stages before the one that failed, the last one first.
func (s *start) undo(failed int, err error) {
	for i := failed - 1; i >= 0; i-- {
		st := &beginning[i]
		if st.undo != nil && (st.used == nil || st.used(s)) {
			st.undo(s, err)
			s.e.Reached("undo " + st.name)
		}
	}
}

// undone notes whether a stage could be taken back. What could not is left to
// the next command, and is not the reason of the failure.
func (s *start) undone(err error) {
	if err != nil {
		s.left = true
		s.warn("clean up: " + err.Error())
	}
}

func (s *start) warn(text string) {
	if s.q.Warn != nil {
		s.q.Warn(text)
	}
}

// Begin begins a container as far as the request says. What it returns is the
// container that runs, or that was created.
func (e *Room) Begin(ctx context.Context, q *Request) (*Begun, error) {
	if q.Until != Running {
		s := &start{e: e, q: q}
		if err := s.begin(ctx); err != nil {
			return nil, err
		}
		b := &Begun{ID: s.id, e: e}
		if q.Until == Planned {
			defer s.sandbox.Close()
			return b, s.plan(q.Plan)
		}
		return b, s.leave()
	}
	if q.Config == nil {
		return e.start(ctx, q)
	}
	if err := e.startRequired(ctx, q.Config.Requires); err != nil {
		return nil, err
	}
	if q.needsKeeper() {
		return e.launch(ctx, q, q.Config.Tty)
	}
	b, err := e.foreground(ctx, q)
	if errors.Is(err, errNeedsKeeper) {
		return e.launch(ctx, q, q.Config.Tty)
	}
	return b, err
}

// needsKeeper reports whether somebody besides the caller has to look after
// the container: one that nothing is kept of, that no one leaves and that is
// not watched, is the caller's own.
func (q *Request) needsKeeper() bool {
	c := q.Config
	l := &c.HostConfig.LogConfig
	logs := l.Type != "" && l.Type != "none" || len(l.Config) > 0
	return q.Attach == nil || c.Tty || !c.HostConfig.AutoRemove || c.Timeout != 0 || logs || notifies(c)
}

// errNeedsKeeper says that the image brings a health check, which is a keeper's
// to do. Nothing has been made.
var errNeedsKeeper error = &fault.Error{Kind: fault.Unsupported, Text: "a container with a health check needs a keeper"}

// ownsProcesses reports whether nothing of a container outlives its first
// process.
func ownsProcesses(s *specs.Spec) bool {
	path, own := oci.HasNamespace(s, specs.PIDNamespace)
	return own && path == ""
}
