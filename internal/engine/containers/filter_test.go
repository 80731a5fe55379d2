package containers

import (
	"context"
	"slices"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

// TestFilterCache runs a container twice: the second finds the first's
// program, and is filtered just the same.
func TestFilterCache(t *testing.T) {
	e := testEngine(t)
	for range 2 {
		d, err := drafted(t.Context(), e, testContainer("true"))
		if err != nil {
			t.Fatal(err)
		}
		out, code, err := runContainer(t, e, testContainer("sh", "-c", "grep Seccomp: /proc/self/status; unshare -U true"))
		if err != nil || code == 0 || !slices.Contains([]byte(out), '2') {
			t.Errorf("exit code %d, error %v: %s", code, err, out)
		}
		if d.box.Filter != nil && d.comp.Spec.Linux.Seccomp != nil {
			t.Error("both a program and a profile")
		}
	}
	d, err := drafted(t.Context(), e, testContainer("true"))
	if err != nil || d.box.Filter == nil {
		t.Errorf("the program was not kept: %v", err)
	}
	var same []unix.SockFilter
	same, _, err = seccompProgram(e, testContainer("true"))
	if err != nil || !slices.Equal(same, d.box.Filter) {
		t.Errorf("the kept program differs: %v", err)
	}
}

// seccompProgram compiles what a container gets without a cache.
func seccompProgram(e *house, c *api.ContainerConfig) ([]unix.SockFilter, uint32, error) {
	room := *e.Room
	var err error
	if room.Ground, err = ground.Open(e.Root, e.RunRoot+"-none", nil); err != nil {
		return nil, 0, err
	}
	d, err := drafted(context.Background(), &house{Room: &room}, c)
	if err != nil {
		return nil, 0, err
	}
	prog, info, err := seccomp.Compile(d.comp.Spec.Linux.Seccomp, seccomp.Options{GOARCH: e.Host.Arch})
	return prog, info.Flags, err
}
