package engine

import (
	"context"
	"io"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/logs"
	"github.com/tare-engine/tare/state"
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
func (cs *Containers) Logs(ctx context.Context, ref string, o *LogOptions) error {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return err
	}
	r, st, err := e.seen(id)
	if err != nil {
		return err
	}
	c, err := decodeConfig(r)
	if err != nil {
		return err
	}
	lc, err := e.logConfig(r, c)
	if err != nil {
		return err
	}
	if st.Running() && r.Monitor.Pid == 0 {
		return fault.WithHint(fault.New(fault.Unsupported, "its output goes to the command that runs it, and is not kept"), "run it with -d, or without --rm")
	}
	lo := &logs.ReadOptions{
		Tail: o.Tail, Since: o.Since, Until: o.Until, Timestamps: o.Timestamps, Details: o.Details, Lost: o.Lost,
	}
	if o.Follow {
		w := e.watchWriter(id)
		defer w.close()
		lo.Wake = w.wake
		lo.Follow = func() bool { return ctx.Err() == nil && w.lives() }
	}
	return logs.Read(e.logDir(id), &lc, lo, o.Out, o.Err)
}

// logDir is where a container's output is kept.
func (e *Engine) logDir(id string) string { return e.opt.Root + "/logs/" + id }

// logConfig computes the settings of a container's log.
func (e *Engine) logConfig(r *state.Record, c *ContainerConfig) (logs.Config, error) {
	return e.resolveLog(r.ID, r.Name, r.Image, r.ImageID, c)
}

func (e *Engine) resolveLog(id, name, ref, imageID string, c *ContainerConfig) (logs.Config, error) {
	lc := &c.HostConfig.LogConfig
	ct := logs.Container{ID: id, Name: name, Image: ref, ImageID: imageID, Labels: c.Labels, Env: c.Env}
	if lc.Config["env"] != "" && imageID != "" {
		if img, err := e.images.Resolve(imageID, image.Platform{}); err == nil {
			ct.Env = append(img.Config.Env[:len(img.Config.Env):len(img.Config.Env)], c.Env...)
		}
	}
	return logs.Resolve(lc.Type, lc.Config, &ct)
}

// logWriter is the process that writes a container's log.
type logWriter struct {
	e    *Engine
	id   string
	wake []int
}

func (e *Engine) watchWriter(id string) *logWriter {
	w := &logWriter{e: e, id: id}
	r, _, err := e.load(id)
	if err != nil {
		return w
	}
	for _, p := range []state.Proc{r.Monitor, r.Proc} {
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
func (w *logWriter) lives() bool {
	r, st, err := w.e.load(w.id)
	return err == nil && (st.Running() || st != state.Removing && r.Monitor.Look() != state.Gone)
}

func (w *logWriter) close() {
	for _, fd := range w.wake {
		_ = unix.Close(fd)
	}
}
