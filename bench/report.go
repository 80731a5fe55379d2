package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/seccomp"
)

// report is the table of one row, the fastest first.
func report(row string, n int, engines []*engine) string {
	own := engines[0]
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%d runs each, interleaved in random order.\n\n", row, n)
	fmt.Fprintf(&b, "| program | median ms | p99 ms | CPU ms | peak RSS MiB | %s takes |\n|---|---:|---:|---:|---:|---:|\n", own.name)
	sorted := slices.Clone(engines)
	slices.SortStableFunc(sorted, func(a, b *engine) int {
		switch {
		case a.missing == "" && b.missing == "":
			return int(median(walls(a)) - median(walls(b)))
		case a.missing == "":
			return -1
		case b.missing == "":
			return 1
		}
		return 0
	})
	for _, e := range sorted {
		if e.missing != "" || len(e.samples) == 0 {
			fmt.Fprintf(&b, "| %s | – | – | – | – | %s |\n", e.name, e.missing)
			continue
		}
		ratio := ""
		if e != own && own.missing == "" && len(own.samples) > 0 {
			ratio = fmt.Sprintf("%.3f ×", float64(median(walls(own)))/float64(median(walls(e))))
		}
		var cpu []time.Duration
		var rss int64
		for _, s := range e.samples {
			cpu = append(cpu, s.cpu)
			rss = max(rss, s.rss)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f | %s |\n", e.name,
			ms(median(walls(e))), ms(quantile(walls(e), 0.99)), ms(median(cpu)), float64(rss)/1024, ratio)
	}
	return b.String()
}

func walls(e *engine) []time.Duration {
	out := make([]time.Duration, len(e.samples))
	for i, s := range e.samples {
		out[i] = s.wall
	}
	return out
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func median(d []time.Duration) time.Duration { return quantile(d, 0.5) }

// quantile is by nearest rank: with 50 values the 99th percentile is the
// largest.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Clone(d)
	slices.Sort(s)
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// machine describes what the numbers were measured on.
func machine(hidden bool) string {
	cpu, count := "unknown processor", 0
	b, _ := os.ReadFile("/proc/cpuinfo")
	for _, l := range strings.Split(string(b), "\n") {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
			cpu = strings.TrimSpace(v)
			count++
		}
	}
	mode := "v1"
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		mode = "v2"
	} else if hidden {
		mode = "v1 (a v2 hierarchy with controllers is hidden from all: crun refuses hybrid machines)"
	}
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	var out strings.Builder
	fmt.Fprintf(&out, "Machine: %d × %s, Linux %s, cgroup %s, load %s at the start, %s.\n", count, cpu, release(), mode, first, time.Now().UTC().Format("2006-01-02"))
	for _, p := range []string{"crun", "runc", "podman", "bwrap", "docker"} {
		if v, err := exec.Command(p, "--version").Output(); err == nil {
			line, _, _ := strings.Cut(string(v), "\n")
			fmt.Fprintf(&out, "%s. ", line)
		}
	}
	return out.String() + "\n"
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func kernel() seccomp.Version {
	var v seccomp.Version
	_, _ = fmt.Sscanf(release(), "%d.%d", &v.Major, &v.Minor)
	return v
}
