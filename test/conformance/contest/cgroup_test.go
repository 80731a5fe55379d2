package contest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// group is where a controller has the container's cgroup.
func (b *bundle) group(controller string) string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "/sys/fs/cgroup" + b.spec.Linux.CgroupsPath
	}
	return "/sys/fs/cgroup/" + controller + b.spec.Linux.CgroupsPath
}

// limit reads a limit, by its file on v1 or on v2.
func (b *bundle) limit(controller, v1, v2 string) string {
	b.t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return strings.TrimSpace(read(b.t, b.group("")+"/"+v2))
	}
	return strings.TrimSpace(read(b.t, b.group(controller)+"/"+v1))
}

func TestLimits(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}
	b.spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0"}
	b.spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr(int64(77))}
	b.started()
	for _, tt := range []struct{ controller, v1, v2, want1, want2 string }{
		{"memory", "memory.limit_in_bytes", "memory.max", "67108864", "67108864"},
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000"},
		{"cpuset", "cpuset.cpus", "cpuset.cpus", "0", "0"},
		{"pids", "pids.max", "pids.max", "77", "77"},
	} {
		if got := b.limit(tt.controller, tt.v1, tt.v2); got != tt.want1 && got != tt.want2 {
			t.Errorf("%s: %q", tt.v1, got)
		}
	}
	if o := b.runtime("update", "--memory", "100663296", "--pids-limit", "88", b.id); o.code != 0 {
		t.Fatalf("update: %v", o)
	}
	if got := b.limit("memory", "memory.limit_in_bytes", "memory.max"); got != "100663296" {
		t.Errorf("memory after update: %s", got)
	}
	if got := b.limit("pids", "pids.max", "pids.max"); got != "88" {
		t.Errorf("pids after update: %s", got)
	}
	must(t, os.WriteFile(b.dir+"/resources.json", []byte(`{"pids":{"limit":99}}`), 0o600))
	if o := b.runtime("update", "--resources", b.dir+"/resources.json", b.id); o.code != 0 {
		t.Fatalf("update --resources: %v", o)
	}
	if got := b.limit("pids", "pids.max", "pids.max"); got != "99" {
		t.Errorf("pids after update --resources: %s", got)
	}
	path := b.group("memory")
	b.runtime("delete", "--force", b.id)
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is left", path)
	}
}

// TestCgroupView: a cgroup namespace shows the container's group as the root,
// and nothing of it can be written.
func TestCgroupView(t *testing.T) {
	b := newBundle(t, "cut -d: -f3 /proc/self/cgroup | sort -u; touch /sys/fs/cgroup/x 2>&1")
	o := b.run()
	if !strings.HasPrefix(o.out, "/\n") || !strings.Contains(o.out, "Read-only file system") {
		t.Errorf("cgroup view: %v", o)
	}
}

func TestEventsStats(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	o := b.runtime("events", "--stats", b.id)
	if world.name == "crun" {
		t.Skip("crun has no events")
	}
	var e struct {
		Type, ID string
		Data     struct {
			Memory struct {
				Usage struct{ Usage uint64 }
			}
			Pids struct{ Current uint64 }
		}
	}
	if err := json.Unmarshal([]byte(o.out), &e); err != nil || e.Type != "stats" || e.ID != b.id || e.Data.Memory.Usage.Usage == 0 || e.Data.Pids.Current == 0 {
		t.Errorf("events --stats: %v %+v %v", err, e, o)
	}
}

// TestSubgroups: delete removes groups that the container has made.
func TestSubgroups(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	must(t, os.MkdirAll(b.group("pids")+"/a/b", 0o755))
	path := b.group("pids")
	if o := b.runtime("delete", "--force", b.id); o.code != 0 {
		t.Fatal(o)
	}
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is left", path)
	}
}
