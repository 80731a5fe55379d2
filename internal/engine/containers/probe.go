package containers

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// A keeper knows no more of a health check than when it is due. It runs tare
// for it, which checks, writes down what it found, and prints when it wants to
// be run again. So what is checked, and how, is the installed tare's, and the
// keeper stays small.

// probeInterval is the time to the first health check, in ns; 0 is none.
func probeInterval(c *api.ContainerConfig, img *api.ImageDefaults) int64 {
	h := checkOf(c, img)
	if h == nil {
		return 0
	}
	return int64(nextCheck(h, HealthStarting, 0))
}

// checkOf is the health check of a container, or nil.
func checkOf(c *api.ContainerConfig, img *api.ImageDefaults) *api.Healthcheck {
	if img == nil {
		return healthcheckOf(c.Healthcheck, nil)
	}
	return healthcheckOf(c.Healthcheck, img.Healthcheck)
}

// firstHealth is the health that a container starts with, as its record has
// it; nil without a check.
func firstHealth(c *api.ContainerConfig, img *api.ImageDefaults) []byte {
	if checkOf(c, img) == nil {
		return nil
	}
	return appendHealth(nil, &Health{Status: HealthStarting, Log: []HealthResult{}})
}

// Probe checks the health of a container for its keeper, and returns after how
// long the next check is due; 0 is never.
func (e *Room) Probe(ctx context.Context, id string) (time.Duration, error) {
	h, after, err := e.probe(ctx, id)
	if h == nil {
		return 0, err
	}
	r, st, lerr := e.Load(id)
	if lerr != nil || !st.Running() {
		return 0, lerr
	}
	return nextCheck(h, after.Status, time.Since(r.Started)), err
}

// CheckHealth checks the health of a container now, and returns what is known
// of it then. The error is Conflict for one that does not run, and Unsupported
// for one without a check.
func (e *Room) CheckHealth(ctx context.Context, ref string) (Health, error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return Health{}, err
	}
	h, after, err := e.probe(ctx, id)
	if h == nil && err == nil {
		err = fault.New(fault.Unsupported, "container has no health check")
	}
	return after, err
}

// probe does one check. The Healthcheck is nil when there is none to be done.
func (e *Room) probe(ctx context.Context, id string) (*api.Healthcheck, Health, error) {
	r, st, err := e.Load(id)
	if err != nil {
		return nil, Health{}, err
	}
	if !st.Running() {
		return nil, Health{}, ground.ErrNotRunning
	}
	c, err := ground.Config(r)
	if err != nil {
		return nil, Health{}, err
	}
	img, err := e.ImageConfig(r)
	if err != nil {
		return nil, Health{}, err
	}
	h := checkOf(c, img)
	if h == nil {
		return nil, Health{}, nil
	}
	before := healthOf(r)
	if st == state.Paused {
		return h, before, nil // nothing can be found out: as Docker
	}
	shell := c.Shell
	if len(shell) == 0 && img != nil {
		shell = img.Shell
	}
	result, err := e.check(ctx, id, h, shell)
	if fault.KindOf(err) == fault.Conflict {
		return h, before, nil // it has just ended, or been paused
	}
	if err != nil {
		return h, before, err
	}
	after, changed, err := e.noteHealth(r, h, &result)
	if err == nil && changed && after.Status == HealthUnhealthy {
		err = e.unhealthy(r, c)
	}
	return h, after, err
}

func healthOf(r *state.Record) (h Health) {
	if len(r.Health) == 0 || jsonread.Decode(r.Health, &h, readHealth) != nil {
		return Health{Status: HealthStarting}
	}
	return h
}

// check executes the command in the container.
func (e *Room) check(ctx context.Context, id string, h *api.Healthcheck, shell []string) (HealthResult, error) {
	result := HealthResult{Start: time.Now()}
	out, in, err := os.Pipe()
	if err != nil {
		return result, err
	}
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(out, maxHealthOutput))
		text <- string(b)
		_, _ = io.Copy(io.Discard, out) // the command must not wait in a full pipe
	}()
	cfg := &api.ExecConfig{Cmd: checkCommand(h, shell), AttachStdout: true, AttachStderr: true}
	code, late, err := e.Execs.Check(ctx, id, cfg, in, checkTimeout(h))
	result.ExitCode = code
	_ = in.Close() // what it has left behind may hold the pipe still
	_ = out.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	result.Output, result.End = <-text, time.Now()
	_ = out.Close()
	if late {
		result.ExitCode = -1
		result.Output = "Health check exceeded timeout (" + checkTimeout(h).String() + ")" + prefixed(": ", result.Output)
		return result, nil
	}
	if err != nil {
		if fault.KindOf(err) == fault.Conflict || ctx.Err() != nil {
			return result, err
		}
		result.ExitCode, result.Output = -1, err.Error()
	}
	return result, nil
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// noteHealth adds a result to the record of the run that it belongs to, and
// tells of a change.
func (e *Room) noteHealth(of *state.Record, h *api.Healthcheck, result *HealthResult) (after Health, changed bool, err error) {
	lock, err := e.State.Lock(of.ID)
	if err != nil {
		return after, false, err
	}
	defer lock.Unlock()
	r, st, err := e.Load(of.ID)
	if err != nil {
		return after, false, err
	}
	before := healthOf(r)
	if !st.Running() || r.Proc != of.Proc {
		return before, false, nil
	}
	after = healthAfter(h, before, *result, r.Started)
	r.Health = appendHealth(nil, &after)
	if err := e.State.Put(r); err != nil {
		return after, false, err
	}
	if changed = after.Status != before.Status; changed {
		e.Note("health_status: "+after.Status, r)
	}
	return after, changed, nil
}

// unhealthy does what --health-on-failure asks for. What has to wait for the
// keeper is done by another process: the keeper waits for this one.
func (e *Room) unhealthy(r *state.Record, c *api.ContainerConfig) error {
	switch c.HealthOnFailure {
	case OnFailureKill, OnFailureRestart, OnFailureStop:
	default:
		return nil
	}
	if err := e.blameHealth(r); err != nil {
		return err
	}
	if c.HealthOnFailure == OnFailureKill {
		err := e.signalInit(r, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	}
	return e.SendHelper("unhealthy", r.ID)
}

// blameHealth writes down why the container is about to end.
func (e *Room) blameHealth(of *state.Record) error {
	lock, err := e.State.Lock(of.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.Load(of.ID)
	if err != nil || !st.Running() || r.Proc != of.Proc {
		return err
	}
	r.Said = string(exit.ByPolicy)
	return e.State.Put(r)
}

func (e *Room) signalInit(r *state.Record, sig unix.Signal) error {
	fd, err := r.Proc.Open()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// Unhealthy stops or restarts a container that has become unhealthy; in a
// process of its own.
func (e *Room) Unhealthy(ctx context.Context, id string) error {
	r, err := e.State.Get(id)
	if err != nil {
		return err
	}
	c, err := ground.Config(r)
	if err != nil {
		return err
	}
	if c.HealthOnFailure == OnFailureRestart {
		return e.Restart(ctx, id, StopOptions{})
	}
	return e.Stop(ctx, id, StopOptions{})
}
