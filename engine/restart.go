package engine

import (
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/state"
)

// The names of restart policies.
const (
	RestartNo            = "no"
	RestartAlways        = "always"
	RestartUnlessStopped = "unless-stopped"
	RestartOnFailure     = "on-failure"
)

// Docker's back-off: 100 ms, doubled each time up to a minute, and from the
// beginning after a run of ten seconds (moby restartmanager).
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = time.Minute
	longEnough   = 10 * time.Second
)

// ParseRestartPolicy reads no, always, unless-stopped or on-failure[:n].
func ParseRestartPolicy(s string) (RestartPolicy, error) {
	name, count, counted := strings.Cut(s, ":")
	p := RestartPolicy{Name: name}
	switch name {
	case "", RestartNo, RestartAlways, RestartUnlessStopped, RestartOnFailure:
	default:
		return p, fault.New(fault.Invalid, "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", name)
	}
	if !counted {
		return p, nil
	}
	n, err := strconv.Atoi(count)
	switch {
	case err != nil:
		return p, fault.New(fault.Invalid, "invalid restart policy format: maximum retry count must be an integer")
	case name != RestartOnFailure:
		return p, fault.New(fault.Invalid, "invalid restart policy: maximum retry count can only be used with 'on-failure'")
	case n < 0:
		return p, fault.New(fault.Invalid, "invalid restart policy: maximum retry count cannot be negative")
	}
	p.MaximumRetryCount = n
	return p, nil
}

// wants reports whether a container that ended like r is started again.
func (p RestartPolicy) wants(r *state.Record) bool {
	switch p.Name {
	case RestartAlways, RestartUnlessStopped:
		return !r.StopRequested
	case RestartOnFailure:
		return !r.StopRequested && r.ExitCode != 0 && (p.MaximumRetryCount == 0 || r.Restarts < p.MaximumRetryCount)
	}
	return false
}

// atBoot reports whether a container that looked like r when the machine went
// down is started when it comes up: with always also one that was stopped, as
// Docker does when its daemon starts.
func (p RestartPolicy) atBoot(r *state.Record) bool {
	if r.Proc.Pid == 0 {
		return false // never started
	}
	return p.Name == RestartAlways || p.Name == RestartUnlessStopped && !r.StopRequested
}

// backoff is the wait before the next start, after a run of the given length
// and, before that, a wait of last.
func backoff(last, up time.Duration) time.Duration {
	if last == 0 || up >= longEnough {
		return firstBackoff
	}
	return min(2*last, lastBackoff)
}
