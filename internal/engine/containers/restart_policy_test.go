package containers

import (
	"slices"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/state"
)

func TestRestartPolicy(t *testing.T) {
	for _, tt := range []struct {
		text, err string
		want      api.RestartPolicy
	}{
		{"no", "", api.RestartPolicy{Name: "no"}},
		{"always", "", api.RestartPolicy{Name: "always"}},
		{"on-failure:3", "", api.RestartPolicy{Name: "on-failure", MaximumRetryCount: 3}},
		{"sometimes", "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", api.RestartPolicy{}},
		{"always:3", "invalid restart policy: maximum retry count can only be used with 'on-failure'", api.RestartPolicy{}},
		{"on-failure:x", "invalid restart policy format: maximum retry count must be an integer", api.RestartPolicy{}},
		{"on-failure:-1", "invalid restart policy: maximum retry count cannot be negative", api.RestartPolicy{}},
	} {
		got, err := api.ParseRestartPolicy(tt.text)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: %v", tt.text, err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.text, got, err)
		}
	}
}

func TestRestartWanted(t *testing.T) {
	proc := state.Proc{Pid: 1}
	for _, tt := range []struct {
		policy        string
		r             state.Record
		again, booted bool
	}{
		{"no", state.Record{Proc: proc, ExitCode: 1}, false, false},
		{"always", state.Record{Proc: proc}, true, true},
		{"always", state.Record{Proc: proc, StopRequested: true}, false, true},
		{"always", state.Record{}, true, false}, // never started
		{"unless-stopped", state.Record{Proc: proc}, true, true},
		{"unless-stopped", state.Record{Proc: proc, StopRequested: true}, false, false},
		{"on-failure", state.Record{Proc: proc}, false, false},
		{"on-failure", state.Record{Proc: proc, ExitCode: -1}, true, false},
		{"on-failure:2", state.Record{Proc: proc, ExitCode: 1, Restarts: 1}, true, false},
		{"on-failure:2", state.Record{Proc: proc, ExitCode: 1, Restarts: 2}, false, false},
	} {
		p, err := api.ParseRestartPolicy(tt.policy)
		if err != nil {
			t.Fatal(err)
		}
		if again, booted := startsAgain(p, &tt.r), startsAtBoot(p, &tt.r); again != tt.again || booted != tt.booted {
			t.Errorf("%s, %+v: again %v, at boot %v", tt.policy, tt.r, again, booted)
		}
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	last := time.Duration(0)
	for range 12 {
		last = backoff(last, time.Second)
		got = append(got, last)
	}
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if d := backoff(last, 10*time.Second); d != firstBackoff {
		t.Errorf("after ten seconds up: %v", d)
	}
}

func TestBootOrder(t *testing.T) {
	list := []bootItem{
		{id: "1", name: "web", requires: []string{"app"}, wanted: true},
		{id: "2", name: "app", requires: []string{"db", "cache"}, wanted: true},
		{id: "3", name: "db", wanted: true},
		{id: "4", name: "cache"},
		{id: "5", name: "a", requires: []string{"6"}, wanted: true},
		{id: "6", name: "b", requires: []string{"a"}, wanted: true},
	}
	order, err := bootOrder(list)
	var names []string
	for _, it := range order {
		names = append(names, it.name)
	}
	if want := []string{"db", "app", "web", "b", "a"}; !slices.Equal(names, want) {
		t.Errorf("order %v, want %v", names, want)
	}
	if err == nil || err.Error() != "b and a require each other" {
		t.Error(err)
	}
}
