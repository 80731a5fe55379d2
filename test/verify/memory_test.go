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

	// The neighbour of the process that is killed lives, in the same
	// container as outside, and tells.
	neighbour := r.Start(t, "run", "--rm", "-i", "tare/base", "sh", "-c", "echo ready; read x; echo $x")
	c := r.Start(t, "run", "--rm", "-i", "-m", flag, "tare/base", "sh", "-c",
		"echo ready; stress -q --vm 1 --vm-bytes 256m --vm-keep --timeout 60; echo $?; read x")
	if code := c.Line(); code != "137" {
		t.Errorf("exit code inside %s, want 137", code)
	}
	swapped(t, r, c, limit)
	c.Wait()
	if _, err := neighbour.In.Write([]byte("alive\n")); err != nil {
		t.Fatal(err)
	}
	if res := neighbour.Wait(); res.Out != "alive\n" || res.Code != 0 {
		t.Errorf("the neighbour: %+v", res)
	}
}

// swapped checks the limits and what was used, in a container that had wanted
// more memory than there is.
func swapped(t *testing.T, r *rig.Rig, c *rig.Container, limit int) {
	t.Helper()
	if !r.V2("memory") {
		if got := c.File("memory", "memory.limit_in_bytes"); got != strconv.Itoa(limit) {
			t.Errorf("memory.limit_in_bytes is %s", got)
		}
		if n, err := strconv.Atoi(c.File("memory", "memory.max_usage_in_bytes")); err != nil || n > limit || n < limit/2 {
			t.Errorf("most memory used: %d, limit %d (%v)", n, limit, err)
		}
		if _, err := os.Stat(c.Path("memory", "memory.memsw.limit_in_bytes")); err != nil {
			t.Log("this kernel does not account swap")
			return
		}
		if got := c.File("memory", "memory.memsw.limit_in_bytes"); got != strconv.Itoa(limit) {
			t.Errorf("memory.memsw.limit_in_bytes is %s, want as much as without swap", got)
		}
		for _, l := range lines(c.File("memory", "memory.stat")) {
			if n, ok := strings.CutPrefix(l, "swap "); ok && n != "0" {
				t.Errorf("%s bytes in swap", n)
			}
		}
		return
	}
	if got := c.File("memory", "memory.max"); got != strconv.Itoa(limit) {
		t.Errorf("memory.max is %s", got)
	}
	if events := c.File("memory", "memory.events"); !strings.Contains(events, "oom_kill 1") {
		t.Errorf("memory.events: %q, want one kill", events)
	}
	if _, err := os.Stat(c.Path("memory", "memory.swap.max")); err != nil {
		t.Log("this kernel does not account swap")
		return
	}
	if limit, used := c.File("memory", "memory.swap.max"), c.File("memory", "memory.swap.current"); limit != "0" || used != "0" {
		t.Errorf("swap: limit %s, used %s, want none", limit, used)
	}
}
