package cli

import (
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

func TestStatsRows(t *testing.T) {
	sample := func(second int, used time.Duration) containers.Sample {
		return containers.Sample{
			ID: "0123456789abcdef0123", Name: "web", At: time.Unix(int64(second), 0), Running: true,
			Stats: cgroup.Stats{
				CPU:    &cgroup.CPUStats{Usage: used, User: used / 2},
				Memory: &cgroup.MemoryStats{Usage: 30 << 20, WorkingSet: 20<<20 + 12345, Peak: 40 << 20, Anon: 15 << 20},
				Pids:   &cgroup.PidsStats{Current: 7},
				IO:     &cgroup.IOStats{Devices: []cgroup.DeviceIO{{ReadBytes: 1000, WriteBytes: 12_345_678}}},
			},
			Net:         containers.NetCounters{RxBytes: 1234, TxBytes: 0},
			MemoryTotal: 64 << 20,
		}
	}
	before, now := sample(1, time.Second), sample(3, 2*time.Second)
	stopped := containers.Sample{ID: "fedcba98765432100", Name: "old"}
	for _, format := range []string{"", "json", "{{.Name}} {{.MemWorkingSet}} {{.CPUUser}}"} {
		s := statsAction{format: format}
		text, err := s.render(&App{}, nil, []containers.Sample{before}, []containers.Sample{now, stopped})
		if err != nil {
			t.Fatal(err)
		}
		name := map[string]string{"": "stats.txt", "json": "stats-json.txt"}[format]
		if name == "" {
			name = "stats-template.txt"
		}
		golden(t, name, text)
	}
}
