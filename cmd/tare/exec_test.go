package main

import (
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestExecTerminal: a command on a terminal has its size, ends with its code,
// and goes on when it is left.
func TestExecTerminal(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	r.Must(t, "run", "-d", "--name", "web", "tare/base", "sh", "-c", "mkfifo /f; exec sleep 1000")
	t.Cleanup(func() { r.Must(t, "rm", "-f", "web") })

	p := openTerminal(t, 33, 99)
	before := p.mode()
	p.start(r.Command("exec", "-it", "web", "sh", "-c", "tty; echo $TERM; read x; echo got $x; exit 7"))
	p.expect("/dev/pts/0")
	p.expect("xterm")
	p.write("word\r")
	p.expect("word") // the echo
	p.expect("got word")
	if code := p.wait(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}

	p.start(r.Command("exec", "-it", "web", "sh", "-c", "echo started; read x; echo $x >/f"))
	p.expect("started")
	p.write("\x10\x11")
	p.expect("tare: exec web: read escape sequence")
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d after the detach keys, want 1", code)
	}
	if after := p.mode(); after != before {
		t.Errorf("the terminal is left as %+v, was %+v", after, before)
	}
	if out := r.Must(t, "top", "web", "-o", "pid,args"); !strings.Contains(out, "read x") {
		t.Errorf("the command has ended:\n%s", out)
	}
}
