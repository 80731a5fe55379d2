package container

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/spawn/nofile"
	"github.com/tare-engine/tare/internal/spec/capability"
	"golang.org/x/sys/unix"
)

// limitsOf returns the program's limits, soft and hard, by /proc's names.
func limitsOf(t *testing.T, edits ...edit) map[string]string {
	t.Helper()
	out := sh(t, "cat /proc/self/limits", edits...)
	m := map[string]string{}
	for _, l := range strings.Split(out, "\n") {
		if len(l) > 46 {
			m[strings.TrimSpace(l[:26])] = strings.Join(strings.Fields(l[26:]), " ")
		}
	}
	return m
}

func rlimit(kind string, soft, hard uint64) edit {
	return func(c *Config) {
		c.Spec.Process.Rlimits = append(c.Spec.Process.Rlimits, specs.POSIXRlimit{Type: kind, Soft: soft, Hard: hard})
	}
}

// TestRlimits: those of the configuration, and for open files what the engine
// was started with, not what Go made of it.
func TestRlimits(t *testing.T) {
	testkit.Containers(t)
	m := limitsOf(t, rlimit("RLIMIT_NPROC", 100, 200), rlimit("RLIMIT_STACK", 1<<20, 1<<21), rlimit("RLIMIT_CORE", 0, 0))
	for name, want := range map[string]string{
		"Max processes": "100 200 processes", "Max stack size": "1048576 2097152 bytes", "Max core file size": "0 0 bytes",
	} {
		if m[name] != want {
			t.Errorf("%s: %q, want %q", name, m[name], want)
		}
	}
	if soft := strings.Fields(m["Max open files"])[0]; soft != formatUint(nofile.Soft) {
		t.Errorf("open files %q, started with %d", m["Max open files"], nofile.Soft)
	}
	core := host.Rlimit(unix.RLIMIT_CORE)
	if soft := strings.Fields(limitsOf(t)["Max core file size"])[0]; soft != formatUint(core[0]) {
		t.Errorf("core file %q, the engine has %d", soft, core[0])
	}
	if m := limitsOf(t, rlimit("RLIMIT_NOFILE", 64, 128)); m["Max open files"] != "64 128 files" {
		t.Errorf("open files %q", m["Max open files"])
	}
}

func formatUint(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return itoa(int(n))
}

// TestRlimitAboveHard: without CAP_SYS_RESOURCE the limit is clamped, and
// said; with it, it is raised.
func TestRlimitAboveHard(t *testing.T) {
	testkit.Containers(t)
	f, err := host.Probe()
	must(t, err)
	// A limit that this process can lower for itself: nothing else runs in it.
	old := host.Rlimit(unix.RLIMIT_SIGPENDING)
	low := unix.Rlimit{Cur: 1000, Max: 1000}
	var was unix.Rlimit
	must(t, unix.Prlimit(0, unix.RLIMIT_SIGPENDING, nil, &was))
	canRaise := f.Bounding.Has(unix.CAP_SYS_RESOURCE)
	if canRaise {
		must(t, unix.Prlimit(0, unix.RLIMIT_SIGPENDING, &low, nil))
		defer func() { must(t, unix.Prlimit(0, unix.RLIMIT_SIGPENDING, &was, nil)) }()
		m := limitsOf(t, rlimit("RLIMIT_SIGPENDING", 1500, 2000))
		if m["Max pending signals"] != "1500 2000 signals" {
			t.Errorf("raised to %q", m["Max pending signals"])
		}
		old[1] = 1000
	}
	if old[1] == unix.RLIM_INFINITY {
		t.Skip("no limit that could be exceeded")
	}
	for name, e := range map[string]edit{
		"without the capability": func(c *Config) { c.Facts.Bounding &^= capability.Of(unix.CAP_SYS_RESOURCE) },
		"in a user namespace":    withUserNS,
	} {
		var warnings []string
		m := limitsOf(t, rlimit("RLIMIT_SIGPENDING", old[1]+1, old[1]+2), e, collectWarnings(&warnings))
		hard := itoa(int(old[1]))
		if m["Max pending signals"] != hard+" "+hard+" signals" {
			t.Errorf("%s: clamped to %q, the hard limit is %s", name, m["Max pending signals"], hard)
		}
		if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "rlimit RLIMIT_SIGPENDING: ") {
			t.Errorf("%s: warnings %q", name, warnings)
		}
	}
}

func TestSysctl(t *testing.T) {
	testkit.Containers(t)
	files := []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax", "/proc/sys/kernel/shmmax"}
	var before []string
	for _, f := range files {
		before = append(before, read(t, f))
	}
	out := sh(t, "cat "+strings.Join(files, " ")+"; echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo fixed", func(c *Config) {
		c.Spec.Linux.Sysctl = map[string]string{
			"net.ipv4.ip_forward": "1", "kernel.msgmax": "54321", "kernel.shmmax": "8192",
		}
	})
	if out != "1\n54321\n8192\nfixed\n" {
		t.Errorf("got %q", out)
	}
	for i, f := range files {
		if now := read(t, f); now != before[i] {
			t.Errorf("the host's %s is %s, was %s", f, now, before[i])
		}
	}
}

// TestSysctlRefused: nothing that belongs to the host is written.
func TestSysctlRefused(t *testing.T) {
	for _, name := range []string{
		"kernel.core_pattern", "kernel.panic", "vm.swappiness", "fs.file-max", "net..ipv4", "net/../kernel/core_pattern",
		"../sysrq-trigger", "kernel.hostname", "net.", "",
	} {
		cfg := pureConfig(func(c *Config) { c.Spec.Linux.Sysctl = map[string]string{name: "1"} })
		if _, err := Compile(cfg); err == nil || !strings.HasPrefix(err.Error(), "sysctl") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace} {
		cfg := pureConfig(share(kind), func(c *Config) {
			c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "1"}
		})
		if _, err := Compile(cfg); err == nil || !strings.Contains(err.Error(), "host's "+string(kind)+" namespace") {
			t.Errorf("%s of the host: %v", kind, err)
		}
	}
}

// TestProcWritesAreNotRedirected: a volume whose link lands on the file that a
// label or a score is written to does not get the write (CVE-2025-52881).
func TestProcWritesAreNotRedirected(t *testing.T) {
	testkit.Containers(t)
	v := t.TempDir()
	must(t, os.WriteFile(v+"/decoy", []byte("untouched"), 0o666))
	score := 500
	_, _, err := output(t, newConfig(t, shell("cat /proc/self/oom_score_adj"),
		bind(v+"/decoy", "/link"), func(c *Config) {
			c.Spec.Process.OOMScoreAdj = &score
			must(t, os.Symlink("/proc/self/oom_score_adj", c.Root.Bind+"/link"))
		}))
	if err == nil || !strings.HasPrefix(err.Error(), "set oom_score_adj 500: ") {
		t.Errorf("error %v", err)
	}
	if got := read(t, v+"/decoy"); got != "untouched" {
		t.Errorf("the volume's file got %q", got)
	}
}

// TestMissingLimit: what the host cannot give is an error that names it, or a
// warning where nobody asked.
func TestMissingLimit(t *testing.T) {
	testkit.Containers(t)
	limited := func(c *Config) {
		limit := int64(1 << 30)
		c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		for i := range c.Layout.Hierarchies {
			h := &c.Layout.Hierarchies[i]
			h.Controllers = slices.DeleteFunc(slices.Clone(h.Controllers), func(n string) bool { return n == "memory" })
		}
		c.Layout.Hierarchies = slices.DeleteFunc(slices.Clone(c.Layout.Hierarchies), func(h hierarchy) bool {
			return !h.Unified && len(h.Controllers) == 0
		})
	}
	_, _, err := output(t, newConfig(t, shell("true"), limited))
	if err == nil || !strings.Contains(err.Error(), "memory") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	var warnings []string
	if out := sh(t, "echo ran", limited, collectWarnings(&warnings), func(c *Config) { c.Optional = func(string) bool { return true } }); out != "ran\n" || len(warnings) == 0 {
		t.Errorf("%q, warnings %q", out, warnings)
	}
}
