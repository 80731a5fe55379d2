package runc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestStates: what each command says to a container in each state.
func TestStates(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	const (
		absent  = "container does not exist"
		stopped = "container not running"
	)
	steps := []struct {
		name   string
		change []string // the command that brings the state about
		want   map[string]string
	}{
		{"absent", nil, map[string]string{
			"state x": absent, "start x": absent, "kill x": absent, "delete x": absent, "delete --force x": "", "pause x": absent,
			"resume x": absent, "exec x true": absent, "ps x": absent, "update --pids-limit 9 x": absent, "events --stats x": absent,
		}},
		{"created", []string{"create", "--bundle", dir, "x"}, map[string]string{
			"state x": "", "resume x": "container x is created", "create --bundle " + dir + " x": "container with given ID already exists",
			"ps x": "", "update --pids-limit 20 x": "", "--systemd-cgroup update --pids-limit 20 x": "", "kill x 0": "", "kill x 65": "invalid signal", "exec x true": "",
		}},
		{"paused", []string{"pause", "x"}, map[string]string{"start x": "cannot start a container that is paused"}},
		{"created", []string{"resume", "x"}, nil},
		{"running", []string{"start", "x"}, map[string]string{
			"state x": "", "start x": "container is already running", "delete x": "cannot delete a container that is not stopped: running",
			"resume x": "container x is running", "exec x true": "", "exec x false": "exit 1", "exec x nosuch": "executable file not found in $PATH",
			"ps x": "", "ps -f json x": "", "list": "", "list -q": "", "list --format json": "", "events --stats x": "", "kill x CONT": "", "kill -a x 18": "",
			"update --memory 64m --memory-swap 128m x": "", "kill x NOPE": "invalid signal",
		}},
		{"paused", []string{"pause", "x"}, map[string]string{
			"state x": "", "start x": "container is already running", "pause x": "container x is paused", "exec x true": "paused",
			"delete x": "cannot delete a container that is not stopped: paused",
		}},
		{"running", []string{"resume", "x"}, nil},
		{"stopped", []string{"kill", "x", "KILL"}, map[string]string{
			"state x": "", "start x": "cannot start a container that has stopped", "kill x": stopped, "kill --all x": "", "exec x true": stopped,
			"pause x": stopped, "resume x": stopped, "update --pids-limit 9 x": stopped, "events --stats x": stopped,
		}},
		{"absent", []string{"delete", "x"}, map[string]string{"state x": absent, "list": ""}},
	}
	if exec.Command("ps", "-ef").Run() != nil { // as in a machine without /proc/stat's btime
		for _, s := range steps {
			delete(s.want, "ps x")
		}
	}
	for _, s := range steps {
		if s.change != nil {
			r.ok(s.change...)
		}
		switch s.name {
		case "absent":
		case "stopped":
			r.waitStopped("x")
		default:
			r.wantStatus("x", s.name)
		}
		for command, want := range s.want {
			res := r.run(strings.Fields(command)...)
			switch {
			case want == "" && res.code != 0, want == "exit 1" && (res.code != 1 || res.err != ""):
				t.Errorf("%s: %s: exit code %d, %s", s.name, command, res.code, res.err)
			case want == "" || want == "exit 1":
			case res.code == 0 || !strings.Contains(res.err, want) || strings.Contains(res.err, "\n"):
				t.Errorf("%s: %s: exit code %d, %q; want %q", s.name, command, res.code, res.err, want)
			}
		}
	}
}

// TestDoubleStart: of two starts at once one wins.
func TestDoubleStart(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	for range 10 {
		r.ok("create", "-b", dir, "x")
		var wg sync.WaitGroup
		res := make([]result, 3)
		for i := range res {
			wg.Go(func() { res[i] = r.run("start", "x") })
		}
		wg.Wait()
		won := 0
		for _, s := range res {
			switch {
			case s.code == 0:
				won++
			case !strings.Contains(s.err, "container is already running"):
				t.Errorf("the second start: %q", s.err)
			}
		}
		if won != 1 {
			t.Errorf("%d starts have won, want 1", won)
		}
		r.wantStatus("x", "running")
		r.ok("delete", "-f", "x")
	}
}

// TestCreatorKilled: whenever a create is killed, delete --force or the next
// create clears what it has left.
func TestCreatorKilled(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	seen := map[string]bool{}
	for n := 0; ; n++ {
		r.env = []string{crashEnv + "=" + strconv.Itoa(n)}
		res := r.run("create", "-b", dir, "x")
		r.env = nil
		if res.code == 0 {
			t.Logf("%d steps", n)
			r.ok("delete", "--force", "x")
			break
		}
		if res.code != -1 {
			t.Fatalf("step %d: exit code %d: %s", n, res.code, res.err)
		}
		where := strings.Fields(res.err)[0]
		seen[where] = true
		switch recorded := where == "recorded" || where == "ready" || where == "told"; {
		case where == "left":
			r.wantStatus("x", "created")
			r.ok("start", "x")
			r.wantStatus("x", "running")
			r.ok("delete", "-f", "x")
		case recorded:
			r.waitStopped("x")
			r.fails("stopped", "start", "x")
			r.ok("delete", "x")
		case n%2 == 0:
			r.ok("delete", "--force", "x")
		default:
			r.ok("create", "-b", dir, "x")
			r.ok("delete", "x")
		}
		r.wantNothingLeft()
		if t.Failed() {
			t.Fatalf("after %q, step %d", res.err, n)
		}
	}
	for _, w := range []string{"reserved", "gate", "cgroup", "host", "created", "recorded", "ready", "told", "left"} {
		if !seen[w] {
			t.Errorf("no create was killed at %q", w)
		}
	}
}

// TestReboot: a record of another boot is of a container that has stopped,
// whoever has its pid and its cgroup now.
func TestReboot(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	r.ok("create", "-b", dir, "old")
	pid := r.state("old").Pid
	r.record("old", func(v map[string]any) { v["bootID"] = "00000000-0000-0000-0000-000000000000" })
	r.wantStatus("old", "stopped")
	r.fails("container not running", "kill", "old", "KILL")
	r.fails("stopped", "start", "old")
	r.ok("delete", "old")
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("process %d of this boot: %v", pid, err)
	}
	must(t, unix.Kill(pid, unix.SIGKILL))
	waitFor(t, "the process has gone", func() bool { return stateOf(pid) == "" || stateOf(pid) == "Z" })
	r.ok("create", "-b", dir, "new")
	r.ok("delete", "-f", "new")
}

// stateOf is the letter of /proc/PID/stat.
func stateOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
}

// TestPidReuse: another process with the container's old pid is left alone.
func TestPidReuse(t *testing.T) {
	r := newRig(t)
	r.ok("create", "-b", r.bundle([]string{"true"}), "x")
	r.ok("start", "x")
	r.waitStopped("x")
	other := exec.Command("sleep", "1000")
	must(t, other.Start())
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	r.record("x", func(v map[string]any) { v["pid"] = other.Process.Pid })
	r.wantStatus("x", "stopped")
	r.fails("container not running", "kill", "x", "KILL")
	r.fails("stopped", "start", "x")
	r.ok("delete", "--force", "x")
	if s := stateOf(other.Process.Pid); s != "S" {
		t.Errorf("the other process is %q, want S", s)
	}
}

// TestInitKilled: kill -9 of the first process from outside, created and
// running.
func TestInitKilled(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	for _, start := range []bool{false, true} {
		r.ok("create", "-b", dir, "x")
		if start {
			r.ok("start", "x")
		}
		must(t, unix.Kill(r.state("x").Pid, unix.SIGKILL))
		r.waitStopped("x")
		r.fails("stopped", "start", "x")
		r.ok("delete", "x")
	}
}

// TestSharedCgroup: to delete a container that has ended harms none that has
// got its cgroup.
func TestSharedCgroup(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	r.ok("run", "-d", "-b", dir, "x")
	r.ok("kill", "x", "KILL")
	r.waitStopped("x")
	r.ok("run", "-d", "-b", dir, "y")
	r.ok("delete", "x")
	r.wantStatus("y", "running")
	r.ok("delete", "-f", "y")
}

// TestStartErrors: what a start finds out, as the same errors that a run has.
func TestStartErrors(t *testing.T) {
	r := newRig(t)
	r.fails(`exec: "nosuch": executable file not found in $PATH`, "create", "-b", r.bundle([]string{"nosuch"}), "x")
	r.fails(`exec: "/etc": `, "run", "-b", r.bundle([]string{"/etc"}), "x")
	dir := r.bundle([]string{"/bin/gone"})
	must(t, os.Symlink("busybox", dir+"/rootfs/bin/gone"))
	r.ok("create", "-b", dir, "x")
	must(t, os.Remove(dir+"/rootfs/bin/gone"))
	r.fails(`exec: "/bin/gone": no such file or directory`, "start", "x")
	r.wantStatus("x", "stopped")
	r.ok("delete", "x")

	dir = r.bundle([]string{"mine"}, func(s *specs.Spec) { s.Process.User.UID, s.Process.Capabilities = 1000, nil })
	must(t, os.WriteFile(dir+"/rootfs/bin/mine", []byte("#!/bin/sh\n"), 0o700))
	r.ok("create", "-b", dir, "x")
	r.fails(`exec: "mine": permission denied`, "start", "x")
	r.ok("delete", "x")
}

// TestRun: streams, exit codes and what is left.
func TestRun(t *testing.T) {
	r := newRig(t)
	sh := func(script string, edits ...func(*specs.Spec)) result {
		t.Helper()
		return r.run("run", "--bundle="+r.bundle([]string{"sh", "-c", script}, edits...), "x")
	}
	if got := sh("echo out; echo err >&2; exit 7"); got != (result{"out\n", "err", 7}) {
		t.Errorf("%+v", got)
	}
	if got := sh("kill -TERM $$"); got.code != 0 { // process 1 ignores it
		t.Errorf("%+v", got)
	}
	if got := sh("echo $HOME"); got.out != "/\n" {
		t.Errorf("HOME: %+v", got)
	}
	if got := sh("ls /proc/self/fd | head -n 5"); got.out != "0\n1\n2\n3\n" { // 3 is ls's own
		t.Errorf("descriptors: %+v", got)
	}
	dir := r.bundle([]string{"true"})
	r.ok("run", "--keep", "-b", dir, "x")
	r.wantStatus("x", "stopped")
	r.ok("delete", "x")
	pidFile := t.TempDir() + "/pid"
	r.ok("run", "-d", "--pid-file", pidFile, "-b", r.bundle([]string{"sleep", "1000"}), "x")
	b, err := os.ReadFile(pidFile)
	must(t, err)
	if pid := r.state("x").Pid; strconv.Itoa(pid) != string(b) {
		t.Errorf("pid file %q, state %d", b, pid)
	}
	r.ok("delete", "-f", "x")
}

// TestPreserveFDs: --preserve-fds and LISTEN_FDS.
func TestPreserveFDs(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sh", "-c", "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd"})
	pipe := func(text string) *os.File {
		in, w, err := os.Pipe()
		must(t, err)
		_, err = w.WriteString(text)
		must(t, err)
		must(t, w.Close())
		return in
	}
	cmd := r.command("run", "--preserve-fds", "1", "-b", dir, "x")
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{pipe("three\n"), pipe("four\n"), pipe("five\n")}
	out, err := cmd.CombinedOutput()
	if want := "three\nfour\n1 1\n0\n1\n2\n3\n4\n5\n"; err != nil || string(out) != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
	r.fails("descriptor 3 is not open", "run", "--preserve-fds", "1", "-b", dir, "x")

	// Descriptors that are another process's, or the first one's only.
	dir = r.bundle([]string{"sleep", "1000"})
	for _, tt := range []struct{ listen, args []string }{
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=1"}, []string{"run", "-d", "-b", dir, "y"}},
		{[]string{"LISTEN_FDS=1"}, []string{"exec", "y", "readlink", "/proc/self/fd/3"}},
	} {
		cmd := r.command(tt.args...)
		cmd.Env = append(cmd.Env, tt.listen...)
		cmd.ExtraFiles = []*os.File{pipe("secret")}
		var out bytes.Buffer
		if tt.args[0] == "exec" {
			cmd.Stdout = &out
		}
		if _ = cmd.Run(); strings.Contains(out.String(), "pipe") {
			t.Errorf("%s, %s: descriptor 3 is %s", tt.listen, tt.args, out.String())
		}
	}
	if fd, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", r.state("y").Pid)); err == nil {
		t.Errorf("LISTEN_FDS of another process: descriptor 3 is %s", fd)
	}
	r.ok("delete", "-f", "y")
}

// TestLog: the form that engines parse.
func TestLog(t *testing.T) {
	r := newRig(t)
	file := t.TempDir() + "/log"
	res := r.run("--log", file, "--log-format", "json", "state", "x")
	b, err := os.ReadFile(file)
	must(t, err)
	var line struct {
		Level, Msg string
		Time       time.Time
	}
	must(t, json.Unmarshal(b, &line))
	if line.Level != "error" || line.Msg != "open x: container does not exist" || time.Since(line.Time) > time.Minute || res.err != line.Msg || res.code != 1 {
		t.Errorf("%s, %+v", b, res)
	}
	must(t, os.Remove(file))
	r.run("--log="+file, "state", "x")
	if b, err = os.ReadFile(file); err != nil || !strings.HasSuffix(string(b), `level=error msg="open x: container does not exist"`+"\n") || !strings.HasPrefix(string(b), `time="2`) {
		t.Errorf("%q, %v", b, err)
	}
}

// TestExec: the process of an exec.
func TestExec(t *testing.T) {
	r := newRig(t)
	r.ok("run", "-d", "-b", r.bundle([]string{"sleep", "1000"}), "x")
	defer r.ok("delete", "--force", "x")
	if out := r.ok("exec", "-e", "A=b", "--cwd", "/tmp", "--user", "5:6", "-g", "7", "x", "sh", "-c", "id; pwd; echo $A"); out != "uid=5 gid=6 groups=7\n/tmp\nb\n" {
		t.Errorf("exec: %q", out)
	}
	if res := r.run("exec", "x", "sh", "-c", "exit 9"); res.code != 9 || res.err != "" {
		t.Errorf("exit code: %+v", res)
	}
	if res := r.run("exec", "x", "nosuch"); res.code != 255 {
		t.Errorf("no such program: %+v", res)
	}
	file := t.TempDir() + "/process.json"
	writeJSON(t, file, specs.Process{Args: []string{"sh", "-c", "echo $X"}, Env: []string{"PATH=/bin", "X=y"}, Cwd: "/"})
	if out := r.ok("exec", "--process", file, "x"); out != "y\n" {
		t.Errorf("--process: %q", out)
	}
	pidFile := t.TempDir() + "/pid"
	r.ok("exec", "-d", "--pid-file", pidFile, "x", "sleep", "1000")
	b, err := os.ReadFile(pidFile)
	must(t, err)
	var pids []int
	must(t, json.Unmarshal([]byte(r.ok("ps", "-f", "json", "x")), &pids))
	if pid, _ := strconv.Atoi(string(b)); len(pids) != 2 || pids[1] != pid {
		t.Errorf("ps shows %v, pid file %s", pids, b)
	}
	if out := r.ok("exec", "-t", "x", "tty"); strings.TrimSpace(out) != "/dev/pts/0" {
		t.Errorf("-t: %q", out)
	}
}

// TestExecProcessFile: a process that says nothing of its bounds has the
// container's.
func TestExecProcessFile(t *testing.T) {
	container := &specs.Process{
		ApparmorProfile: "box", SelinuxLabel: "box_t", Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Hard: 1, Soft: 1}},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}},
	}
	file := t.TempDir() + "/process.json"
	for _, tt := range []struct{ given, want specs.Process }{
		{specs.Process{}, *container},
		{
			specs.Process{ApparmorProfile: "own", SelinuxLabel: "own_t", Capabilities: &specs.LinuxCapabilities{}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}},
			specs.Process{ApparmorProfile: "own", SelinuxLabel: "own_t", Capabilities: &specs.LinuxCapabilities{}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}},
		},
	} {
		for _, p := range []*specs.Process{&tt.given, &tt.want} {
			p.Args, p.Cwd = []string{"true"}, "/"
		}
		writeJSON(t, file, &tt.given)
		got, err := New().execProcess(container, nil, &execFlags{process: file})
		must(t, err)
		if d := cmp.Diff(&tt.want, got); d != "" {
			t.Error(d)
		}
	}
}

// TestHelp: every command has a help text and a page, and no flag twice.
func TestHelp(t *testing.T) {
	dir := t.TempDir()
	must(t, Man(dir, time.Unix(0, 0)))
	page, err := os.ReadFile(dir + "/tare-oci.1")
	must(t, err)
	for _, c := range commands {
		if !strings.Contains(string(page), "\n.SS "+c.name) {
			t.Errorf("the manual page lacks %s", c.name)
		}
	}
	for _, args := range [][]string{{"--help"}, {"help"}, {"help", "create"}, {"exec", "-h"}, {"--version"}} {
		out, err := os.Create(dir + "/out")
		must(t, err)
		a := New()
		a.Stdout, a.Stderr = out, out
		if code := a.Main(args); code != 0 {
			t.Errorf("%s: exit code %d", args, code)
		}
		b, err := os.ReadFile(dir + "/out")
		must(t, err)
		if len(b) < 20 {
			t.Errorf("%s: %q", args, b)
		}
	}
}
