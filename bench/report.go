package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/spec/seccomp"
)

// report is the table of one row, the fastest first.
func report(row string, n int, engines []*engine) string {
	own := engines[0]
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%d runs each, interleaved in random order.\n\n", row, n)
	fmt.Fprintf(&b, "| program | median ms | p99 ms | CPU ms | page faults | peak RSS MiB | %s takes |\n|---|---:|---:|---:|---:|---:|---:|\n", own.name)
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
			fmt.Fprintf(&b, "| %s | – | – | – | – | – | %s |\n", e.name, e.missing)
			continue
		}
		ratio := ""
		if e != own && own.missing == "" && len(own.samples) > 0 {
			ratio = fmt.Sprintf("%.3f ×", float64(median(walls(own)))/float64(median(walls(e))))
		}
		var rss int64
		for _, s := range e.samples {
			rss = max(rss, s.rss)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %.1f | %s |\n", e.name,
			ms(median(walls(e))), ms(quantile(walls(e), 0.99)), ms(median(cpus(e))), median(faults(e)), float64(rss)/1024, ratio)
	}
	return b.String()
}

// differences is the table of what the engines cost more than the first one.
func differences(engines []*engine) string {
	own := engines[0]
	var b strings.Builder
	fmt.Fprintf(&b, "\n| more than %s | median ms | CPU ms | page faults |\n|---|---:|---:|---:|\n", own.name)
	for _, e := range engines[1:] {
		if len(e.samples) > 0 && len(own.samples) > 0 {
			fmt.Fprintf(&b, "| %s | %+.2f | %+.2f | %+d |\n", e.name,
				float64((median(walls(e))-median(walls(own))).Microseconds())/1000,
				float64((median(cpus(e))-median(cpus(own))).Microseconds())/1000, median(faults(e))-median(faults(own)))
		}
	}
	return b.String()
}

func walls(e *engine) []time.Duration {
	return column(e, func(s sample) time.Duration { return s.wall })
}

func cpus(e *engine) []time.Duration { return column(e, func(s sample) time.Duration { return s.cpu }) }

func faults(e *engine) []int64 { return column(e, func(s sample) int64 { return s.faults }) }

func column[T any](e *engine, of func(sample) T) []T {
	out := make([]T, len(e.samples))
	for i, s := range e.samples {
		out[i] = of(s)
	}
	return out
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func median[T cmp.Ordered](d []T) T { return quantile(d, 0.5) }

// quantile is by nearest rank: with 50 values the 99th percentile is the
// largest.
func quantile[T cmp.Ordered](d []T, q float64) T {
	if len(d) == 0 {
		var none T
		return none
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
