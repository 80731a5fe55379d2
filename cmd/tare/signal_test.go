package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// busybox runs a BusyBox shell: the built-in image's has no trap for signals.
func busybox(t *testing.T, script string, flags ...string) []string {
	t.Helper()
	if unix.Access("/bin/busybox", unix.X_OK) != nil {
		t.Skip("needs /bin/busybox (busybox-static)")
	}
	args := append([]string{"run", "-v", "/bin/busybox:/bin/busybox:ro"}, flags...)
	return append(args, "tare/base", "busybox", "sh", "-c", script)
}

const forever = "echo ready; while :; do sleep 0.02; done"

func TestSignals(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	for _, tt := range []struct {
		sig    unix.Signal
		script string
		flags  []string
		out    string
		code   int
	}{
		{unix.SIGTERM, "trap 'echo term; exit 9' TERM;" + forever, nil, "term\n", 9},
		{unix.SIGUSR1, "trap 'echo usr1; exit 8' USR1;" + forever, nil, "usr1\n", 8},
		{unix.SIGHUP, "trap 'echo hup; exit 7' HUP;" + forever, nil, "hup\n", 7},
		{unix.SIGINT, "trap 'echo int; exit 6' INT;" + forever, []string{"-i"}, "int\n", 6},
		{unix.SIGTERM, "trap 'echo term; exit 5' TERM;" + forever, []string{"--init"}, "term\n", 5},
		{unix.SIGTERM, forever, []string{"--init"}, "", 143}, // nobody is immune but process 1
	} {
		t.Run(unix.SignalName(tt.sig), func(t *testing.T) {
			t.Parallel()
			c := r.Start(t, busybox(t, tt.script, append(tt.flags, "--rm")...)...)
			c.Signal(tt.sig)
			if res := c.Wait(); res.Code != tt.code || res.Out != tt.out || res.Err != "" {
				t.Errorf("%v: %+v, want %q and exit code %d", tt.sig, res, tt.out, tt.code)
			}
		})
	}
}

// TestInterrupt: ctrl-C goes to the whole foreground group of a terminal, but
// the container gets it once.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	c := r.Start(t, busybox(t, "trap 'echo int' INT; trap 'exit 3' USR1;"+forever, "--rm")...)
	c.SignalGroup(unix.SIGINT)
	if line := c.Line(); line != "int" {
		t.Fatalf("%q", line)
	}
	c.Signal(unix.SIGUSR1)
	if res := c.Wait(); res.Code != 3 || res.Out != "" {
		t.Errorf("%+v", res)
	}
}

// TestOutlives: a container runs on when tare is killed, or when its signals
// are its own; it is listed as it is, and can be removed.
func TestOutlives(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		sig   unix.Signal
		flags []string
	}{
		{"killed", unix.SIGKILL, nil},
		{"killed with --rm", unix.SIGKILL, []string{"--rm"}},
		{"sig-proxy=false", unix.SIGTERM, []string{"--sig-proxy=false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := rig.Test(t)
			c := r.Start(t, busybox(t, forever, append(tt.flags, "--name", "web")...)...)
			pid := c.Init()
			c.Signal(tt.sig)
			if code := c.WaitTare(); code != 128+int(tt.sig) {
				t.Errorf("tare: exit code %d", code)
			}
			if out := r.Must(t, "ps"); !strings.Contains(out, "Up ") || !strings.Contains(out, "web") {
				t.Errorf("ps: %s", out)
			}
			if res := r.Run(t, "rm", "web"); res.Code == 0 {
				t.Error("a running container was removed without force")
			}
			if out := r.Must(t, "rm", "-f", "web"); out != "web\n" {
				t.Errorf("rm -f: %q", out)
			}
			// Whoever adopted it may not have reaped it yet.
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(b), ") Z ") {
				t.Errorf("process %d lives: %s", pid, b)
			}
			if out := r.Must(t, "ps", "-a"); strings.Contains(out, "web") {
				t.Errorf("ps -a: %s", out)
			}
		})
	}
}
