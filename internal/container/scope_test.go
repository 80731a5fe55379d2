package container

import (
	"errors"
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

// fakeScope is an owner of cgroups that has other ideas of the limits.
type fakeScope func(pid int) error

func (f fakeScope) Create(pid int) error { return f(pid) }

// TestScope: the owner of the cgroup gets the process that waits for it, and
// the limits are the configuration's again behind it.
func TestScope(t *testing.T) {
	testkit.Containers(t)
	pids, pid := int64(50), 0
	cfg := newConfig(t, shell("echo go; read x"), func(c *Config) { c.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids} })
	dirs, err := cfg.Layout.Dirs(cfg.Spec.Linux.CgroupsPath)
	must(t, err)
	i := cfg.Layout.Find("pids")
	file := cfg.Layout.Hierarchies[i].Mount + "/" + dirs[i] + "/pids.max"
	cfg.Scope = fakeScope(func(p int) error {
		pid = p
		return os.WriteFile(file, []byte("7\n"), 0o644)
	})
	r := start(t, cfg)
	if s := r.line(t); s != "go" || pid != r.Process.Pid {
		t.Errorf("it says %q, the scope has got process %d of %d", s, pid, r.Process.Pid)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "50\n" {
		t.Errorf("%s: %q, %v", file, b, err)
	}
	r.stop()

	refused := errors.New("no such slice")
	cfg = newConfig(t, shell("true"))
	cfg.Scope = fakeScope(func(int) error { return refused })
	noTraces(t, func() {
		if _, err := Make(cfg, nil); !errors.Is(err, refused) {
			t.Error(err)
		}
	})
}
