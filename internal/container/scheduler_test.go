package container

import (
	"encoding/hex"
	"os"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func scheduler(s specs.Scheduler) edit { return func(c *Config) { c.Spec.Process.Scheduler = &s } }

func memoryPolicy(m specs.LinuxMemoryPolicy) edit {
	return func(c *Config) { c.Spec.Linux.MemoryPolicy = &m }
}

func TestSchedAttr(t *testing.T) {
	for _, tt := range []struct {
		s    specs.Scheduler
		want string // struct sched_attr without its size and clamps
	}{
		{specs.Scheduler{Policy: specs.SchedOther, Nice: -5}, "00000000 0000000000000000 fbffffff 00000000 0000000000000000 0000000000000000 0000000000000000"},
		{
			specs.Scheduler{Policy: specs.SchedRR, Priority: 99, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagKeepParams}},
			"02000000 1100000000000000 00000000 63000000 0000000000000000 0000000000000000 0000000000000000",
		},
		{
			specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1, Deadline: 2, Period: 3},
			"06000000 0000000000000000 00000000 00000000 0100000000000000 0200000000000000 0300000000000000",
		},
	} {
		b, err := schedAttr(&tt.s)
		must(t, err)
		if got := hex.EncodeToString(b[4:48]); got != strings.ReplaceAll(tt.want, " ", "") {
			t.Errorf("%+v: %s", tt.s, got)
		}
	}
}

func TestScheduler(t *testing.T) {
	// policy and real-time priority are fields 41 and 40 of stat, nice is 19.
	const show = `set -- $(cat /proc/self/stat); echo ${41} ${40} ${19}`
	for _, tt := range []struct {
		s    specs.Scheduler
		want string
	}{
		{specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}, "3 0 5\n"},
		{specs.Scheduler{Policy: specs.SchedIdle}, "5 0 0\n"},
		{specs.Scheduler{Policy: specs.SchedRR, Priority: 7}, "2 7 0\n"},
		{specs.Scheduler{Policy: specs.SchedFIFO, Priority: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, "0 0 0\n"}, // cat is a child
	} {
		// Without a cgroup: a new one has no budget of real time on v1.
		if got := sh(t, show, scheduler(tt.s), func(c *Config) { c.Spec.Linux.CgroupsPath = "" }); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.s, got, tt.want)
		}
	}
}

func TestIOPriority(t *testing.T) {
	for p, want := range map[specs.LinuxIOPriority]string{
		{Class: specs.IOPRIO_CLASS_BE, Priority: 6}: "best-effort: prio 6\n",
		{Class: specs.IOPRIO_CLASS_RT, Priority: 0}: "realtime: prio 0\n",
		{Class: specs.IOPRIO_CLASS_IDLE}:            "idle",
	} {
		out := sh(t, "busybox ionice -p $$", func(c *Config) { c.Spec.Process.IOPriority = &p })
		if !strings.HasPrefix(out, want) {
			t.Errorf("%+v: %q", p, out)
		}
	}
}

func TestExecAffinity(t *testing.T) {
	if goruntime.NumCPU() < 2 {
		t.Skip("needs two processors")
	}
	r, cfg := joined(t)
	affinity := func(initial, final string) func(*ExecConfig) {
		return func(x *ExecConfig) { x.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: initial, Final: final} }
	}
	for _, tt := range []struct{ initial, final, want string }{
		{"0", "1", "1"}, {"1", "", ""}, {"", "0", "0"},
	} {
		out, code, err := execOutput(t, execConfig(r, cfg, shell("grep Cpus_allowed_list /proc/self/status"), affinity(tt.initial, tt.final)))
		if err != nil || code != 0 || !strings.HasPrefix(out, "Cpus_allowed_list:\t"+tt.want) {
			t.Errorf("initial %q, final %q: %q, %d, %v", tt.initial, tt.final, out, code, err)
		}
	}
	// The container's own program is not concerned.
	first := sh(t, "grep Cpus_allowed_list /proc/self/status")
	if out := sh(t, "grep Cpus_allowed_list /proc/self/status", func(c *Config) {
		c.Spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"}
	}); out != first {
		t.Errorf("of the first process: %q, want %q", out, first)
	}
}

func TestBitList(t *testing.T) {
	for list, want := range map[string]string{
		"0": "0100000000000000", "0-3,7": "8f00000000000000", "64": "00000000000000000100000000000000", " 1 , 2-2": "0600000000000000",
	} {
		mask, err := bitList("x", list)
		if got := hex.EncodeToString(maskBytes(mask)); err != nil || got != want {
			t.Errorf("%q: %s, %v", list, got, err)
		}
	}
	for _, list := range []string{"", ",", "1-", "-1", "2-1", "8192", "0-99999", "a", "1,,2"} {
		if mask, err := bitList("x", list); err == nil {
			t.Errorf("%q: %v", list, mask)
		}
	}
}

func TestMemoryPolicy(t *testing.T) {
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("this kernel has no NUMA")
	}
	out := sh(t, "cut -d' ' -f2 /proc/self/numa_maps | sort | head -n 1", memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}))
	if out != "bind=static:0\n" {
		t.Errorf("numa_maps: %q", out)
	}
}
