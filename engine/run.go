package engine

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/spec"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// Run creates and starts a container, waits for it and returns its exit code.
// When it never ran, the code is 125, 126 or 127 and the error says why.
func (cs *Containers) Run(ctx context.Context, cfg *ContainerConfig, o *RunOptions) (int, error) {
	e := cs.e
	config := *cfg // a made-up name goes into our copy
	c := &config
	if err := e.harden(); err != nil {
		return ExitEngine, err
	}
	id, err := newID()
	if err != nil {
		return ExitEngine, err
	}
	lease, err := e.images.Lease()
	if err != nil {
		return ExitEngine, err
	}
	defer lease.Release()
	var netns *tareruntime.NetNS
	if plainNetwork(c) && !e.host.UserNS {
		netns = tareruntime.NewNetNS()
		defer netns.Close()
	}
	d, err := e.draft(ctx, id, c)
	if err != nil {
		return ExitEngine, err
	}
	if checkOf(c, d.imageConfig()) != nil {
		return ExitEngine, ErrNeedsKeeper
	}
	d.runtime.NetNS = netns
	d.passFDs(listenFDs())
	warn := func(text string) {
		if o.Warn != nil {
			o.Warn(text)
		}
	}
	for _, w := range d.composed.Warnings {
		warn(w)
	}
	d.runtime.Warn = warn

	r := &run{e: e, d: d, o: o}
	if err := r.create(); err != nil {
		return exitCode(err), err
	}
	lease.Release()
	e.dropOldBase()
	if err := r.start(); err != nil {
		return exitCode(err), err
	}
	return r.finish()
}

// ErrNeedsKeeper says that the container has a health check, which is a
// keeper's to do: see [Containers.Launch]. Nothing has been made.
var ErrNeedsKeeper error = &fault.Error{Kind: fault.Unsupported, Text: "a container with a health check needs a monitor"}

// plainNetwork reports whether the container will have a new network namespace
// that belongs to the engine's user namespace.
func plainNetwork(c *ContainerConfig) bool {
	h := &c.HostConfig
	return (h.NetworkMode == "" || h.NetworkMode == "none") && (h.UsernsMode == "" || h.UsernsMode == "host")
}

// exitCode is Docker's: 127 and 126 for the container's program, 125 for
// everything else.
func exitCode(err error) int {
	var ee *tareruntime.ExecError
	switch {
	case !errors.As(err, &ee):
		return ExitEngine
	case ee.NotFound():
		return ExitNotFound
	default:
		return ExitNotExecutable
	}
}

// run is one foreground run.
type run struct {
	e *Engine
	d *draft
	o *RunOptions

	kept  *kept // nil: in the foreground of this process
	again bool  // the container exists already

	pending   *state.Pending
	record    state.Record
	old       *state.Record // what it was before it was started again
	streams   *monitor.Streams
	container *tareruntime.Container
	terminal  *monitor.Terminal
	signals   *monitor.Signals
}

// create makes the container up to its start gate. On error nothing is left
// that was not there before.
func (r *run) create() (err error) {
	e := r.e
	if err := r.begin(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.undo()
		}
	}()
	if !r.again {
		if err := r.reserve(); err != nil {
			return err
		}
	}
	if err := r.connect(); err != nil {
		return err
	}
	if r.container, err = tareruntime.Create(r.d.runtime); err != nil {
		r.disconnect()
		return err
	}
	e.reached("created")
	if err := r.put(); err != nil {
		r.disconnect()
		r.container.Abandon()
		return err
	}
	e.reached("recorded")
	return nil
}

// begin notes that a start is under way.
func (r *run) begin() (err error) {
	c := r.d.config
	r.pending, err = r.e.state.Begin(state.Pending{
		ID: r.d.id, Name: c.Name, Cgroup: r.d.composed.Spec.Linux.CgroupsPath, Remove: c.HostConfig.AutoRemove, Kept: r.again,
	})
	if err == nil {
		r.e.reached("pending")
	}
	return err
}

// reserve takes the container's name and makes its writable layer.
func (r *run) reserve() error {
	if err := r.e.name(r.d.config, r.d.id); err != nil {
		return err
	}
	r.e.reached("name")
	if err := r.e.make(r.d); err != nil {
		return err
	}
	r.e.reached("make")
	return nil
}

// undo removes what a start that failed has made. What it cannot remove is
// left to the next command, and is not the reason of the failure.
func (r *run) undo() {
	c := r.d.config
	var err error
	if r.again {
		err = r.restore()
	} else {
		err = errors.Join(r.e.discard(r.d.id, c.Name, c.HostConfig.AutoRemove), os.RemoveAll(r.e.volumesDir(r.d.id)))
	}
	if err != nil {
		r.pending.Leave()
		if r.o.Warn != nil {
			r.o.Warn("clean up: " + err.Error())
		}
		return
	}
	r.pending.End()
}

// restore gives a container that could not be started again the record that
// it had.
func (r *run) restore() error {
	if r.old == nil {
		return r.e.state.RemoveLive(r.d.id)
	}
	return r.e.putAway(r.old)
}

// disconnect closes what connect has made.
func (r *run) disconnect() {
	if r.streams != nil {
		r.streams.Close()
	}
	if r.kept != nil {
		r.kept.close()
	}
}

func (r *run) connect() (err error) {
	if r.kept != nil {
		return r.connectKept()
	}
	if r.d.config.Tty {
		return nil
	}
	r.streams, err = monitor.Connect(r.o.In, r.o.Out, r.o.Err)
	if err != nil {
		return err
	}
	spec := r.d.composed.Spec
	if uid := hostID(spec.Linux.UIDMappings, spec.Process.User.UID); uid != 0 {
		if err := r.streams.Give(int(uid)); err != nil {
			r.streams.Close()
			return err
		}
	}
	r.d.runtime.Stdin, r.d.runtime.Stdout, r.d.runtime.Stderr = r.streams.FD[0], r.streams.FD[1], r.streams.FD[2]
	return nil
}

// put writes the record while the child sets itself up: the container is on
// disk before its program runs.
func (r *run) put() error {
	proc, err := state.Identify(r.container.Process.Pid)
	if err != nil {
		return err
	}
	if !r.again {
		return r.record1(proc)
	}
	if r.record.Monitor, err = self(); err != nil {
		return err
	}
	old := r.record
	r.old = &old
	r.old.Monitor = state.Proc{}
	rec := &r.record
	rec.Proc, rec.Started, rec.Cgroup = proc, now(), r.d.composed.Spec.Linux.CgroupsPath
	rec.Exited, rec.StopRequested, rec.OOM, rec.Paused, rec.Error, rec.Cause = false, false, false, false, "", ""
	rec.RestartAt, rec.Health, rec.Receipt = time.Time{}, firstHealth(r.d.config, r.d.imageConfig()), nil
	return r.e.state.Put(rec)
}

// record1 writes the first record. A container that is not started has no
// process.
func (r *run) record1(proc state.Proc) error {
	d, c := r.d, r.d.config
	t := now()
	r.record = state.Record{
		ID: d.id, Name: c.Name, Image: c.Image, Command: d.command(),
		Created: t, Labels: c.Labels, Remove: c.HostConfig.AutoRemove,
		Cgroup: d.composed.Spec.Linux.CgroupsPath, Proc: proc,
	}
	if proc.Pid != 0 {
		r.record.Started = t
	}
	if r.kept != nil {
		var err error
		if r.record.Monitor, err = self(); err != nil {
			return err
		}
		r.record.Health = firstHealth(c, d.imageConfig())
	}
	if c.RootFS != "" {
		r.record.Image = c.RootFS
	} else {
		r.record.ImageID = d.image.ID
	}
	r.record.Config = appendContainerConfig(make([]byte, 0, 4096), c)
	if err := r.e.state.Create(&r.record); err != nil {
		return err
	}
	r.e.note("create", &r.record)
	if r.o.Created != nil {
		return r.o.Created(d.id)
	}
	return nil
}

// command is what the container was asked to run, without the --init in front
// of it.
func (d *draft) command() []string {
	if d.image == nil {
		return Command(&d.config.Config, nil)
	}
	return Command(&d.config.Config, &d.image.Config)
}

// start lets the program run.
func (r *run) start() (err error) {
	e := r.e
	if r.kept == nil {
		err = r.watch()
	} else {
		err = r.container.Start()
		r.kept.closeEnds()
	}
	if err != nil {
		r.disconnect()
		return r.failed(err)
	}
	r.pending.MarkStarted()
	if r.kept == nil || r.kept.want != 0 {
		e.note("attach", &r.record)
	}
	e.note("start", &r.record)
	e.reached("started")
	if r.streams != nil {
		r.streams.Started()
	}
	if r.terminal != nil {
		r.terminal.Start()
	}
	return nil
}

// watch starts the program in the foreground of this process.
func (r *run) watch() (err error) {
	c := r.d.config
	if r.signals, err = monitor.Catch(r.o.SigProxy, c.Tty); err != nil {
		r.container.Abandon()
		return err
	}
	if c.Tty {
		size := c.HostConfig.ConsoleSize
		r.terminal, err = monitor.OpenTerminal(r.container.Console, r.o.In, r.o.Out, uint16(size[0]), uint16(size[1]))
		if err != nil {
			r.container.Abandon()
			return err
		}
	}
	err = r.container.Start()
	if err != nil && r.terminal != nil {
		r.terminal.Finish()
	}
	return err
}

// failed keeps a container whose program could not be executed, unless it is
// --rm: as Docker, which shows it as created.
func (r *run) failed(err error) error {
	c := r.d.config
	if !r.again && (c.HostConfig.AutoRemove || exitCode(err) == ExitEngine) {
		r.undo()
		return err
	}
	rec := &r.record
	if r.again {
		rec = r.old
	} else {
		rec.Proc, rec.Started = state.Proc{}, time.Time{}
	}
	rec.Monitor, rec.RestartAt = state.Proc{}, time.Time{}
	rec.ExitCode, rec.Error = exitCode(err), err.Error()
	perr := r.e.putAway(rec)
	if perr != nil && r.o.Warn != nil {
		r.o.Warn(perr.Error())
	}
	r.pending.End()
	return err
}

// finish waits for the end and cleans up.
func (r *run) finish() (int, error) {
	e, c := r.e, r.d.config
	// What can wait is done while the container works.
	err := e.snapshots.Tidy(r.d.id)
	e.touchImage(&r.record)
	// Whoever looks after this process was killed finds the slot, and cleans
	// up when the container has ended.
	defer r.pending.End()
	if !c.HostConfig.AutoRemove {
		err = errors.Join(err, e.state.Sync(r.d.id))
	}
	status, werr := r.signals.Wait(r.container.Process, r.terminal)
	r.killRest()
	if r.terminal != nil {
		r.terminal.Finish()
	}
	if r.streams != nil {
		r.streams.Wait()
		if oerr := r.streams.Err(); oerr != nil {
			err = errors.Join(err, fault.New(fault.KindOf(oerr), "output was lost: %w", oerr))
		}
	}
	if werr != nil {
		return ExitEngine, werr
	}
	r.container.Process.Release()
	r.record.Exited, r.record.Finished, r.record.ExitCode = true, now(), status.ExitCode()
	if status.Signal == unix.SIGKILL && r.container.Group != nil {
		if n, oerr := r.container.Group.OOMKills(); oerr == nil {
			r.record.OOM = n > 0
		}
	}
	if c.ReceiptFile != "" {
		r.record.ExitSignal = int(status.Signal)
		err = errors.Join(err, e.writeReceipt(&r.record, c, r.container.Group))
	}
	e.noteEnd(&r.record)
	// The program has run: its exit code is the answer, whatever else happens.
	for _, e := range []error{err, r.end()} {
		if e != nil && r.o.Warn != nil {
			r.o.Warn(e.Error())
		}
	}
	return status.ExitCode(), nil
}

// killRest ends what outlives the first process: with a pid namespace of its
// own nothing does. The rest would hold the streams, and the cgroup.
func (r *run) killRest() {
	if path, own := spec.HasNamespace(r.d.composed.Spec, specs.PIDNamespace); own && path == "" {
		return
	}
	if g := r.container.Group; g != nil {
		_ = g.Kill(removeTimeout) // what remains is reported when the cgroup goes
	}
}

// end removes what a stopped container does not need: its cgroup, and with
// --rm everything.
func (r *run) end() error {
	var errs []error
	if g := r.container.Group; g != nil {
		errs = append(errs, g.Remove(removeTimeout))
		g.Close()
	}
	if r.record.Remove {
		errs = append(errs, r.removeOwn())
	} else {
		errs = append(errs, r.e.state.Put(&r.record))
	}
	return errors.Join(errs...)
}

// removeOwn removes the container, unless somebody has done so, under the name
// that it has by now.
func (r *run) removeOwn() error {
	lock, err := r.e.state.Lock(r.record.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	there, err := r.e.state.Renamed(&r.record)
	if err != nil || !there {
		return err
	}
	return r.e.remove(&r.record)
}

// reached tells crash tests how far a start has come.
func (e *Engine) reached(where string) {
	if e.after != nil {
		e.after(where)
	}
}
