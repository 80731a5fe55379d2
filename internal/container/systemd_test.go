package container

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/systemd"
)

// TestSystemd makes a container in a scope of the systemd that runs, which in
// CI is the VM's.
func TestSystemd(t *testing.T) {
	testkit.Containers(t)
	if _, err := os.Stat(systemd.SystemSocket); err != nil {
		t.Skip("systemd does not run here")
	}
	c, err := systemd.Dial(systemd.SystemSocket, 10*time.Second)
	must(t, err)
	defer c.Close()
	scope, err := systemd.ParseScope("taretest-a.slice:tare:box", "", false)
	must(t, err)
	scope.Root, err = c.ControlGroup()
	must(t, err)
	limit, pids := int64(64<<20), int64(50)
	unit := &systemd.Unit{Scope: scope, Socket: systemd.SystemSocket, Description: "a test"}
	for range 2 { // the name is free again
		r := start(t, newConfig(t, shell("cat /proc/self/cgroup; echo end; read x"), func(c *Config) {
			c.Scope, c.Spec.Linux.CgroupsPath = unit, scope.Path()
			c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
			c.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
			unit.V2, unit.Resources = c.Layout.MemoryOnV2(), c.Spec.Linux.Resources
		}))
		for line := r.line(t); line != "end"; line = r.line(t) {
			if !strings.HasSuffix(line, ":/") {
				t.Errorf("not the root of its cgroup namespace: %s", line)
			}
		}
		out, err := exec.Command("systemctl", "show", scope.Unit, "-p", "Slice,ControlGroup,MemoryMax,TasksMax,Delegate,ActiveState").CombinedOutput()
		must(t, err)
		for _, want := range []string{"Slice=taretest-a.slice", "ControlGroup=/taretest.slice/taretest-a.slice/tare-box.scope", "MemoryMax=67108864", "TasksMax=50", "Delegate=yes", "ActiveState=active"} {
			if !strings.Contains(string(out), want+"\n") {
				t.Errorf("no %s in\n%s", want, out)
			}
		}
		if b, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
			t.Errorf("daemon-reload: %v: %s", err, b)
		}
		if s, err := r.Group.Stats(); err != nil || s.Memory == nil || s.Memory.Limit != 64<<20 {
			t.Errorf("behind a reload: %+v, %v", s.Memory, err)
		}
		r.stop()
	}
	must(t, c.Stop("tare-never-there.scope"))
	must(t, c.Stop("taretest.slice"))
}
