package main

import (
	"syscall"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// TestTerminalLeft: a signal that is not forwarded ends tare, with the
// terminal as it was.
func TestTerminalLeft(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	p := openTerminal(t, 24, 80)
	before := p.mode()
	p.start(r.Command("run", "--name", "left", "-it", "--sig-proxy=false", "tare/base", "sh", "-c", "echo ready; sleep 60"))
	p.expect("ready")
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGTERM {
		t.Errorf("%v, want SIGTERM", p.cmd.ProcessState)
	}
	if after := p.mode(); after != before {
		t.Errorf("the terminal is left as %+v, was %+v", after, before)
	}
	p.start(r.Command("rm", "-f", "left"))
	p.expect("left")
	p.wait()
}

// TestSharedPidRest: what a container leaves behind in the host's pid
// namespace holds neither tare nor its cgroup.
func TestSharedPidRest(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	for _, redirect := range []string{"", " >/dev/null 2>&1"} {
		script := "trap '' HUP; sleep 60" + redirect + " & echo ready; exit 4"
		c := r.Start(t, busybox(t, script, "--rm", "--pid", "host")...)
		if res := c.Wait(); res.Code != 4 || res.Err != "" {
			t.Errorf("%+v, want exit code 4 and no word", res)
		}
	}
}
