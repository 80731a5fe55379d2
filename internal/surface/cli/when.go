package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// ParseWhen reads a point in time as Docker's --since and --until do: seconds
// since 1970 with an optional fraction, a duration before now ("1h30m"), or a
// date and time of which the end may be missing. Without a zone it is local.
func ParseWhen(s string, now time.Time) (time.Time, error) {
	if t, ok := unixTime(s); ok { // before durations, of which "0" is one too
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02Z07:00",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range [...]string{
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fault.New(fault.Invalid, "%q is neither a time nor a duration", s)
}

// sinceNow is ParseWhen for a flag.
func sinceNow(v string) (time.Time, error) { return ParseWhen(v, time.Now()) }

// unixTime reads 1136073600.000000001.
func unixTime(s string) (time.Time, bool) {
	whole, fraction, dot := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || dot && fraction == "" {
		return time.Time{}, false
	}
	nsec := uint64(0)
	if dot {
		fraction = (fraction + "000000000")[:9]
		if nsec, err = strconv.ParseUint(fraction, 10, 32); err != nil {
			return time.Time{}, false
		}
	}
	return time.Unix(sec, int64(nsec)), true
}
