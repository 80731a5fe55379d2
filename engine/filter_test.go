package engine

import (
	"context"
	"slices"
	"testing"

	"github.com/tare-engine/tare/seccomp"
	"golang.org/x/sys/unix"
)

func TestFilterCode(t *testing.T) {
	prog, info, err := seccomp.Compile(seccomp.Default(seccomp.Host{GOARCH: "amd64"}), seccomp.Options{GOARCH: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	b := encodeFilter(prog, info.Flags)
	got, flags, ok := decodeFilter(b)
	if !ok || flags != info.Flags || !slices.Equal(got, prog) {
		t.Fatal("a program is not what it was")
	}
	for i := range b {
		if i >= 4 && i < 8 {
			continue // the unused half of the flags
		}
		bad := slices.Clone(b)
		bad[i] ^= 1
		if _, f, ok := decodeFilter(bad); ok && f == info.Flags {
			t.Fatalf("byte %d changed and nobody noticed", i)
		}
	}
	for _, n := range []int{0, 8, 16, len(b) - 8, len(b) - 1} {
		if _, _, ok := decodeFilter(b[:n]); ok {
			t.Errorf("cut to %d bytes and nobody noticed", n)
		}
	}
}

// TestFilterCache runs a container twice: the second finds the first's
// program, and is filtered just the same.
func TestFilterCache(t *testing.T) {
	e := testEngine(t)
	for range 2 {
		d, err := e.draft(t.Context(), "0123", testContainer("true"))
		if err != nil {
			t.Fatal(err)
		}
		out, code, err := runContainer(t, e, testContainer("sh", "-c", "grep Seccomp: /proc/self/status; unshare -U true"))
		if err != nil || code == 0 || !slices.Contains([]byte(out), '2') {
			t.Errorf("exit code %d, error %v: %s", code, err, out)
		}
		if d.filter != nil && d.composed.Spec.Linux.Seccomp != nil {
			t.Error("both a program and a profile")
		}
	}
	d, err := e.draft(t.Context(), "0123", testContainer("true"))
	if err != nil || d.filter == nil {
		t.Errorf("the program was not kept: %v", err)
	}
	var same []unix.SockFilter
	same, _, err = seccompProgram(e, testContainer("true"))
	if err != nil || !slices.Equal(same, d.filter) {
		t.Errorf("the kept program differs: %v", err)
	}
}

// seccompProgram compiles what a container gets without a cache.
func seccompProgram(e *Engine, c *ContainerConfig) ([]unix.SockFilter, uint32, error) {
	other := *e
	other.opt.RunRoot += "-none"
	d, err := other.draft(context.Background(), "0123", c)
	if err != nil {
		return nil, 0, err
	}
	prog, info, err := seccomp.Compile(d.composed.Spec.Linux.Seccomp, seccomp.Options{GOARCH: e.host.Arch})
	return prog, info.Flags, err
}
