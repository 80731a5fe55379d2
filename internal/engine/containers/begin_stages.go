package containers

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"
)

// takeLock finds the container, or gives a new one its id, and keeps others
// from changing it until it runs.
func (s *start) takeLock(context.Context) (err error) {
	e, q := s.e, s.q
	if q.Config == nil {
		s.id, err = e.State.Find(q.Ref)
	} else {
		s.id, err = ground.NewID()
	}
	if err != nil {
		return err
	}
	if s.lock, err = e.State.Lock(s.id); err != nil {
		return err
	}
	if q.Config != nil {
		config := *q.Config // a made-up name goes into our copy
		s.config = &config
		return nil
	}
	if err := s.again(); err != nil {
		s.lock.Unlock()
		return err
	}
	return nil
}

// again reads a container that exists, and sees to the end of its last run.
func (s *start) again() error {
	e := s.e
	r, st, err := e.Load(s.id)
	if err != nil {
		return err
	}
	if _, err := st.After(state.Start); err != nil {
		return err
	}
	if st.Running() {
		return errRunsAlready
	}
	if err := s.takeOver(r, st); err != nil {
		return err
	}
	if st == state.Exited && r.Keeper.Pid != 0 {
		n := &ending{e: e, r: r, seen: r.Seen(), asked: true, warn: e.Warn} // what starts it is this command
		if _, err := n.walk(); err != nil {
			return err
		}
	}
	if s.config, err = ground.Config(r); err != nil {
		return err
	}
	s.config.Name = r.Name
	if !s.q.retry {
		r.Restarts = 0 // counted since somebody started it
	}
	old := *r
	s.old, s.record = &old, *r
	s.record.Warnings = nil // of this start
	return nil
}

// takeOver makes sure that nobody else looks after the run before: neither a keeper
// that still writes its log, nor one that waits to start it again. Who waits itself,
// and is not the one that the record names any more, starts nothing: the container
// was stopped, or started, meanwhile.
func (s *start) takeOver(r *state.Record, st state.Status) error {
	me, err := self()
	if err != nil {
		return err
	}
	switch {
	case s.q.retry && (st != state.Restarting || r.Keeper != me):
		return fault.New(fault.Conflict, "its policy has no say any more")
	case r.Keeper.Pid == 0 || r.Keeper == me:
		return nil
	case st == state.Restarting:
		return r.Keeper.Kill()
	}
	return s.e.keepers.Written(r.Keeper)
}

// errRunsAlready is as good as a start.
var errRunsAlready error = &fault.Error{Kind: fault.Exists, Text: "container is running"}

// giveUp ends the wait of a container whose policy could not start it: Docker
// gives up too, since what does not start now will not start then.
func (s *start) giveUp(err error) {
	if r := s.old; r != nil && !r.RestartAt.IsZero() && !s.stays {
		r.Unstarted(r.ExitCode, err.Error())
		s.undone(s.e.State.Put(r))
	}
	s.lock.Unlock()
}

// resolve finds what the configuration names, which nobody removes meanwhile.
func (s *start) resolve(ctx context.Context) (err error) {
	if s.lease, err = s.e.ImageStore.Lease(); err != nil {
		return err
	}
	if s.old != nil {
		s.resolved, s.image, err = s.e.resolved(s.old, s.config)
		s.record.Resolved = s.resolved // an older tare's record did not say
	} else {
		if s.config == nil { // planned
			if s.id, err = ground.NewID(); err != nil {
				return err
			}
			s.config = s.q.Config
		}
		s.resolved, s.image, err = s.e.resolve(ctx, s.config, !s.acts())
	}
	if err == nil && s.isForeground() && checkOf(s.config, s.imageConfig()) != nil {
		err = errNeedsKeeper
	}
	if err != nil {
		s.lease.Release()
	}
	return err
}

func (s *start) dropLease(error) { s.lease.Release() }

// imageConfig is the image's part of the configuration; nil with RootFS.
func (s *start) imageConfig() *api.ImageDefaults {
	if s.image == nil {
		return nil
	}
	return &s.image.Config
}

// check refuses what cannot be before anything is taken.
func (s *start) check(context.Context) error {
	c := s.config
	if err := compose.Check(c, &s.e.Host); err != nil {
		return err
	}
	if c.Healthcheck != nil {
		if err := checkHealthcheck(c.Healthcheck); err != nil {
			return err
		}
	}
	if lc := &c.HostConfig.LogConfig; s.isForeground() && lc.Type == "" && len(lc.Config) == 0 {
		return nil // nobody writes it
	}
	return s.resolveLog()
}

// prepareSandbox prepares what the container shares with nobody but those who
// join it.
func (s *start) prepareSandbox(ctx context.Context) (err error) {
	w := &ground.SandboxWant{
		ID: s.id, Config: s.config, Resolved: s.resolved, Preview: !s.acts(), Runs: s.runs(), Again: s.old != nil && s.old.Proc.Pid != 0,
	}
	if s.old != nil && s.old.Network != nil {
		w.Addresses = s.old.Network.Addresses
	}
	if s.sandbox, err = s.e.Sandboxes.Prepare(ctx, w); err != nil {
		return err
	}
	if n := s.sandbox.Net; n != nil && (n.Links || len(n.Addresses) > 0) {
		s.record.Network = &state.Network{Addresses: n.Addresses}
	}
	return nil
}

// releaseSandbox takes it back. A container that was made and does not run has
// no address.
func (s *start) releaseSandbox(error) {
	s.sandbox.Drop()
	s.sandbox.Close()
	s.undone(s.sandbox.Release())
	if s.runs() {
		s.undone(s.e.Sandboxes.Leave(&state.Record{ID: s.id, Sandboxes: s.sandbox.Owners}, s.config))
	}
}

// compose computes the specification, and what the runtime makes of it.
func (s *start) compose(context.Context) error {
	e, c := s.e, s.config
	in, err := e.gather(s)
	if err != nil {
		return err
	}
	f := e.CachedFilter(in)
	in.Filtered = f.Prog != nil
	if s.comp, err = compose.Compose(in); err != nil {
		return err
	}
	for _, w := range s.comp.Warnings {
		s.warned(w)
	}
	root, err := e.rootMount(s.id, c, s.image)
	if err != nil {
		return err
	}
	layout, err := e.Layout()
	if err != nil {
		return err
	}
	_, hasUserNS := oci.HasNamespace(s.comp.Spec, specs.UserNamespace)
	s.box = container.Config{
		Spec: s.comp.Spec, Root: root, RootTarget: e.Root, IdmapRoot: hasUserNS, NetNS: s.sandbox.NetNS, Gates: s.sandbox.Gates,
		Stdin: -1, Stdout: -1, Stderr: -1, PreserveFDs: in.Passed.FDs, Layout: layout, OOMGroup: true,
		Optional: optional(c), Facts: e.Host, After: e.After, Warn: s.warned, IsDir: isDir(s.comp),
		DeviceSource: func(p string) string { return ground.DeviceSource(c.HostConfig.Devices, p) },
		Filter:       f.Prog, FilterFlags: f.Flags, Compiled: f.Keep,
	}
	for _, f := range s.comp.Files {
		s.box.Files = append(s.box.Files, container.File{Source: e.State.FileName(s.id, f.Name), Content: f.Content})
	}
	s.show("compose")
	return nil
}

// warned tells of what could not be given, unless that was told when the
// container was made, and keeps it for the record.
func (s *start) warned(text string) {
	s.record.Warnings = append(s.record.Warnings, text)
	if s.old == nil || !slices.Contains(s.old.Warnings, text) {
		s.warn(text)
	}
}

// plan writes every system call with its operands.
func (s *start) plan(w io.Writer) error {
	for _, text := range s.comp.Warnings {
		if _, err := io.WriteString(w, "# warning: "+text+"\n"); err != nil {
			return err
		}
	}
	if s.image != nil && s.image.Unmade != nil {
		if _, err := io.WriteString(w, "# the image is not in the store yet: a start makes it, and a layer with a name\n"); err != nil {
			return err
		}
	}
	s.box.Compiled = nil // what is compiled for a plan is not kept
	p, err := container.Compile(s.box)
	if err != nil {
		return err
	}
	s.show("plan")
	return p.Format(w)
}

// note writes down that a start is under way.
func (s *start) note(context.Context) (err error) {
	c := s.config
	s.pending, err = s.e.State.Begin(state.Pending{
		ID: s.id, Name: c.Name, Cgroup: compose.CgroupPath(c, s.id, ground.CgroupParent), Remove: c.HostConfig.AutoRemove, Kept: s.old != nil,
	})
	return err
}

func (s *start) unnote(error) { s.endNote() }

// endNote gives back the slot, or leaves it to the next command to take away
// what could not be taken back. A container that stays is not among that.
func (s *start) endNote() {
	if s.left && (!s.stays || s.pending.Keep() == nil) {
		s.pending.Leave()
		return
	}
	s.pending.End()
}

// reserve takes the container's name, or the one that follows from the id.
func (s *start) reserve(context.Context) error {
	if s.config.Name != "" {
		return s.e.State.Reserve(s.config.Name, s.id)
	}
	s.config.Name = ground.MadeUpName(s.id)
	return nil
}

func (s *start) free(error) {
	if !s.stays {
		s.undone(s.e.State.Free(s.config.Name, s.id))
	}
}

// makeLayer makes the writable layer, or readies the one that there is.
func (s *start) makeLayer(context.Context) error {
	if s.old != nil {
		return s.e.Snapshots.Again(s.id)
	}
	p, l := parentOf(s.image), s.comp.Spec.Linux
	p.UID, p.GID = ground.HostID(l.UIDMappings, p.UID), ground.HostID(l.GIDMappings, p.GID)
	_, err := s.e.Snapshots.Prepare(s.id, p, s.config.HostConfig.AutoRemove)
	return err
}

func (s *start) removeLayer(error) {
	if s.old == nil && !s.stays {
		s.undone(s.e.Snapshots.Remove(s.id))
	}
}

// makeVolumes makes the sources of its binds that are missing, and its
// anonymous volumes.
func (s *start) makeVolumes(ctx context.Context) error {
	for _, dir := range s.comp.Dirs {
		if _, err := os.Stat(dir); err == nil {
			continue // a file is a bind source too
		}
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a bind source, as Docker makes it
			return fault.New(fault.KindOf(err), "make bind source %s: %w", dir, errors.Unwrap(err))
		}
	}
	err := s.e.Volumes.Make(ctx, &ground.VolumeWant{
		ID: s.id, Image: s.image, IDs: s.comp.Spec.Linux, Volumes: s.comp.Volumes,
	})
	if err != nil {
		s.removeVolumes(err)
	}
	return err
}

// removeVolumes removes the anonymous volumes of a new container, in which
// nobody has written. A directory on the host stays, as in Docker.
func (s *start) removeVolumes(error) {
	if s.old == nil && !s.stays && len(s.comp.Volumes) > 0 {
		s.undone(s.e.Volumes.Remove(s.id))
	}
}

func (s *start) connect(context.Context) error { return s.holder.connect(s) }

// disconnect closes what connect has made, and removes what a keeper would have
// looked after.
func (s *start) disconnect(error) {
	s.holder.disconnect()
	if !s.isForeground() {
		s.undone(s.e.State.RemoveLive(s.id))
	}
}

// makeBox makes the container up to its start gate: what runs is on disk before
// its program does anything.
func (s *start) makeBox(context.Context) (err error) {
	recorded := false
	s.container, err = container.Make(s.box, func(c *container.Container) error {
		s.show("clone")
		proc, err := state.Identify(c.Process.Pid)
		if err != nil {
			return err
		}
		s.e.Reached("created")
		if err := s.write(proc); err != nil {
			return err
		}
		recorded = true
		s.show("recorded")
		return s.sandbox.Enter(proc)
	})
	if err != nil && recorded {
		s.unrecord(err)
	}
	return err
}

func (s *start) dropBox(err error) {
	if s.container != nil {
		s.container.Abandon()
	}
	s.unrecord(err)
}

func (s *start) recordCreated(context.Context) error { return s.write(state.Proc{}) }

// write writes the record of a container whose first process is proc; without
// one it is not started.
func (s *start) write(proc state.Proc) (err error) {
	r, cgroup := &s.record, s.comp.Spec.Linux.CgroupsPath
	r.PIDOf, r.Sandboxes = s.sandbox.PIDOf, s.sandbox.Owners
	if s.holder != nil {
		if r.Keeper, err = s.holder.keeper(); err != nil {
			return err
		}
	}
	if r.Keeper.Pid != 0 {
		r.Health = firstHealth(s.config, s.imageConfig())
	}
	if s.old != nil {
		r.Begin(proc, cgroup, ground.Now())
		return s.e.State.Put(r)
	}
	s.describe()
	r.Cgroup = cgroup
	if proc.Pid != 0 {
		r.Begin(proc, cgroup, r.Created)
	}
	if err := s.e.State.Create(r); err != nil {
		return err
	}
	s.e.Note("create", r)
	if s.q.Created == nil {
		return nil
	}
	if err := s.q.Created(s.id); err != nil {
		s.undone(s.e.State.Delete(s.id, s.config.Name, r.Remove))
		return err
	}
	return nil
}

// describe fills in what the record of a new container says of it.
func (s *start) describe() {
	r, c := &s.record, s.config
	r.ID, r.Name, r.Image, r.Created = s.id, c.Name, c.Image, ground.Now()
	r.Command, r.Labels, r.Remove = compose.Command(&c.Config, s.imageConfig()), c.Labels, c.HostConfig.AutoRemove
	r.Resolved = s.resolved
	if c.RootFS != "" {
		r.Image = c.RootFS
	} else {
		r.ImageID = s.image.ID
	}
	r.Config = c.Append(make([]byte, 0, 4096))
}

// unrecord takes the record back, or gives a container that could not be started
// again the one that it had. One that stays says why it does not run.
func (s *start) unrecord(err error) {
	e := s.e
	switch r := s.old; {
	case r != nil:
		r.Keeper = state.Proc{}
		if s.stays {
			r.Unstarted(ground.ExitCode(err), err.Error())
		}
		s.undone(e.putAway(r))
	case s.stays:
		r := &s.record
		r.Proc, r.Started = state.Proc{}, time.Time{}
		r.Unstarted(ground.ExitCode(err), err.Error())
		s.undone(e.putAway(r))
	default:
		s.undone(e.State.Delete(s.id, s.config.Name, s.record.Remove))
	}
}

// open lets the program run. A container whose program could not be executed is
// kept, unless it is --rm: as Docker, which shows it as created.
func (s *start) open(context.Context) error {
	told := len(s.record.Warnings)
	err := s.holder.open(s)
	if err != nil {
		s.container = nil // nothing is left of it
		s.stays = s.old != nil || !s.config.HostConfig.AutoRemove && ground.ExitCode(err) != exit.Engine
		return err
	}
	s.pending.MarkStarted()
	if s.q.Attach != nil {
		s.e.Note("attach", &s.record)
	}
	s.e.Note("start", &s.record)
	if len(s.record.Warnings) > told {
		_ = s.e.State.Put(&s.record) // nothing of it is worth a container that runs
	}
	return nil
}

// leave completes a container that was created and is not started: it has no
// network until it is.
func (s *start) leave() error {
	s.stays = true
	s.releaseSandbox(nil)
	err := s.e.Snapshots.Tidy(s.id)
	s.endNote()
	s.lock.Unlock()
	if !s.config.HostConfig.AutoRemove {
		err = errors.Join(err, s.e.State.Sync(s.id))
	}
	return err
}

// optional says which resources this container can do without: those that
// nobody named on the command line.
func optional(c *api.ContainerConfig) func(string) bool {
	r := &c.HostConfig.Resources
	return func(resource string) bool {
		switch resource {
		case "devices":
			return len(r.DeviceCgroupRules) == 0 && len(r.Devices) == 0
		case "memory.swap":
			return r.MemorySwap == 0
		case "memory.oom.group", "memory.oomGroup":
			return true
		default:
			return false
		}
	}
}

// touchImage notes that the container's image was used.
func (s *start) touchImage() {
	if s.image != nil {
		s.e.ImageStore.Touch(s.image.ID)
	}
}
