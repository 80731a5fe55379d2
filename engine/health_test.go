package engine

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHealthAfter(t *testing.T) {
	started := time.Unix(1000, 0)
	const second = int64(time.Second)
	tests := []struct {
		name  string
		check Healthcheck
		codes string // one letter a second: the results, 0 is healthy
		want  string // the states: Starting, Healthy, Unhealthy
		log   int
	}{
		{"healthy at once", Healthcheck{}, "000", "HHH", 3},
		{"three failures", Healthcheck{}, "1111", "SSUU", 4},
		{"own retries", Healthcheck{Retries: 1}, "1", "U", 1},
		{"recovers", Healthcheck{Retries: 2}, "110", "SUH", 3},
		{"a success resets", Healthcheck{Retries: 2}, "010101", "HHHHHH", 5},
		{"healthy, then not", Healthcheck{Retries: 2}, "0110", "HHUH", 4},
		{"start period", Healthcheck{Retries: 2, StartPeriod: 3 * second}, "111111", "SSSSUU", 5},
		{"start period ends with the first success", Healthcheck{Retries: 2, StartPeriod: 100 * second}, "1101101", "SSHHUHH", 5},
		{"any code but 0", Healthcheck{Retries: 1}, "x", "U", 1},
	}
	for _, tt := range tests {
		h := Health{}
		states := ""
		for i, c := range tt.codes {
			code := int(c - '0')
			if c == 'x' {
				code = -1
			}
			h = tt.check.after(h, HealthResult{Start: started.Add(time.Duration(i) * time.Second), ExitCode: code}, started)
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
		check  Healthcheck
		status string
		up     time.Duration
		want   time.Duration
	}{
		{"default", Healthcheck{}, HealthStarting, 0, 30 * time.Second},
		{"interval", Healthcheck{Interval: 2 * second}, HealthHealthy, 0, 2 * time.Second},
		{"start period", Healthcheck{StartPeriod: 10 * second}, HealthStarting, 9 * time.Second, 5 * time.Second},
		{"start interval", Healthcheck{StartPeriod: 10 * second, StartInterval: second}, HealthStarting, 9 * time.Second, time.Second},
		{"after it", Healthcheck{StartPeriod: 10 * second, StartInterval: second}, HealthStarting, 10 * time.Second, 30 * time.Second},
		{"healthy within it", Healthcheck{StartPeriod: 10 * second, StartInterval: second}, HealthHealthy, time.Second, 30 * time.Second},
	} {
		if got := tt.check.next(tt.status, tt.up); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestHealthcheckOf(t *testing.T) {
	image := []byte(`{"Test":["CMD-SHELL","curl x"],"Interval":5,"Retries":7}`)
	for _, tt := range []struct {
		name  string
		own   *Healthcheck
		image []byte
		want  *Healthcheck
	}{
		{"none", nil, nil, nil},
		{"the image's", nil, image, &Healthcheck{Test: []string{"CMD-SHELL", "curl x"}, Interval: 5, Retries: 7}},
		{"own", &Healthcheck{Test: []string{"CMD", "a"}}, nil, &Healthcheck{Test: []string{"CMD", "a"}}},
		{"own times", &Healthcheck{Interval: 6}, image, &Healthcheck{Test: []string{"CMD-SHELL", "curl x"}, Interval: 6, Retries: 7}},
		{"own command", &Healthcheck{Test: []string{"CMD", "a"}}, image, &Healthcheck{Test: []string{"CMD", "a"}, Interval: 5, Retries: 7}},
		{"disabled", &Healthcheck{Test: []string{"NONE"}}, image, nil},
		{"disabled by the image", nil, []byte(`{"Test":["NONE"]}`), nil},
		{"times only", &Healthcheck{Interval: 6}, nil, nil},
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
		h := Healthcheck{Test: tt.test}
		if got := strings.Join(h.command(tt.shell), "|"); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.test, got, tt.want)
		}
	}
}
