package verify

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestCPU: four hungry threads get half a processor, and only on the chosen
// one. Not parallel: the machine's other load would count.
func TestCPU(t *testing.T) {
	r := rig.Test(t)
	if !r.Has("cpu") || !r.Has("cpuset") {
		t.Skip("no cpu or cpuset controller here")
	}
	const share = 0.5
	core := strconv.Itoa(runtime.NumCPU() - 1)
	c := r.Start(t, "run", "--rm", "--cpus", strconv.FormatFloat(share, 'f', -1, 64), "--cpuset-cpus", core, "tare/base",
		"sh", "-c", "echo ready; exec stress --cpu 4 --timeout 60")
	c.Line() // stress dispatches

	// More than the share is never right; less may be the doing of others on
	// a busy machine, and is measured again.
	for try := 1; ; try++ {
		used := measure(t, r, c, 3*time.Second)
		t.Logf("%.3f processors of %.1f", used, share)
		if used > share*1.1 {
			t.Fatalf("used %.3f processors, the limit is %.1f", used, share)
		}
		if used >= share*0.9 {
			break
		}
		if try == 3 {
			t.Fatalf("used %.3f processors, could have had %.1f", used, share)
		}
	}

	// Every thread stands on the chosen core, where it ran last.
	stats, err := filepath.Glob("/proc/" + strconv.Itoa(c.Init()) + "/task/*/stat")
	if err != nil || len(stats) < 4 {
		t.Fatalf("%d threads, want 4 and more (%v)", len(stats), err)
	}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		// Field 3 is the first after the name in brackets.
		if f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])); f[39-3] != core {
			t.Errorf("a thread runs on processor %s, want %s", f[39-3], core)
		}
	}
	if r.Has("cpuacct") {
		for i, ns := range strings.Fields(c.File("cpuacct", "cpuacct.usage_percpu")) {
			if n, err := strconv.Atoi(ns); strconv.Itoa(i) != core && (err != nil || n > 5e7) {
				t.Errorf("%s ns on processor %d", ns, i)
			}
		}
	}
}

// measure returns how many processors a container used on average.
func measure(t *testing.T, r *rig.Rig, c *rig.Container, d time.Duration) float64 {
	t.Helper()
	used, start := usage(t, r, c), time.Now()
	time.Sleep(d)
	took := time.Since(start)
	return (usage(t, r, c) - used).Seconds() / took.Seconds()
}

// usage is the container's processor time, as the kernel accounts it.
func usage(t *testing.T, r *rig.Rig, c *rig.Container) time.Duration {
	t.Helper()
	if r.Has("cpuacct") {
		ns, err := strconv.ParseInt(c.File("cpuacct", "cpuacct.usage"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ns)
	}
	us, ok := strings.CutPrefix(lines(c.File("cpu", "cpu.stat"))[0], "usage_usec ")
	n, err := strconv.ParseInt(us, 10, 64)
	if !ok || err != nil {
		t.Fatalf("cpu.stat: %v", err)
	}
	return time.Duration(n) * time.Microsecond
}
