package cgroup

import (
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// OOMKills reads how many processes the kernel has OOM-killed, from the text
// of v1's memory.oom_control (4.13) or v2's memory.events.
func OOMKills(text string) (uint64, error) { return Field(text, "oom_kill") }

// CPUUsage reads the CPU time used, from the text of v1's cpuacct.usage
// (nanoseconds) or v2's cpu.stat.
func CPUUsage(text string) (time.Duration, error) {
	if ns, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
		return time.Duration(ns), nil
	}
	us, err := Field(text, "usage_usec")
	return time.Duration(us) * time.Microsecond, err
}

// Field reads a flat keyed file ("key value" lines). An absent key is
// fault.NotFound.
func Field(text, key string) (uint64, error) {
	for line := range strings.SplitSeq(text, "\n") {
		k, v, ok := strings.Cut(line, " ")
		if !ok || k != key {
			continue
		}
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return 0, fault.New(fault.Internal, "read cgroup field %s: %w", key, err)
		}
		return n, nil
	}
	return 0, fault.New(fault.NotFound, "read cgroup field %s: not there", key)
}

// Procs reads a cgroup.procs file. Processes that this pid namespace does not
// show are listed by the kernel as 0 and left out.
func Procs(text string) []int {
	var out []int
	for line := range strings.SplitSeq(text, "\n") {
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}
