package container

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/host"
	"golang.org/x/sys/unix"
)

func TestRdtGroup(t *testing.T) {
	for _, tt := range []struct {
		in   specs.LinuxIntelRdt
		want rdtGroup
	}{
		{specs.LinuxIntelRdt{}, rdtGroup{class: "box", own: true}},
		{specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}, rdtGroup{monitor: "box"}},
		{
			specs.LinuxIntelRdt{ClosID: "a", Schemata: []string{"L2:0=f"}, MemBwSchema: "MB:0=20", L3CacheSchema: "L3:0=7f0"},
			rdtGroup{class: "a", schemata: []string{"L3:0=7f0", "MB:0=20", "L2:0=f"}},
		},
	} {
		if got, err := rdtGroupOf(&tt.in, "box"); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: %+v, %v", tt.in, got, err)
		}
	}
}

// fakeResctrl is a directory that looks like the file system with one class.
// The real one needs hardware.
func fakeResctrl(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tasks": "", "schemata": "L3:0=7ff;1=7ff\nMB:0=100\n", "class/tasks": "", "class/schemata": "    L3:0=0f0;1=00f\n    MB:0= 20\n",
		"class/mon_groups/x": "",
	} {
		must(t, os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755))
		must(t, os.WriteFile(dir+"/"+name, []byte(text), 0o644))
	}
	return dir
}

func TestIntelRdt(t *testing.T) {
	dir := fakeResctrl(t)
	rdt := func(r specs.LinuxIntelRdt) edit {
		return func(c *Config) {
			c.Spec.Linux.IntelRdt, c.Facts.Resctrl, c.State.ID = &r, dir, "box"
		}
	}
	for _, tt := range []struct {
		r     specs.LinuxIntelRdt
		tasks string
		want  string
	}{
		{specs.LinuxIntelRdt{ClosID: "/"}, "tasks", ""},
		{specs.LinuxIntelRdt{ClosID: "class"}, "class/tasks", ""},
		{specs.LinuxIntelRdt{ClosID: "class", L3CacheSchema: "L3:1=f;0=F0", MemBwSchema: "MB:0=20"}, "class/tasks", ""},
		{specs.LinuxIntelRdt{ClosID: "class", Schemata: []string{"L3:0=ff"}}, "", `intel rdt class "class": schemata: the class is there and has L3:0=f0 instead of ff`},
		{specs.LinuxIntelRdt{ClosID: "none"}, "", `intel rdt class "none": no such file or directory`},
		{specs.LinuxIntelRdt{}, "", `intel rdt class "box": tasks: no such file or directory`},
	} {
		cfg := newConfig(t, shell("true"), rdt(tt.r))
		noTraces(t, func() {
			c, err := Make(cfg, nil)
			if err != nil {
				if err.Error() != tt.want {
					t.Errorf("%+v: %v, want %s", tt.r, err, tt.want)
				}
				return
			}
			b, rerr := os.ReadFile(dir + "/" + tt.tasks)
			must(t, rerr)
			if pid := string(b); tt.want != "" || pid != strconv.Itoa(c.Process.Pid) {
				t.Errorf("%+v: tasks has %q, not %d", tt.r, pid, c.Process.Pid)
			}
			c.Abandon()
		})
	}
	for _, gone := range []string{"none", "box"} {
		if _, err := os.Stat(dir + "/" + gone); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	s := &specs.Spec{Linux: &specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "class", MemBwSchema: "MB:0=30"}}}
	must(t, RemoveIntelRdt(s, "box", &host.Facts{Resctrl: dir}))
	if _, err := os.Stat(dir + "/class"); err != nil {
		t.Error(err)
	}
}

func TestNoResctrl(t *testing.T) {
	testkit.Containers(t)
	if _, err := resctrl(&host.Facts{}); err == nil {
		t.Skip("this machine has resctrl")
	}
	_, _, err := output(t, newConfig(t, shell("true"), func(c *Config) {
		c.Spec.Linux.IntelRdt, c.State.ID = &specs.LinuxIntelRdt{}, "box"
	}))
	if fault.KindOf(err) != fault.Unsupported || err.Error() != "linux.intelRdt: no resctrl file system is mounted" {
		t.Error(err)
	}
}
