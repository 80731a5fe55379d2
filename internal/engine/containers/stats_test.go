package containers

import (
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/spec/cgroup"
)

func TestParseNetDev(t *testing.T) {
	got := parseNetDev(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999999    9999    0    0    0     0          0         0   999999    9999    0    0    0     0       0          0
  eth0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0
  eth1:       5       1    0    0    0     0          0         0        6       1    0    0    0     0       0          0
 short:       5
`)
	want := NetCounters{RxBytes: 1005, RxPackets: 11, RxErrors: 1, RxDropped: 2, TxBytes: 2006, TxPackets: 21, TxErrors: 3, TxDropped: 4}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCPUPercent(t *testing.T) {
	at := func(seconds int, used time.Duration) *Sample {
		return &Sample{At: time.Unix(int64(seconds), 0), Stats: cgroup.Stats{CPU: &cgroup.CPUStats{Usage: used}}}
	}
	for _, tt := range []struct {
		name          string
		before, after *Sample
		want          float64
	}{
		{"half", at(10, time.Second), at(12, 2*time.Second), 50},
		{"two processors", at(10, 0), at(11, 2*time.Second), 200},
		{"no time", at(10, 0), at(10, time.Second), 0},
		{"restarted", at(10, time.Hour), at(11, time.Second), 0},
		{"clock set back", at(10, 0), at(5, time.Second), 0},
		{"not running", &Sample{}, at(5, time.Second), 0},
	} {
		if got := CPUPercent(tt.before, tt.after); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
