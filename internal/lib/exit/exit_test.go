package exit

import (
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	start := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	end, now := start.Add(time.Second), start.Add(time.Minute)
	at := end.UnixNano()
	for _, tt := range []struct {
		name string
		seen Seen
		f    Known
		want Outcome
	}{
		{"ends by itself", Seen{Code: 3, Time: at}, Known{}, Outcome{Code: 3, Cause: ByItself, Finished: end}},
		{"a signal", Seen{Code: 139, Signal: 11, Time: at}, Known{}, Outcome{Code: 139, Signal: 11, Cause: BySignal, Finished: end}},
		{"killed by tare", Seen{Code: 137, Signal: 9, Time: at}, Known{StopAsked: true}, Outcome{Code: 137, Signal: 9, Cause: ByStop, Finished: end}},
		{"obeys a stop", Seen{Code: 0, Time: at}, Known{StopAsked: true}, Outcome{Cause: ByStop, Finished: end}},
		{"out of memory", Seen{Code: 137, Signal: 9, Time: at}, Known{OOMKills: 1}, Outcome{Code: 137, Signal: 9, Cause: ByOOM, OOM: true, Finished: end}},
		{"killed by hand, after another process was out of memory", Seen{Code: 137, Signal: 9, Time: at}, Known{OOMKills: 1, StopAsked: true}, Outcome{Code: 137, Signal: 9, Cause: ByStop, Finished: end}},
		{"another process was out of memory", Seen{Code: 1, Time: at}, Known{OOMKills: 2}, Outcome{Code: 1, Cause: ByItself, Finished: end}},
		{"too slow", Seen{Code: 143, Signal: 15, Said: ByTimeout, Time: at}, Known{StopAsked: true}, Outcome{Code: 143, Signal: 15, Cause: ByTimeout, Finished: end}},
		{"unhealthy", Seen{Code: 143, Signal: 15, Time: at}, Known{Said: ByPolicy, StopAsked: true}, Outcome{Code: 143, Signal: 15, Cause: ByPolicy, Finished: end}},
		{
			"unseen",
			Seen{Code: NoCode},
			Known{Started: start, Now: now},
			Outcome{Code: NoCode, Cause: Unknown, Error: "exit code unknown: the keeper was killed", Finished: now},
		},
		{"unseen after a stop", Seen{Code: NoCode}, Known{StopAsked: true, Now: now}, Outcome{Code: NoCode, Cause: ByStop, Error: "exit code unknown: the keeper was killed", Finished: now}},
		{"the log was full", Seen{Code: 0, Time: at, LogErr: 28}, Known{}, Outcome{Cause: ByItself, Error: "log: no space left on device", Finished: end}},
		{"the clock was set back", Seen{Code: 0, Time: start.Add(-time.Hour).UnixNano()}, Known{Started: start, Now: now}, Outcome{Cause: ByItself, Finished: now}},
	} {
		if got := Of(tt.seen, tt.f); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for status, want := range map[int]Seen{0: {}, 7 << 8: {Code: 7}, 9: {Code: 137, Signal: 9}, 0x80 | 11: {Code: 139, Signal: 11}} {
		if got := Status(status); got != want {
			t.Errorf("%#x: %+v, want %+v", status, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	s := Seen{Pid: 12, Start: 34, Code: 137, Signal: 9, Said: ByTimeout, Time: 5, LogErr: 28}
	f.Add(s.Append(nil))
	f.Add([]byte("1 2 3 4 5\n"))
	f.Add([]byte("1 2 3 4 5 6 "))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, ok := Parse(text)
		if !ok {
			return
		}
		again, ok := Parse(s.Append(nil))
		if !ok || again != s {
			t.Errorf("%q: %+v, and again %+v (%v)", text, s, again, ok)
		}
	})
}
