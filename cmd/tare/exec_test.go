package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
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

// TestExecKeeper: a command that was left has a keeper, which writes down its
// end; what one that is killed leaves goes with the container.
func TestExecKeeper(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	r.Must(t, "run", "-d", "--name", "web", "tare/base", "sh", "-c", "mkfifo /f /g; exec sleep 1000")
	t.Cleanup(func() { r.Run(t, "rm", "-f", "web") })
	eventually(t, "it works", func() bool { return r.Run(t, "exec", "web", "test", "-p", "/g").Code == 0 })
	sessions := func() []string {
		return strings.Fields(strings.Trim(r.Must(t, "inspect", "--format", "{{.ExecIDs}}", "web"), "[]\n"))
	}

	r.Must(t, "exec", "-d", "web", "sh", "-c", "cat /f; exit 3")
	ids := sessions()
	if len(ids) != 1 {
		t.Fatalf("sessions: %v", ids)
	}
	dir := r.RunRoot + "/live/" + ids[0]
	settings, err := os.ReadFile(dir + "/settings")
	if err != nil || !strings.Contains(string(settings), "\nexec.pid ") {
		t.Fatalf("settings: %v\n%s", err, settings)
	}
	r.Must(t, "exec", "web", "sh", "-c", "echo >/f")
	eventually(t, "the keeper has gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
	if ids := sessions(); len(ids) != 0 {
		t.Errorf("sessions after the end: %v", ids)
	}
	if out := r.Must(t, "events", "--since", "1h", "--until", "0s", "--filter", "event=exec_die"); !strings.Contains(out, "execID="+ids[0]+", exitCode=3") {
		t.Errorf("events:\n%s", out)
	}

	// A keeper that is killed takes nothing with it but the exit code.
	r.Must(t, "exec", "-d", "web", "sh", "-c", "echo up >/g; cat /f")
	r.Must(t, "exec", "web", "cat", "/g")
	ids = sessions()
	dir = r.RunRoot + "/live/" + ids[0]
	settings, err = os.ReadFile(dir + "/settings")
	if err != nil {
		t.Fatal(err)
	}
	var keeper int
	for line := range strings.Lines(string(settings)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "keeper "); ok {
			keeper, _ = strconv.Atoi(n)
		}
	}
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.Must(t, "exec", "web", "sh", "-c", "echo >/f") // it reads on
	eventually(t, "the command has ended", func() bool { return len(sessions()) == 0 })
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory of a killed keeper: %v", err)
	}
	r.Must(t, "rm", "-f", "web")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("what a killed keeper has left is there after rm: %v", err)
	}
}
