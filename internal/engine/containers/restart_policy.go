package containers

import (
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/state"
)

// Docker's back-off: 100 ms, doubled each time up to a minute, and from the
// beginning after a run of ten seconds (moby restartmanager).
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = time.Minute
	longEnough   = 10 * time.Second
)

// startsAgain reports whether a container that ended like r is started again.
func startsAgain(p api.RestartPolicy, r *state.Record) bool {
	switch p.Name {
	case api.RestartAlways, api.RestartUnlessStopped:
		return !r.StopRequested
	case api.RestartOnFailure:
		return !r.StopRequested && r.ExitCode != 0 && (p.MaximumRetryCount == 0 || r.Restarts < p.MaximumRetryCount)
	}
	return false
}

// startsAtBoot reports whether a container that looked like r when the machine went
// down is started when it comes up: with always also one that was stopped, as
// Docker does when its daemon starts.
func startsAtBoot(p api.RestartPolicy, r *state.Record) bool {
	if r.Proc.Pid == 0 {
		return false // never started
	}
	return p.Name == api.RestartAlways || p.Name == api.RestartUnlessStopped && !r.StopRequested
}

// backoff is the wait before the next start, after a run of the given length
// and, before that, a wait of last.
func backoff(last, up time.Duration) time.Duration {
	if last == 0 || up >= longEnough {
		return firstBackoff
	}
	return min(2*last, lastBackoff)
}

// consult asks the container's restart policy.
func (n *ending) consult() error {
	r := n.r
	r.Keeper = state.Proc{}
	if n.again = !n.asked && startsAgain(n.c.HostConfig.RestartPolicy, r); !n.again {
		r.RestartAt, r.Backoff = time.Time{}, 0
		return nil
	}
	wait := backoff(time.Duration(r.Backoff), r.Finished.Sub(r.Started))
	r.Backoff, r.RestartAt = int64(wait), ground.Now().Add(wait)
	r.Restarts++
	r.Keeper = n.starter
	return nil
}
