package containers

import (
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonread"
)

//go:generate go run ../../lib/jsongen -o health_json.go Health

// The states of a container's health, with Docker's names.
const (
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
)

// Health is what the checks have found, in Docker's form.
type Health struct {
	Status        string
	FailingStreak int // failures in a row
	Log           []HealthResult
}

// HealthResult is one check.
type HealthResult struct {
	Start, End time.Time
	ExitCode   int // 0 is healthy; -1 when it could not be run, or took too long
	Output     string
}

// What Docker takes for a zero, and how much it keeps.
const (
	defaultHealthInterval      = 30 * time.Second
	defaultHealthTimeout       = 30 * time.Second
	defaultHealthStartInterval = 5 * time.Second
	defaultHealthRetries       = 3

	maxHealthLog    = 5
	maxHealthOutput = 4096
)

// What --health-on-failure may ask for.
const (
	OnFailureNone    = "none"
	OnFailureKill    = "kill"
	OnFailureRestart = "restart"
	OnFailureStop    = "stop"
)

// ParseHealthOnFailure checks what is to follow when a container becomes
// unhealthy.
func ParseHealthOnFailure(s string) (string, error) {
	switch s {
	case "", OnFailureNone:
		return "", nil
	case OnFailureKill, OnFailureRestart, OnFailureStop:
		return s, nil
	}
	return "", fault.New(fault.Invalid, "invalid action '%s': one of none, kill, restart or stop", s)
}

// checkHealthcheck refuses times that make no sense.
func checkHealthcheck(h *api.Healthcheck) error {
	for _, d := range []struct {
		name string
		ns   int64
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start period", h.StartPeriod}, {"start interval", h.StartInterval}} {
		if d.ns != 0 && d.ns < int64(time.Millisecond) {
			return fault.New(fault.Invalid, "health check: %s cannot be less than 1ms", d.name)
		}
	}
	if h.Retries < 0 {
		return fault.New(fault.Invalid, "health check: retries cannot be negative")
	}
	if len(h.Test) > 0 {
		switch h.Test[0] {
		case "NONE", "CMD", "CMD-SHELL", "":
		default:
			return fault.New(fault.Invalid, "health check: unknown type %q; there are CMD, CMD-SHELL and NONE", h.Test[0])
		}
	}
	return nil
}

// healthcheckOf is the check of a container, or nil where there is none.
func healthcheckOf(own *api.Healthcheck, image []byte) *api.Healthcheck {
	h := mergeHealthcheck(own, image)
	if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" || h.Test[0] == "" {
		return nil
	}
	return h
}

// mergeHealthcheck completes what was asked for by what the image says: JSON,
// which may be empty.
func mergeHealthcheck(own *api.Healthcheck, image []byte) *api.Healthcheck {
	var h, img api.Healthcheck
	if own != nil {
		h = *own
	}
	if len(image) > 0 && api.ReadHealthcheck(image, &img) == nil { // else it is none that could be run
		for _, f := range []struct{ to, from *int64 }{
			{&h.Interval, &img.Interval},
			{&h.Timeout, &img.Timeout},
			{&h.StartPeriod, &img.StartPeriod},
			{&h.StartInterval, &img.StartInterval},
		} {
			if *f.to == 0 {
				*f.to = *f.from
			}
		}
		if h.Retries == 0 {
			h.Retries = img.Retries
		}
		if len(h.Test) == 0 {
			h.Test = img.Test
		}
	}
	if own == nil && len(img.Test) == 0 {
		return nil
	}
	return &h
}

// checkCommand is what is executed in the container; shell is the image's, or nil.
func checkCommand(h *api.Healthcheck, shell []string) []string {
	if h.Test[0] == "CMD" {
		return h.Test[1:]
	}
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(shell[:len(shell):len(shell)], strings.Join(h.Test[1:], " "))
}

func orDefault(ns int64, d time.Duration) time.Duration {
	if ns == 0 {
		return d
	}
	return time.Duration(ns)
}

func checkTimeout(h *api.Healthcheck) time.Duration {
	return orDefault(h.Timeout, defaultHealthTimeout)
}

// nextCheck is the time from one check to the following, in a container that has
// run for the time up and is in this state. Within the start period, one that
// was never healthy is looked at more often.
func nextCheck(h *api.Healthcheck, status string, up time.Duration) time.Duration {
	if status == HealthStarting && up < time.Duration(h.StartPeriod) {
		return orDefault(h.StartInterval, defaultHealthStartInterval)
	}
	return orDefault(h.Interval, defaultHealthInterval)
}

// healthAfter is the health that follows from a further result. Failures within the
// start period do not count, until the container has been healthy once.
func healthAfter(h *api.Healthcheck, before Health, r HealthResult, started time.Time) Health {
	now := Health{Status: before.Status, FailingStreak: before.FailingStreak}
	if now.Status == "" {
		now.Status = HealthStarting
	}
	keep := before.Log[max(0, len(before.Log)-maxHealthLog+1):]
	now.Log = append(keep[:len(keep):len(keep)], r)
	retries := h.Retries
	if retries == 0 {
		retries = defaultHealthRetries
	}
	switch {
	case r.ExitCode == 0:
		now.Status, now.FailingStreak = HealthHealthy, 0
	case now.Status == HealthStarting && r.Start.Sub(started) < time.Duration(h.StartPeriod):
	default:
		now.FailingStreak++
		if now.FailingStreak >= retries {
			now.Status = HealthUnhealthy
		}
	}
	return now
}

// healthStatus is the status in a record's health, or "".
func healthStatus(record []byte) string {
	var h Health
	if len(record) == 0 || jsonread.Decode(record, &h, readHealth) != nil {
		return ""
	}
	return h.Status
}
