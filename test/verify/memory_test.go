package verify

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestMemory: what allocates more than --memory is killed, nothing else is,
// and nothing goes to swap.
func TestMemory(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	if !r.Has("memory") {
		t.Skip("no memory controller here")
	}
	const limit = 48 << 20
	flag := strconv.Itoa(limit)
	res := r.Run(t, "run", "--rm", "-m", flag, "tare/base", "stress", "--vm", "1", "--vm-bytes", "256m", "--vm-keep", "--timeout", "60")
	if res.Code != 137 {
		t.Errorf("256 MB with a limit of 48: exit code %d, want 137\n%s%s", res.Code, res.Out, res.Err)
	}
	res = r.Run(t, "run", "--rm", "-m", flag, "tare/base", "stress", "--vm", "1", "--vm-bytes", "16m", "--vm-keep", "--timeout", "1")
	if res.Code != 0 {
		t.Errorf("16 MB with a limit of 48: exit code %d, want 0\n%s%s", res.Code, res.Out, res.Err)
	}

	// The neighbours of the process that is killed live: another container,
	// and on cgroup v1 (v2 kills a container as a whole) the shell that waits
	// for it.
	neighbour := r.Start(t, "run", "--rm", "-i", "tare/base", "sh", "-c", "echo ready; read x; echo $x")
	c := r.Start(t, "run", "--rm", "-i", "-m", flag, "tare/base", "sh", "-c",
		"echo ready; read x; stress -q --vm 1 --vm-bytes 256m --vm-keep --timeout 60; echo $?; read x")
	limits(t, r, c, flag)
	write(t, c, "go\n")
	if r.V2("memory") {
		if res := c.Wait(); res.Code != 137 {
			t.Errorf("%+v, want exit code 137", res)
		}
		if events := c.ParentFile("memory", "memory.events"); !strings.Contains(events, "oom_kill ") || strings.Contains(events, "oom_kill 0") {
			t.Errorf("memory.events of the parent: %q, want kills", events)
		}
	} else {
		if code := c.Line(); code != "137" {
			t.Errorf("exit code inside %s, want 137", code)
		}
		used(t, c, limit)
		c.Wait()
	}
	write(t, neighbour, "alive\n")
	if res := neighbour.Wait(); res.Out != "alive\n" || res.Code != 0 {
		t.Errorf("the neighbour: %+v", res)
	}
}

func write(t *testing.T, c *rig.Container, s string) {
	t.Helper()
	if _, err := c.In.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

// limits checks the limits of memory and of swap.
func limits(t *testing.T, r *rig.Rig, c *rig.Container, limit string) {
	t.Helper()
	files := map[string]string{"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit}
	if r.V2("memory") {
		files = map[string]string{"memory.max": limit, "memory.swap.max": "0"}
	}
	for name, want := range files {
		if _, err := os.Stat(c.Path("memory", name)); err != nil {
			t.Logf("no %s: this kernel does not account swap", name)
			continue
		}
		if got := c.File("memory", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// used checks what a container has used that had wanted more, on cgroup v1.
func used(t *testing.T, c *rig.Container, limit int) {
	t.Helper()
	// A process that the kernel is about to kill may take what it needs to die.
	const toDie = 1 << 20
	if n, err := strconv.Atoi(c.File("memory", "memory.max_usage_in_bytes")); err != nil || n > limit+toDie || n < limit/2 {
		t.Errorf("most memory used: %d, limit %d (%v)", n, limit, err)
	}
	for _, l := range lines(c.File("memory", "memory.stat")) {
		if n, ok := strings.CutPrefix(l, "swap "); ok && n != "0" {
			t.Errorf("%s bytes in swap", n)
		}
	}
}
