package containers

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// LogOptions choose what [Containers.Logs] gives out, and where to.
type LogOptions struct {
	Tail       int       // lines from the end; negative is all
	Since      time.Time // zero is from the begin
	Until      time.Time // zero is to the end
	Timestamps bool      // each line begins with its time
	Details    bool      // each line begins with the attributes of --log-opt
	Follow     bool      // wait for more, until the container has ended
	Out, Err   io.Writer
	// Lost is called where output is missing because the log could not be
	// written. May be nil.
	Lost func(bytes uint64, at time.Time)
}

// Logs gives out what a container has written. The errors are NotFound, and
// Unsupported for a log that cannot be read back.
func (e *Room) Logs(ctx context.Context, ref string, o *LogOptions) error {
	r, st, err := e.named(ref)
	if err != nil {
		return err
	}
	c, err := ground.Config(r)
	if err != nil {
		return err
	}
	lc, err := e.logConfig(r, c)
	if err != nil {
		return err
	}
	if st.Running() && r.Keeper.Pid == 0 {
		return fault.WithHint(fault.New(fault.Unsupported, "its output goes to the command that runs it, and is not kept"), "run it with -d, or without --rm")
	}
	lo := &logs.ReadOptions{
		Tail: o.Tail, Since: o.Since, Until: o.Until, Timestamps: o.Timestamps, Details: o.Details, Lost: o.Lost,
	}
	if o.Follow {
		w := e.watchWriter(r.ID)
		defer w.close()
		lo.Wake = w.wake
		lo.Follow = w.lives
	}
	return logs.Read(ctx, e.LogDir(r.ID), &lc, lo, o.Out, o.Err)
}

// logConfig computes the settings of a container's log.
func (e *Room) logConfig(r *state.Record, c *api.ContainerConfig) (logs.Config, error) {
	lc := &c.HostConfig.LogConfig
	ct := logs.Container{ID: r.ID, Name: r.Name, Image: r.Image, ImageID: r.ImageID, Labels: c.Labels, Env: c.Env}
	if lc.Config["env"] != "" && r.ImageID != "" {
		if img, err := e.ImageStore.Resolve(r.ImageID, store.Platform{}); err == nil {
			ct.Env = slices.Concat(img.Config.Env, c.Env)
		}
	}
	return logs.Resolve(lc.Type, lc.Config, &ct)
}

// resolveLog computes the settings of the log of a container that begins. One
// that has no name yet will have the one that follows from its id.
func (s *start) resolveLog() (err error) {
	c := s.config
	ct := logs.Container{ID: s.id, Name: cmp.Or(c.Name, ground.MadeUpName(s.id)), Image: c.Image, Labels: c.Labels, Env: c.Env}
	if s.image != nil {
		ct.ImageID, ct.Env = s.image.ID, slices.Concat(s.image.Config.Env, c.Env)
	}
	s.log, err = logs.Resolve(c.HostConfig.LogConfig.Type, c.HostConfig.LogConfig.Config, &ct)
	return err
}

// logWriter is the process that writes a container's log.
type logWriter struct {
	e    *Room
	id   string
	wake []int
}

func (e *Room) watchWriter(id string) *logWriter {
	w := &logWriter{e: e, id: id}
	r, _, err := e.Load(id)
	if err != nil {
		return w
	}
	for _, p := range []state.Proc{r.Keeper, r.Proc} {
		if p.Look() == state.Gone {
			continue
		}
		if fd, err := unix.PidfdOpen(p.Pid, 0); err == nil {
			w.wake = append(w.wake, fd)
		}
	}
	return w
}

// lives tells whether more output may come: the container runs, whatever has
// become of its keeper, or the keeper has not seen to its end yet, or waits to
// start it again. One that was removed writes no more.
func (w *logWriter) lives() (bool, error) {
	r, st, err := w.e.Load(w.id)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return false, nil
	case err != nil:
		return false, err
	}
	return st.Running() || st != state.Removing && r.Keeper.Look() != state.Gone, nil
}

func (w *logWriter) close() {
	for _, fd := range w.wake {
		_ = unix.Close(fd)
	}
}
