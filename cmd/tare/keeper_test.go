package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// eventually waits until ok, for what happens beside the commands.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in ten seconds", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// keepers returns the processes that look after containers.
func keepers(r *rig.Rig) []int {
	var pids []int
	for _, h := range r.Helpers() {
		if strings.HasPrefix(h.Args, "tare-keeper ") {
			pids = append(pids, h.Pid)
		}
	}
	return pids
}

// killKeeper kills the one keeper there is and waits until it is gone.
func killKeeper(t *testing.T, r *rig.Rig) {
	t.Helper()
	var pid int
	eventually(t, "one keeper", func() bool {
		k := keepers(r)
		if len(k) == 1 {
			pid = k[0]
		}
		return len(k) == 1
	})
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	// Its command line is gone a moment before it is.
	eventually(t, "its end", func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		return n == 1 && err == nil
	})
}

func state(t *testing.T, r *rig.Rig, name string) string {
	t.Helper()
	return strings.TrimSpace(r.Must(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name))
}

// keptRig is a rig whose containers are removed if the test fails.
func keptRig(t *testing.T) *rig.Rig {
	t.Helper()
	r := rig.Test(t)
	t.Cleanup(func() { removeAll(r) })
	return r
}

// counting is a container that writes numbers until it is told to end, with
// code 7; it does not hear SIGINT.
func counting(t *testing.T, flags ...string) []string {
	t.Helper()
	args := busybox(t, "trap '' INT; trap 'exit 7' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done", flags...)
	return append([]string{args[0], "-d", "--name", "web"}, args[1:]...)
}

// TestKeeperKilled: the container does not notice, the next command shows the
// truth, and another keeper has its log, its exit code and its stop.
func TestKeeperKilled(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, counting(t)...)
	for range 3 {
		killKeeper(t, r)
		if got := state(t, r, "web"); got != "running 0" {
			t.Errorf("without a keeper: %s", got)
		}
		eventually(t, "another keeper", func() bool { return len(keepers(r)) == 1 })
	}
	before := r.Must(t, "logs", "web")
	eventually(t, "more output", func() bool { return len(r.Must(t, "logs", "web")) > len(before)+20 })
	r.Must(t, "stop", "web")
	if got := state(t, r, "web"); got != "exited 7" {
		t.Errorf("after the stop: %s", got)
	}
	lines := strings.Fields(r.Must(t, "logs", "web"))
	if last, err := strconv.Atoi(lines[len(lines)-1]); err != nil || len(lines) != last+1 {
		t.Errorf("%d lines of %d, %v", len(lines), last+1, err)
	}
	r.Must(t, "rm", "web")
}

// TestKeeperKilledPaused: a frozen container is shown as such, thawed, and
// ends as it should.
func TestKeeperKilledPaused(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, counting(t)...)
	eventually(t, "its trap", func() bool { return r.Must(t, "logs", "web") != "" })
	r.Must(t, "pause", "web")
	killKeeper(t, r)
	if got := state(t, r, "web"); got != "paused 0" {
		t.Errorf("without a keeper: %s", got)
	}
	r.Must(t, "unpause", "web")
	r.Must(t, "stop", "web")
	if got := state(t, r, "web"); got != "exited 7" {
		t.Errorf("after the stop: %s", got)
	}
	r.Must(t, "rm", "web")
}

// TestKeeperKilledAttached: who is attached stays so, and learns the exit code.
func TestKeeperKilledAttached(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	c := r.Start(t, busybox(t, "trap 'exit 7' TERM;"+forever, "--name", "web")...)
	killKeeper(t, r)
	eventually(t, "another keeper", func() bool { return len(keepers(r)) == 1 })
	c.Signal(unix.SIGTERM)
	if res := c.Wait(); res.Code != 7 || !strings.Contains(res.Err, "keeper was killed") {
		t.Errorf("%+v", res)
	}
	r.Must(t, "rm", "web")
}

// TestKeeperKilledStopping: a stop that is under way comes to its end.
func TestKeeperKilledStopping(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	args := busybox(t, "trap 'echo term' TERM;"+forever, "-d", "--name", "web")
	r.Must(t, args...)
	eventually(t, "its trap", func() bool { return strings.Contains(r.Must(t, "logs", "web"), "ready") })
	stop := r.Command("stop", "-t", "1", "web")
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stop signal", func() bool { return strings.Contains(r.Must(t, "logs", "web"), "term") })
	killKeeper(t, r)
	if err := stop.Wait(); err != nil {
		t.Error(err)
	}
	if got := state(t, r, "web"); !strings.HasPrefix(got, "exited ") {
		t.Errorf("after the stop: %s", got)
	}
	r.Must(t, "rm", "web")
}

// TestKeeperKilledRestarting: what its policy was about to start is started
// when the next command finds it.
func TestKeeperKilledRestarting(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, "run", "-d", "--name", "web", "--restart", "always", "tare/base", "false")
	eventually(t, "a long wait", func() bool {
		n, err := strconv.Atoi(strings.TrimSpace(r.Must(t, "inspect", "-f", "{{.RestartCount}}", "web")))
		return err == nil && n >= 3 && state(t, r, "web") == "restarting 1"
	})
	killKeeper(t, r)
	r.Must(t, "ps")
	eventually(t, "a further start", func() bool {
		n, err := strconv.Atoi(strings.TrimSpace(r.Must(t, "inspect", "-f", "{{.RestartCount}}", "web")))
		return err == nil && n >= 5
	})
	r.Must(t, "rm", "-f", "web")
}

// TestBothKilled: an end that nobody saw is shown as one.
func TestBothKilled(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, counting(t)...)
	killKeeper(t, r)
	for _, pids := range r.Procs() {
		for _, p := range pids {
			_ = unix.Kill(p, unix.SIGKILL)
		}
	}
	eventually(t, "its end", func() bool { return len(r.Procs()) == 0 })
	if got := state(t, r, "web"); got != "exited -1" {
		t.Errorf("nobody saw the end: %s", got)
	}
	if got := r.Must(t, "inspect", "-f", "{{.State.Error}}", "web"); !strings.Contains(got, "the keeper was killed") {
		t.Errorf("and it says: %s", got)
	}
	r.Must(t, "start", "web")
	r.Must(t, "rm", "-f", "web")
}

// TestStopIgnored: a container that ignores its stop signal is killed, one at
// its limit of processes too.
func TestStopIgnored(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, busybox(t, "trap '' TERM;"+forever, "-d", "--name", "deaf")...)
	r.Must(t, busybox(t, "trap '' TERM; (while :; do sleep 1000 & done) & exec busybox sleep 1000", "-d", "--name", "full", "--pids-limit", "40")...)
	begin := time.Now()
	r.Must(t, "stop", "-t", "1", "deaf", "full")
	if d := time.Since(begin); d < 900*time.Millisecond || d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	for _, name := range []string{"deaf", "full"} {
		if got := state(t, r, name); got != "exited 137" {
			t.Errorf("%s: %s", name, got)
		}
	}
	r.Must(t, "rm", "deaf", "full")
}

// TestRace: of ten commands on one container some may fail, none breaks it.
func TestRace(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	for range 3 {
		r.Must(t, counting(t)...)
		done := make(chan string)
		commands := [][]string{
			{"stop", "-t", "0", "web"},
			{"start", "web"},
			{"kill", "web"},
			{"restart", "-t", "0", "web"},
			{"pause", "web"},
			{"unpause", "web"},
			{"ps", "-a"},
			{"start", "web"},
			{"stop", "-t", "0", "web"},
			{"inspect", "web"},
		}
		for _, c := range commands {
			go func() {
				out, err := r.Command(c...).CombinedOutput()
				if text := string(out); err != nil && strings.Count(text, "\n") != 1 {
					done <- strings.Join(c, " ") + ": " + text
					return
				}
				done <- ""
			}()
		}
		for range commands {
			if text := <-done; text != "" {
				t.Error(text)
			}
		}
		got, runs := state(t, r, "web"), len(r.Procs()) > 0
		if (strings.HasPrefix(got, "running") || strings.HasPrefix(got, "paused")) != runs {
			t.Errorf("shown as %s, runs: %v", got, runs)
		}
		r.Must(t, "rm", "-f", "web")
	}
}

// TestMany starts many containers, eight at a time, and removes them at once.
func TestMany(t *testing.T) {
	r := keptRig(t)
	r.Must(t, "run", "--rm", "tare/base", "true") // makes the image
	n := 40
	if crashes() > 30 {
		n = 200
	}
	room, errs := make(chan struct{}, 8), make(chan error, n)
	for range n {
		room <- struct{}{}
		go func() {
			errs <- r.Command("run", "-d", "tare/base", "sleep", "1000").Run()
			<-room
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	ids := strings.Fields(r.Must(t, "ps", "-q"))
	if len(ids) != n {
		t.Errorf("%d of %d run", len(ids), n)
	}
	r.Must(t, append([]string{"rm", "-f"}, ids...)...)
}

// TestKeeperSettings: what a keeper is told stands in a file that only root
// reads; its command line, which everybody may read, names the directory. A
// keeper that follows has the same settings, but for what is its own.
func TestKeeperSettings(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, counting(t, "--stop-timeout", "77", "--label", "a=secret\\\nof two lines", "--log-opt", "labels=a")...)
	id := strings.TrimSpace(r.Must(t, "ps", "-q", "--no-trunc"))
	dir := r.RunRoot + "/live/" + id
	settings := func() string {
		b, err := os.ReadFile(dir + "/settings")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := settings()
	for _, want := range []string{"container.stop-timeout 77000000000\n", `container.log-attr a=secret\\\nof two lines` + "\n"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in\n%s", want, first)
		}
	}
	check := func() {
		t.Helper()
		var h []rig.Helper
		// The starter answers before it becomes the keeper.
		eventually(t, "one keeper", func() bool {
			h = r.Helpers()
			return len(h) == 1 && len(keepers(r)) == 1 && !strings.Contains(h[0].Args, "__keeper")
		})
		if f := strings.Fields(h[0].Args); len(f) != 2 || f[1] != dir {
			t.Errorf("its command line: %q", h[0].Args)
		}
		if want := "keeper " + itoa(h[0].Pid) + "\n"; !strings.Contains(settings(), want) {
			t.Errorf("want %q in\n%s", want, settings())
		}
	}
	check()
	if fi, err := os.Stat(dir + "/settings"); err != nil || fi.Mode() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	killKeeper(t, r)
	r.Must(t, "ps")
	check()
	own := regexp.MustCompile(`(?m)^(keeper|container\.(child|pidfd|in|out|err|listen)) .*\n`)
	if a, b := own.ReplaceAllString(first, ""), own.ReplaceAllString(settings(), ""); a != b {
		t.Errorf("the next keeper's settings:\n%s\nthe first one's:\n%s", b, a)
	}
	r.Must(t, "rm", "-f", "web")
}

// TestKeeperTerminalLeft: a terminal that nobody holds for a moment is not at its end.
func TestKeeperTerminalLeft(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	args := busybox(t, "exec </dev/null >/dev/null 2>&1; sleep 0.2; echo hello >/dev/console; sleep 1000", "-d", "-t", "--name", "web")
	r.Must(t, args...)
	eventually(t, "its output", func() bool { return strings.Contains(r.Must(t, "logs", "web"), "hello") })
	r.Must(t, "kill", "web")
	r.Must(t, "rm", "web")
}

// TestKeeperReaps: what a keeper has started does not stay as a zombie of the process
// that starts the container again.
func TestKeeperReaps(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, "run", "-d", "--name", "web", "--restart", "always", "--health-cmd", "sleep 5", "--health-interval", "50ms", "tare/base",
		"sh", "-c", "sleep 0.3; exit 1")
	eventually(t, "two restarts", func() bool {
		return r.Must(t, "inspect", "-f", "{{.State.Running}} {{.RestartCount}}", "web") == "true 2\n"
	})
	pid := oneKeeper(t, r)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(pid) {
			t.Errorf("a zombie: %s", b)
		}
	}
	r.Must(t, "rm", "-f", "web")
}
