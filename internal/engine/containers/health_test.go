package containers

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/jsontest"
)

func TestHealthAfter(t *testing.T) {
	started := time.Unix(1000, 0)
	const second = int64(time.Second)
	tests := []struct {
		name  string
		check api.Healthcheck
		codes string // one letter a second: the results, 0 is healthy
		want  string // the states: Starting, Healthy, Unhealthy
		log   int
	}{
		{"healthy at once", api.Healthcheck{}, "000", "HHH", 3},
		{"three failures", api.Healthcheck{}, "1111", "SSUU", 4},
		{"own retries", api.Healthcheck{Retries: 1}, "1", "U", 1},
		{"recovers", api.Healthcheck{Retries: 2}, "110", "SUH", 3},
		{"a success resets", api.Healthcheck{Retries: 2}, "010101", "HHHHHH", 5},
		{"healthy, then not", api.Healthcheck{Retries: 2}, "0110", "HHUH", 4},
		{"start period", api.Healthcheck{Retries: 2, StartPeriod: 3 * second}, "111111", "SSSSUU", 5},
		{"start period ends with the first success", api.Healthcheck{Retries: 2, StartPeriod: 100 * second}, "1101101", "SSHHUHH", 5},
		{"any code but 0", api.Healthcheck{Retries: 1}, "x", "U", 1},
	}
	for _, tt := range tests {
		h := Health{}
		states := ""
		for i, c := range tt.codes {
			code := int(c - '0')
			if c == 'x' {
				code = -1
			}
			h = healthAfter(&tt.check, h, HealthResult{Start: started.Add(time.Duration(i) * time.Second), ExitCode: code}, started)
			states += strings.ToUpper(h.Status[:1])
		}
		if states != tt.want || len(h.Log) != tt.log {
			t.Errorf("%s: %s and %d results, want %s and %d", tt.name, states, len(h.Log), tt.want, tt.log)
		}
	}
}

func TestHealthNext(t *testing.T) {
	const second = int64(time.Second)
	for _, tt := range []struct {
		name   string
		check  api.Healthcheck
		status string
		up     time.Duration
		want   time.Duration
	}{
		{"default", api.Healthcheck{}, HealthStarting, 0, 30 * time.Second},
		{"interval", api.Healthcheck{Interval: 2 * second}, HealthHealthy, 0, 2 * time.Second},
		{"start period", api.Healthcheck{StartPeriod: 10 * second}, HealthStarting, 9 * time.Second, 5 * time.Second},
		{"start interval", api.Healthcheck{StartPeriod: 10 * second, StartInterval: second}, HealthStarting, 9 * time.Second, time.Second},
		{"after it", api.Healthcheck{StartPeriod: 10 * second, StartInterval: second}, HealthStarting, 10 * time.Second, 30 * time.Second},
		{"healthy within it", api.Healthcheck{StartPeriod: 10 * second, StartInterval: second}, HealthHealthy, time.Second, 30 * time.Second},
	} {
		if got := nextCheck(&tt.check, tt.status, tt.up); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestHealthcheckOf(t *testing.T) {
	image := []byte(`{"Test":["CMD-SHELL","curl x"],"Interval":5,"Retries":7}`)
	for _, tt := range []struct {
		name  string
		own   *api.Healthcheck
		image []byte
		want  *api.Healthcheck
	}{
		{"none", nil, nil, nil},
		{"the image's", nil, image, &api.Healthcheck{Test: []string{"CMD-SHELL", "curl x"}, Interval: 5, Retries: 7}},
		{"own", &api.Healthcheck{Test: []string{"CMD", "a"}}, nil, &api.Healthcheck{Test: []string{"CMD", "a"}}},
		{"own times", &api.Healthcheck{Interval: 6}, image, &api.Healthcheck{Test: []string{"CMD-SHELL", "curl x"}, Interval: 6, Retries: 7}},
		{"own command", &api.Healthcheck{Test: []string{"CMD", "a"}}, image, &api.Healthcheck{Test: []string{"CMD", "a"}, Interval: 5, Retries: 7}},
		{"disabled", &api.Healthcheck{Test: []string{"NONE"}}, image, nil},
		{"disabled by the image", nil, []byte(`{"Test":["NONE"]}`), nil},
		{"times only", &api.Healthcheck{Interval: 6}, nil, nil},
		{"damaged", nil, []byte(`{`), nil},
	} {
		if got := healthcheckOf(tt.own, tt.image); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestHealthCommand(t *testing.T) {
	for _, tt := range []struct {
		test, shell []string
		want        string
	}{
		{[]string{"CMD", "a", "b c"}, []string{"x"}, "a|b c"},
		{[]string{"CMD-SHELL", "a b"}, nil, "/bin/sh|-c|a b"},
		{[]string{"CMD-SHELL", "a b"}, []string{"/bin/bash", "-lc"}, "/bin/bash|-lc|a b"},
	} {
		h := api.Healthcheck{Test: tt.test}
		if got := strings.Join(checkCommand(&h, tt.shell), "|"); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.test, got, tt.want)
		}
	}
}

func TestHealthJSON(t *testing.T) {
	jsontest.Same(t, appendHealth)
	jsontest.Reads(t, readHealth, nil)
}

// FuzzHealth: the health in a record is read as encoding/json reads it, or
// refused by both.
func FuzzHealth(f *testing.F) {
	at := time.Date(2026, 11, 30, 1, 2, 3, 4, time.UTC)
	f.Add(appendHealth(nil, &Health{Status: HealthHealthy, Log: []HealthResult{{Start: at, End: at.Add(time.Second), ExitCode: 1, Output: "a\n"}, {}}}))
	f.Fuzz(func(t *testing.T, text []byte) { jsontest.Agree(t, text, readHealth) })
}
