package systemd

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnit: what a container's scope begins with, and what an update sends.
func TestUnit(t *testing.T) {
	b := startBus(t, func(n int, serial uint32, _ string) [][]byte {
		return [][]byte{removed("/job/1", "done"), started(serial, "/job/1")}
	})
	pids := int64(5)
	r := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &pids}}
	u := &Unit{Scope: Scope{Slice: "a.slice", Unit: "x.scope"}, Socket: b.socket, Description: "a test", Resources: r}
	if err := u.Create(258); err != nil {
		t.Fatal(err)
	}
	call := <-b.calls
	for _, want := range []string{
		"StartTransientUnit ", "782e73636f7065", // x.scope
		"0261750000000004000000" + "02010000", // an array of one u: 258
		"5461736b734d6178" + "00" + "017400",  // TasksMax
	} {
		if !strings.Contains(call, want) {
			t.Errorf("no %s in %s", want, call)
		}
	}
	u.Socket = "/nowhere"
	if err := u.Update(&specs.LinuxResources{}); err != nil {
		t.Errorf("nothing to update: %v", err)
	}
	if err := u.Update(r); err == nil {
		t.Error("an update without systemd")
	}
}
