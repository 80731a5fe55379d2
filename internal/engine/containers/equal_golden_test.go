package containers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose/cases"
)

// goldenElsewhere are the golden cases of package compose that are no
// configurations, and what compares them on their way to the clone.
var goldenElsewhere = map[string]string{
	"listenfds": "TestEqualPassed",
	"notify":    "TestEqualNotify",
	"rootless":  "TestEqualRootless",
	"exec":      "begins no container: package execs composes it, and it has no plan to print",
}

// goldenChanged is what a golden case has besides that few machines have, and
// what becomes of it here.
var goldenChanged = map[string]struct {
	why  string
	edit func(*api.HostConfig)
}{
	"limits": {"wants the disk /dev/sda, a weight of an I/O scheduler that few machines use, and two processors", func(h *api.HostConfig) {
		h.BlkioWeight, h.BlkioDeviceReadBps = 0, nil
		h.NanoCPUs, h.CpusetCpus = 500_000_000, "0"
	}},
	"devices": {"wants a sound card", func(h *api.HostConfig) {
		h.Devices = h.Devices[:1]
		h.Devices[0].PathOnHost = "/dev/null" // nor has every machine /dev/fuse
	}},
}

// goldenConfigs are the golden cases of package compose, on this machine.
func goldenConfigs(dir string) []equalConfig {
	var list []equalConfig
	for _, c := range cases.Golden(dir) {
		list = append(list, equalConfig{"golden " + c.Name, func(config *api.ContainerConfig) {
			c.Edit(config)
			config.HostConfig.CgroupParent = testParent()
			if changed := goldenChanged[c.Name]; changed.edit != nil {
				changed.edit(&config.HostConfig)
			}
		}})
	}
	return list
}

// goldenHost makes what they bind and nobody makes for them.
func goldenHost(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"/opt", "/var/vol"} {
		if err := os.MkdirAll(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEqualGolden: every golden case of package compose is one of those that
// TestEqual takes to the clone, or says which test does.
func TestEqualGolden(t *testing.T) {
	files, err := filepath.Glob("../compose/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	begun := map[string]bool{}
	for _, c := range cases.Golden("") {
		begun[c.Name] = true
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if where := goldenElsewhere[name]; begun[name] == (where != "") {
			t.Errorf("%s: begun here %v, and elsewhere %q", name, begun[name], where)
		}
		delete(begun, name)
	}
	for name := range begun {
		t.Errorf("%s: no golden file", name)
	}
}
