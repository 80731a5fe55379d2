package contest

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestLifecycle(t *testing.T) {
	b := newBundle(t, "echo on >/data/on; while :; do sleep 1; done")
	if o := b.create(); o.code != 0 {
		t.Fatal(o)
	}
	s := b.state()
	if s.Status != specs.StateCreated || s.ID != b.id || s.Pid <= 0 || s.Bundle != b.dir || s.Version == "" {
		t.Errorf("state after create: %+v", s)
	}
	if _, err := os.Stat(b.root + "/data/on"); err == nil {
		t.Error("the program ran before start")
	}
	refused(t, b.runtime("create", "--bundle", b.dir, b.id)) // the id is taken
	// "Attempting to delete a container that is not stopped MUST generate an
	// error" holds for running ones in every runtime.
	if o := b.runtime("start", b.id); o.code != 0 {
		t.Fatal(o)
	}
	appears(t, b.root+"/data/on")
	if s := b.state(); s.Status != specs.StateRunning {
		t.Errorf("status after start: %s", s.Status)
	}
	refused(t, b.runtime("start", b.id))
	refused(t, b.runtime("delete", b.id))
	if o := b.runtime("kill", b.id, "KILL"); o.code != 0 {
		t.Errorf("kill: %v", o)
	}
	b.becomes(specs.StateStopped)
	refused(t, b.runtime("kill", b.id, "KILL"))
	refused(t, b.runtime("start", b.id))
	refused(t, b.runtime("exec", b.id, "true"))
	if o := b.runtime("delete", b.id); o.code != 0 {
		t.Errorf("delete: %v", o)
	}
	refused(t, b.runtime("state", b.id))
	refused(t, b.runtime("delete", b.id))
	if o := b.runtime("delete", "--force", b.id); o.code != 0 {
		t.Errorf("delete --force of what is gone: %v", o)
	}
}

func TestUnknownContainer(t *testing.T) {
	b := newBundle(t, "true")
	for _, args := range [][]string{{"start", "no"}, {"state", "no"}, {"kill", "no"}, {"exec", "no", "true"}, {"pause", "no"}, {"resume", "no"}, {"ps", "no"}} {
		o := b.runtime(args...)
		refused(t, o)
		if !strings.Contains(o.err, "does not exist") {
			t.Errorf("%v: containerd and Podman look for \"does not exist\": %v", args, o)
		}
	}
}

func TestBadID(t *testing.T) {
	b := newBundle(t, "true")
	b.write()
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a b", "x\n"} {
		o := b.runtime("run", "--bundle", b.dir, id)
		refused(t, o)
	}
}

func TestForcedDelete(t *testing.T) {
	b := newBundle(t, "trap '' TERM; while :; do sleep 1; done")
	b.started()
	pid := b.state().Pid
	if o := b.runtime("delete", "--force", b.id); o.code != 0 {
		t.Errorf("delete --force: %v", o)
	}
	gone(t, pid)
	refused(t, b.runtime("state", b.id))
}

func TestInitKilled(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	must(t, unix.Kill(b.state().Pid, unix.SIGKILL))
	b.becomes(specs.StateStopped)
	if o := b.runtime("delete", b.id); o.code != 0 {
		t.Errorf("delete: %v", o)
	}
}

func TestCreatedKilled(t *testing.T) {
	b := newBundle(t, "true")
	if o := b.create(); o.code != 0 {
		t.Fatal(o)
	}
	if o := b.runtime("kill", b.id, "KILL"); o.code != 0 {
		t.Errorf("kill: %v", o)
	}
	b.becomes(specs.StateStopped)
	if o := b.runtime("delete", b.id); o.code != 0 {
		t.Errorf("delete: %v", o)
	}
}

// TestTwoStarts: one wins, and the program runs once.
func TestTwoStarts(t *testing.T) {
	b := newBundle(t, "echo x >>/data/ran; while :; do sleep 1; done")
	if o := b.create(); o.code != 0 {
		t.Fatal(o)
	}
	codes := make([]int, 8)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() {
			err := exec.Command(world.runtime, "--root", world.state, "start", b.id).Run()
			if err != nil {
				codes[i] = 1
			}
		})
	}
	wg.Wait()
	won := 0
	for _, c := range codes {
		if c == 0 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of %d starts say that they won", won, len(codes))
	}
	if got := appears(t, b.root+"/data/ran"); got != "x\n" {
		t.Errorf("ran: %q", got)
	}
}

func TestExitCode(t *testing.T) {
	b := newBundle(t, "exit 42")
	if o := b.run(); o.code != 42 {
		t.Errorf("want 42: %v", o)
	}
	b = newBundle(t, "sleep 9 & kill -9 $!; wait $!")
	if o := b.run(); o.code != 137 {
		t.Errorf("want 137: %v", o)
	}
}

func TestProgramNotFound(t *testing.T) {
	b := newBundle(t, "")
	b.spec.Process.Args = []string{"no-such-program"}
	o := b.run()
	refused(t, o)
	if !strings.Contains(o.err, "executable file") || !strings.Contains(o.err, "not found in $PATH") {
		t.Errorf("dockerd looks for \"executable file not found in $PATH\": %v", o)
	}
	refused(t, b.runtime("state", b.id))
}

func TestPidFile(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	if o := b.create("--pid-file", "pid"); o.code != 0 { // relative to the caller's directory
		t.Fatal(o)
	}
	if got := strings.TrimSpace(read(t, b.dir+"/pid")); got != strconv.Itoa(b.state().Pid) {
		t.Errorf("pid file: %q, state: %d", got, b.state().Pid)
	}
}

func TestDetachedRun(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	if o := b.run("--detach"); o.code != 0 {
		t.Fatal(o)
	}
	if s := b.state(); s.Status != specs.StateRunning {
		t.Errorf("status: %s", s.Status)
	}
}

func TestList(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	o := b.runtime("list", "--format", "json")
	var list []struct {
		ID     string `json:"id"`
		Status string `json:"status"`
		Pid    int    `json:"pid"`
		Bundle string `json:"bundle"`
	}
	if err := json.Unmarshal([]byte(o.out), &list); err != nil {
		t.Fatalf("%v: %v", err, o)
	}
	found := false
	for _, c := range list {
		found = found || c.ID == b.id && c.Status == "running" && c.Pid == b.state().Pid && c.Bundle == b.dir
	}
	if !found {
		t.Errorf("not in the list: %+v", list)
	}
	if o := b.runtime("list", "--quiet"); !strings.Contains(o.out, b.id+"\n") {
		t.Errorf("list --quiet: %v", o)
	}
}

func TestPauseResume(t *testing.T) {
	b := newBundle(t, "i=0; while :; do i=$((i+1)); echo $i >/data/n; sleep 0.02; done")
	b.started()
	appears(t, b.root+"/data/n")
	if o := b.runtime("pause", b.id); o.code != 0 {
		t.Fatal(o)
	}
	if s := b.state(); s.Status != "paused" {
		t.Errorf("status: %s", s.Status)
	}
	before := read(t, b.root+"/data/n")
	time.Sleep(200 * time.Millisecond) // ten rounds of the loop
	if after := read(t, b.root+"/data/n"); after != before {
		t.Errorf("a paused container went on from %q to %q", before, after)
	}
	refused(t, b.runtime("exec", b.id, "true"))
	if o := b.runtime("resume", b.id); o.code != 0 {
		t.Fatal(o)
	}
	if s := b.state(); s.Status != specs.StateRunning {
		t.Errorf("status: %s", s.Status)
	}
}

func TestKillSignals(t *testing.T) {
	for _, name := range []string{"USR1", "SIGUSR1", "10"} {
		b := newBundle(t, "trap 'exit 5' USR1; echo on >/data/on; while :; do sleep 0.05; done")
		b.started()
		appears(t, b.root+"/data/on")
		if o := b.runtime("kill", b.id, name); o.code != 0 {
			t.Errorf("kill %s: %v", name, o)
		}
		b.becomes(specs.StateStopped)
	}
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	refused(t, b.runtime("kill", b.id, "NOSUCH"))
}

// TestKillAll: without a pid namespace of its own, a container's processes
// outlive its first one.
func TestKillAll(t *testing.T) {
	b := newBundle(t, "sleep 1000 & echo $! >/data/child; exec sleep 1000")
	b.without(specs.PIDNamespace)
	b.started()
	child, err := strconv.Atoi(strings.TrimSpace(appears(t, b.root+"/data/child")))
	must(t, err)
	if o := b.runtime("kill", "--all", b.id, "KILL"); o.code != 0 {
		t.Fatalf("kill --all: %v", o)
	}
	b.becomes(specs.StateStopped)
	gone(t, child)
}

// gone waits for the end of a process that nobody's child is.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond)); n != 1 {
		t.Errorf("process %d is still there", pid)
	}
}

func TestPS(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	o := b.runtime("ps", "--format", "json", b.id)
	var pids []int
	if err := json.Unmarshal([]byte(o.out), &pids); err != nil || len(pids) == 0 || pids[0] != b.state().Pid {
		t.Errorf("ps: %v %v", err, o)
	}
}

func TestVersion(t *testing.T) {
	b := newBundle(t, "true")
	if o := b.runtime("--version"); o.code != 0 || !strings.Contains(o.out, "spec: 1.") {
		t.Errorf("--version: %v", o)
	}
}
