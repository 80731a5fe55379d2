package engine

import (
	"context"
	"errors"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor/wire"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// Create makes a container that is not started, and returns its ID.
func (cs *Containers) Create(ctx context.Context, cfg *ContainerConfig, o *RunOptions) (string, error) {
	e := cs.e
	config := *cfg
	c := &config
	id, err := newID()
	if err != nil {
		return "", err
	}
	lease, err := e.images.Lease()
	if err != nil {
		return "", err
	}
	defer lease.Release()
	d, err := e.draft(ctx, id, c)
	if err != nil {
		return "", err
	}
	if _, err := e.resolveLog(id, c.Name, c.Image, "", c); err != nil {
		return "", err
	}
	for _, w := range d.composed.Warnings {
		if o.Warn != nil {
			o.Warn(w)
		}
	}
	r := &run{e: e, d: d, o: o}
	if err := r.begin(); err != nil {
		return "", err
	}
	if err = r.reserve(); err == nil {
		err = r.record1(state.Proc{})
	}
	if err != nil {
		r.undo()
		return "", err
	}
	err = e.snapshots.Tidy(id)
	r.pending.End()
	if !c.HostConfig.AutoRemove {
		err = errors.Join(err, e.state.Sync(id))
	}
	return id, err
}

// StartKept is the starter's part of a start: it creates and starts the
// container of cfg, or with a nil cfg starts the one of id, tells the caller
// over the socket report, and becomes its keeper. It returns only on error,
// which the caller has been told of. want is what the caller attaches to; fds
// is how many descriptors from 3 on are for the container.
func (cs *Containers) StartKept(ctx context.Context, cfg *ContainerConfig, id string, report, want, fds int, warn func(string)) error {
	e := cs.e
	k := newKept(e, report, want)
	k.fds = fds
	err := e.startKept(ctx, k, cfg, id, warn)
	if err != nil {
		f := wire.Failure{Code: exitCode(err), Kind: uint8(fault.KindOf(err)), Hint: fault.HintOf(err), Text: err.Error()}
		k.tell(wire.Failed, f.Append(nil))
	}
	return err
}

func (e *Engine) startKept(ctx context.Context, k *kept, cfg *ContainerConfig, id string, warn func(string)) error {
	if _, err := e.keeperPath(); err != nil {
		return err
	}
	if err := e.harden(); err != nil {
		return err
	}
	o := &RunOptions{Warn: warn}
	if cfg == nil {
		return e.startAgain(ctx, k, id, o)
	}
	o.Created = func(id string) error {
		k.tell(wire.Made, []byte(id))
		return nil
	}
	var err error
	if id, err = newID(); err != nil {
		return err
	}
	lease, err := e.images.Lease()
	if err != nil {
		return err
	}
	defer lease.Release()
	var netns *tareruntime.NetNS
	if plainNetwork(cfg) && !e.host.UserNS {
		netns = tareruntime.NewNetNS()
		defer netns.Close()
	}
	lock, err := e.state.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	d, err := e.draft(ctx, id, cfg)
	if err != nil {
		return err
	}
	d.runtime.NetNS = netns
	r := &run{e: e, d: d, o: o, kept: k}
	if err := r.create(); err != nil {
		return err
	}
	lease.Release() // the old image cannot go while we hold it
	e.dropOldBase()
	return r.keep(lock)
}

// startAgain starts a container that exists.
func (e *Engine) startAgain(ctx context.Context, k *kept, id string, o *RunOptions) error {
	lock, err := e.state.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	rec, st, err := e.load(id)
	if err != nil {
		return err
	}
	if _, err := st.After(state.Start); err != nil {
		return err
	}
	if st.Running() {
		return fault.New(fault.Exists, "container is running") // as good as started
	}
	if st == state.Exited && rec.Monitor.Pid != 0 {
		rec.StopRequested = true // what starts it is this command
		if _, err := e.settle(rec, state.Proc{}); err != nil {
			return err
		}
	}
	r, err := e.prepareAgain(ctx, k, rec, o)
	if err == nil {
		err = r.create()
	}
	if err != nil {
		if st == state.Restarting {
			// Docker gives up too: what does not start now will not start then.
			rec.RestartAt, rec.Monitor, rec.Error = time.Time{}, state.Proc{}, err.Error()
			err = errors.Join(err, e.state.Put(rec))
		}
		return err
	}
	return r.keep(lock)
}

func (e *Engine) prepareAgain(ctx context.Context, k *kept, rec *state.Record, o *RunOptions) (*run, error) {
	c, err := decodeConfig(rec)
	if err != nil {
		return nil, err
	}
	c.Name = rec.Name
	d, err := e.draft(ctx, rec.ID, c)
	if err != nil {
		return nil, err
	}
	if d.image != nil {
		if err := e.snapshots.Again(rec.ID); err != nil {
			return nil, err
		}
	}
	return &run{e: e, d: d, o: o, kept: k, record: *rec, again: true}, nil
}

// keep lets the program run and becomes its keeper. It returns only on error.
func (r *run) keep(lock *state.Lock) error {
	e, k := r.e, r.kept
	if err := r.start(); err != nil {
		return err
	}
	w := &k.keeper
	w.Pidfd, w.Child = r.container.Process.Pidfd, true
	if r.container.Console != nil {
		fd, err := unix.FcntlInt(r.container.Console.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return err
		}
		w.Pty = fd
	}
	k.describe(&r.record, r.d.config, r.d.imageConfig())
	r.pending.End()
	k.tell(wire.Started, []byte(r.record.ID))
	lock.Unlock()
	// Nothing of it is worth a container that runs without a keeper.
	e.touchImage(&r.record)
	if err := e.snapshots.Tidy(r.d.id); err != nil && r.o.Warn != nil {
		r.o.Warn(err.Error())
	}
	return k.become()
}

// connectKept gives the container fifos that its keeper reads.
func (r *run) connectKept() error {
	spec := r.d.composed.Spec
	uid := hostID(spec.Linux.UIDMappings, spec.Process.User.UID)
	if err := r.kept.open(r.d.id, r.d.config, int(uid)); err != nil {
		return err
	}
	imageID := ""
	if r.d.image != nil {
		imageID = r.d.image.ID
	}
	c := r.d.config
	log, err := r.e.resolveLog(r.d.id, c.Name, c.Image, imageID, c)
	if err != nil {
		return err
	}
	r.kept.logTo(&log)
	if err := r.kept.notifies(r.d, int(uid)); err != nil {
		r.kept.close()
		return err
	}
	r.d.passFDs(r.kept.fds)
	rt := &r.d.runtime
	rt.Stdin, rt.Stdout, rt.Stderr = r.kept.ends[0], r.kept.ends[1], r.kept.ends[2]
	return nil
}
