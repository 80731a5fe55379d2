package cli

import (
	"testing"
	"time"
)

func TestParseWhen(t *testing.T) {
	defer func(l *time.Location) { time.Local = l }(time.Local)
	time.Local = time.FixedZone("", 2*3600)
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, tt := range []struct{ in, want string }{
		{"1h30m", "2026-01-02T01:34:05.000000006Z"},
		{"0s", "2026-01-02T03:04:05.000000006Z"},
		{"0", "1970-01-01T00:00:00Z"},
		{"1136073600", "2006-01-01T00:00:00Z"},
		{"1136073600.000000001", "2006-01-01T00:00:00.000000001Z"},
		{"1136073600.5", "2006-01-01T00:00:00.5Z"},
		{"2006-01-02T15:04:05.5Z", "2006-01-02T15:04:05.5Z"},
		{"2006-01-02T15:04:05+01:00", "2006-01-02T14:04:05Z"},
		{"2006-01-02T15:04:05", "2006-01-02T13:04:05Z"},
		{"2006-01-02T15:04", "2006-01-02T13:04:00Z"},
		{"2006-01-02", "2006-01-01T22:00:00Z"},
		{"2006-01-02Z", "2006-01-02T00:00:00Z"},
	} {
		got, err := ParseWhen(tt.in, now)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.in, got.UTC().Format(time.RFC3339Nano), err, tt.want)
		}
	}
	for _, in := range []string{"", "yesterday", "1136073600.", "12:30", "1.2.3", "-"} {
		if got, err := ParseWhen(in, now); err == nil {
			t.Errorf("%q: got %s", in, got)
		}
	}
}
