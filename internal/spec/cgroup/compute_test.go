package cgroup

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func ptr[T any](v T) *T { return &v }

// everything asks for each limit that the spec knows, also one that it has
// deprecated (kernel memory).
func everything() *specs.LinuxResources {
	dev := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	weight := specs.LinuxWeightDevice{Weight: ptr(uint16(500)), LeafWeight: ptr(uint16(30))}
	weight.LinuxBlockIODevice = dev
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		d := specs.LinuxThrottleDevice{Rate: n}
		d.LinuxBlockIODevice = dev
		return []specs.LinuxThrottleDevice{d}
	}
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{
			{Allow: false, Access: "rwm"},
			{Allow: true, Type: "c", Access: "m"},
			{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "rwm"},
			{Allow: true, Type: "c", Major: ptr(int64(136)), Access: "rwm"},
		},
		Memory: &specs.LinuxMemory{
			Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20)), Reservation: ptr(int64(32 << 20)),
			Kernel:    ptr(int64(1)), //nolint:staticcheck // old configurations have it
			KernelTCP: ptr(int64(1 << 20)), Swappiness: ptr(uint64(10)), DisableOOMKiller: ptr(true), UseHierarchy: ptr(false),
		},
		CPU: &specs.LinuxCPU{
			Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(200000)), Burst: ptr(uint64(1000)),
			RealtimeRuntime: ptr(int64(950)), RealtimePeriod: ptr(uint64(1000)), Idle: ptr(int64(0)), Cpus: "0-1", Mems: "0",
		},
		Pids: &specs.LinuxPids{Limit: ptr(int64(100))},
		BlockIO: &specs.LinuxBlockIO{
			Weight: ptr(uint16(300)), LeafWeight: ptr(uint16(20)), WeightDevice: []specs.LinuxWeightDevice{weight},
			ThrottleReadBpsDevice: rate(1000), ThrottleWriteBpsDevice: rate(0), ThrottleReadIOPSDevice: rate(10), ThrottleWriteIOPSDevice: rate(20),
		},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
		Network:        &specs.LinuxNetwork{ClassID: ptr(uint32(0x100001)), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 5}}},
		Rdma:           map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(9))}, "a0": {HcaObjects: ptr(uint32(1))}},
		Unified:        map[string]string{"memory.high": "50331648", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cgroup.max.depth": "2", "misc.max": "res 1"},
	}
}

func render(s *Set) string {
	var b strings.Builder
	for _, a := range s.Actions {
		b.WriteString(a.String())
		if a.Optional {
			b.WriteString(" (optional)")
		}
		b.WriteByte('\n')
	}
	for _, m := range s.Missing {
		b.WriteString("missing: " + m.String() + "\n")
	}
	return b.String()
}

func TestComputeGolden(t *testing.T) {
	for _, machine := range []string{"v1", "v2", "hybrid", "nested"} {
		l := layout(t, machine)
		for _, c := range []struct {
			name, path string
			r          *specs.LinuxResources
			o          Options
		}{
			{"nothing", "/tare/c1", nil, Options{}},
			{"everything", "/tare/c1", everything(), Options{OOMGroup: true}},
			{"update", "/tare/c1", &specs.LinuxResources{
				CPU:            &specs.LinuxCPU{Cpus: "1"},
				Memory:         &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), CheckBeforeUpdate: ptr(true)},
				Devices:        []specs.LinuxDeviceCgroup{{Allow: true}},
				HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
			}, Options{Update: true}},
			{"deep", "/a/b/c/d", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, Options{}},
		} {
			t.Run(machine+"/"+c.name, func(t *testing.T) {
				s, err := Compute(l, c.path, c.r, c.o)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, "testdata/"+machine+"-"+c.name+".golden", render(s))
			})
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *testkit.Update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", file, got)
	}
}

// one computes on a machine and returns the writes as "file value" lines and
// the names of what is missing.
func one(t *testing.T, machine string, r *specs.LinuxResources, o Options) string {
	t.Helper()
	s, err := Compute(layout(t, machine), "/c", r, o)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, a := range s.Actions {
		if a.Kind == Write || a.Kind == Check {
			out = append(out, strings.TrimSpace(a.File+" "+a.Value))
		}
	}
	for _, m := range s.Missing {
		out = append(out, "-"+m.Resource)
	}
	return strings.Join(out, "; ")
}

// TestValues has the values that need a rule; the golden files have the rest.
func TestValues(t *testing.T) {
	mem := func(m specs.LinuxMemory) *specs.LinuxResources { return &specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) *specs.LinuxResources { return &specs.LinuxResources{CPU: &c} }
	pid := func(n int64) *specs.LinuxResources { return &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}} }
	const m = int64(64 << 20)
	for _, tt := range []struct {
		name   string
		r      *specs.LinuxResources
		v1, v2 string
	}{
		{"no swap", mem(specs.LinuxMemory{Limit: ptr(m), Swap: ptr(m)}), "memory.limit_in_bytes 67108864; memory.memsw.limit_in_bytes 67108864", "memory.swap.max 0; memory.max 67108864"},
		{"limit alone", mem(specs.LinuxMemory{Limit: ptr(m)}), "memory.limit_in_bytes 67108864", "memory.max 67108864"},
		{"unlimited swap", mem(specs.LinuxMemory{Limit: ptr(m), Swap: ptr(int64(-1))}), "memory.limit_in_bytes 67108864; memory.memsw.limit_in_bytes -1", "memory.swap.max max; memory.max 67108864"},
		{"unlimited", mem(specs.LinuxMemory{Limit: ptr(int64(-1))}), "memory.limit_in_bytes -1; memory.memsw.limit_in_bytes -1", "memory.swap.max max; memory.max max"},
		{"unlimited memory, limited swap", mem(specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(m)}), "memory.limit_in_bytes -1; memory.memsw.limit_in_bytes 67108864", "memory.swap.max 67108864; memory.max max"},
		{"zero is unset", mem(specs.LinuxMemory{Limit: ptr(int64(0)), Swap: ptr(int64(0)), Reservation: ptr(int64(0))}), "", ""},
		{"unlimited reservation", mem(specs.LinuxMemory{Reservation: ptr(int64(-1))}), "memory.soft_limit_in_bytes -1", "memory.low max"},
		{"swap without limit", mem(specs.LinuxMemory{Swap: ptr(m)}), "set memory.swap 67108864: needs a memory limit beside it", "set memory.swap 67108864: needs a memory limit beside it"},
		{"swap below limit", mem(specs.LinuxMemory{Limit: ptr(m), Swap: ptr(m - 1)}), "set memory.swap 67108863: below the memory limit 67108864", "set memory.swap 67108863: below the memory limit 67108864"},
		{"negative", mem(specs.LinuxMemory{Limit: ptr(int64(-2))}), "set memory.limit -2: must be -1 or more", "set memory.limit -2: must be -1 or more"},
		{"swappiness 0", mem(specs.LinuxMemory{Swappiness: ptr(uint64(0))}), "memory.swappiness 0", "-memory.swappiness"},
		{"kernel memory", mem(specs.LinuxMemory{Kernel: ptr(m)}), "-memory.kernel", "-memory.kernel"}, //nolint:staticcheck // old configurations have it
		{"oom killer stays on", mem(specs.LinuxMemory{DisableOOMKiller: ptr(false), UseHierarchy: ptr(true)}), "", ""},
		{"oom killer off", mem(specs.LinuxMemory{DisableOOMKiller: ptr(true)}), "memory.oom_control 1", "-memory.disableOOMKiller"},
		{"check is for updates", mem(specs.LinuxMemory{Limit: ptr(m), CheckBeforeUpdate: ptr(true)}), "memory.limit_in_bytes 67108864", "memory.max 67108864"},

		{"period alone", cpu(specs.LinuxCPU{Period: ptr(uint64(50000))}), "cpu.cfs_period_us 50000", "cpu.max max 50000"},
		{"quota alone", cpu(specs.LinuxCPU{Quota: ptr(int64(20000))}), "cpu.cfs_quota_us 20000", "cpu.max 20000 100000"},
		{"no quota", cpu(specs.LinuxCPU{Quota: ptr(int64(-1)), Period: ptr(uint64(50000))}), "cpu.cfs_period_us 50000; cpu.cfs_quota_us -1", "cpu.max max 50000"},
		{"burst 0", cpu(specs.LinuxCPU{Burst: ptr(uint64(0))}), "cpu.cfs_burst_us 0", "cpu.max.burst 0"},
		{"shares 0 are unset", cpu(specs.LinuxCPU{Shares: ptr(uint64(0))}), "", ""},
		{"idle has no weight", cpu(specs.LinuxCPU{Idle: ptr(int64(1)), Shares: ptr(uint64(5))}), "cpu.idle 1", "cpu.idle 1"},
		{"bad idle", cpu(specs.LinuxCPU{Idle: ptr(int64(2))}), "set cpu.idle 2: must be 0 or 1", "set cpu.idle 2: must be 0 or 1"},
		{"bad cpuset", cpu(specs.LinuxCPU{Cpus: "0-x"}), "set cpuset \"0-x\": malformed list", "set cpuset \"0-x\": malformed list"},

		{"pids -1", pid(-1), "pids.max max", "pids.max max"},
		{"pids 0", pid(0), "pids.max 1", "pids.max 1"},
		{"pids nil", &specs.LinuxResources{Pids: &specs.LinuxPids{}}, "", ""},

		{"unified", &specs.LinuxResources{Unified: map[string]string{"memory.high": "1", "cpuset.cpus.partition": "root"}}, "-unified.cpuset.cpus.partition; -unified.memory.high", "cpuset.cpus.partition root; memory.high 1"},
		{"unified slash", &specs.LinuxResources{Unified: map[string]string{"memory/../x": "1"}}, `use unified key "memory/../x": malformed`, `use unified key "memory/../x": malformed`},
		{"unified procs", &specs.LinuxResources{Unified: map[string]string{"cgroup.procs": "1"}}, `use unified key "cgroup.procs": no such controller`, `use unified key "cgroup.procs": no such controller`},
		{"unified unknown", &specs.LinuxResources{Unified: map[string]string{"devices.allow": "a"}}, `use unified key "devices.allow": no such controller`, `use unified key "devices.allow": no such controller`},
		{"all devices", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}, "", ""},
		{"page size", &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB/x"}}}, `set hugepage limit "2MB/x": malformed page size`, `set hugepage limit "2MB/x": malformed page size`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := one(t, "v1", tt.r, Options{}); got != tt.v1 {
				t.Errorf("v1: %s\nwant %s", got, tt.v1)
			}
			if got := one(t, "v2", tt.r, Options{}); got != tt.v2 {
				t.Errorf("v2: %s\nwant %s", got, tt.v2)
			}
		})
	}
}

func TestSharesToWeight(t *testing.T) {
	// The values that runc's and crun's release notes and issues give.
	for shares, want := range map[uint64]uint64{0: 1, 1: 1, 2: 1, 512: 59, 1024: 100, 2000: 170, 262144: 10000, 1 << 60: 10000} {
		if got := SharesToWeight(shares); got != want {
			t.Errorf("SharesToWeight(%d) = %d, want %d", shares, got, want)
		}
	}
	last := uint64(0)
	for s := uint64(1); s <= 262145; s++ {
		w := SharesToWeight(s)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("SharesToWeight(%d) = %d after %d", s, w, last)
		}
		last = w
	}
}

func TestBlkioToIOWeight(t *testing.T) {
	for w, want := range map[uint16]uint64{1: 1, 10: 1, 100: 910, 500: 4950, 1000: 10000} {
		if got := BlkioToIOWeight(w); got != want {
			t.Errorf("BlkioToIOWeight(%d) = %d, want %d", w, got, want)
		}
	}
}

func TestDirs(t *testing.T) {
	for _, tt := range []struct{ machine, path, want string }{
		{"v2", "/tare/x", "tare/x"},
		{"v2", "x/y", "system.slice/tare.service/x/y"},
		{"v1", "x", "x x x process_api/8f4e/x x x x x x"},
		{"nested", "/x", "x x x x x"},
	} {
		got, err := layout(t, tt.machine).Dirs(tt.path)
		if s := strings.Join(got, " "); err != nil || s != tt.want {
			t.Errorf("Dirs(%q) on %s = %s, %v, want %s", tt.path, tt.machine, s, err, tt.want)
		}
	}
	for _, path := range []string{"", "/", "//a", "/a/", "/a/../b", ".", "a/./b", "/a\nb", "/" + strings.Repeat("x", 256)} {
		if _, err := layout(t, "v2").Dirs(path); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Dirs(%q) = %v, want invalid", path, err)
		}
	}
	if _, err := layout(t, "nested").Dirs("x"); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("Dirs below a cgroup that is not visible = %v", err)
	}
}

func TestNoCgroups(t *testing.T) {
	s, err := Compute(Layout{}, "/tare/x", everything(), Options{})
	if err != nil || len(s.Actions) != 0 {
		t.Fatalf("Compute = %v, %v", s, err)
	}
	if len(s.Missing) < 30 {
		t.Errorf("only %d limits are missing", len(s.Missing))
	}
}

func BenchmarkCompute(b *testing.B) {
	r := everything()
	for _, machine := range []string{"v1", "v2"} {
		l := layout(b, machine)
		b.Run(machine, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compute(l, "/tare/c1", r, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestParsers(t *testing.T) {
	if n, err := OOMKills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"); n != 3 || err != nil {
		t.Errorf("v1: %d, %v", n, err)
	}
	if n, err := OOMKills("low 0\nhigh 0\nmax 9\noom 4\noom_kill 2\noom_group_kill 1\n"); n != 2 || err != nil {
		t.Errorf("v2: %d, %v", n, err)
	}
	if _, err := OOMKills("oom_kill_disable 0\n"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("before 4.13: %v", err)
	}
	if _, err := OOMKills("oom_kill x\n"); err == nil {
		t.Error("not a number")
	}
	if d, err := CPUUsage("1234567\n"); d != 1234567 || err != nil {
		t.Errorf("v1: %v, %v", d, err)
	}
	if d, err := CPUUsage("usage_usec 12\nuser_usec 5\n"); d != 12000 || err != nil {
		t.Errorf("v2: %v, %v", d, err)
	}
	if p := Procs("12\n0\n7\n"); len(p) != 2 || p[0] != 12 || p[1] != 7 {
		t.Errorf("Procs = %v", p)
	}
}
