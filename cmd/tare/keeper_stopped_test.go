package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/test/verify/rig"
)

// oneKeeper is the keeper of the rig's one container.
func oneKeeper(t *testing.T, r *rig.Rig) (pid int) {
	t.Helper()
	eventually(t, "one keeper", func() bool {
		k := keepers(r)
		if len(k) == 1 {
			pid = k[0]
		}
		return len(k) == 1
	})
	return pid
}

// TestKeeperStopped: no command waits for ever for a keeper that stands still,
// and what needs it lets it go on.
func TestKeeperStopped(t *testing.T) {
	t.Parallel()
	for _, commands := range [][][]string{
		{{"ps"}, {"inspect", "web"}, {"exec", "web", "true"}, {"stop", "web"}},
		{{"kill", "web"}},
		{{"kill", "-s", "TERM", "web"}, {"wait", "web"}},
		{{"update", "--stop-timeout", "5", "web"}},
		{{"restart", "web"}},
	} {
		r := keptRig(t)
		r.Must(t, counting(t)...)
		pid := oneKeeper(t, r)
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for _, c := range append(commands, []string{"rm", "-f", "web"}) {
			begin := time.Now()
			if res := r.Run(t, c...); res.Code != 0 {
				b, _ := os.ReadFile("/proc/" + itoa(pid) + "/status")
				t.Fatalf("%s: %+v\n%s", c, res, b)
			}
			if d := time.Since(begin); d > 15*time.Second { // who waits in vain gives up after 25
				t.Errorf("%s: took %v", c, d)
			}
		}
	}
	r := keptRig(t)
	r.Must(t, counting(t)...)
	if err := unix.Kill(oneKeeper(t, r), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.Must(t, "rm", "-f", "web")
}

// TestKeeperStoppedAttached: who is attached learns of the end of a container
// whose keeper stood still when it came.
func TestKeeperStoppedAttached(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, "run", "-d", "--name", "web", "tare/base", "sleep", "1000")
	keeper := oneKeeper(t, r)
	cmd := r.Command("attach", "web")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "somebody attached", func() bool {
		return r.Must(t, "events", "--since", "1h", "--until", "0s", "--filter", "event=attach") != ""
	})
	pid, err := strconv.Atoi(strings.TrimSpace(r.Must(t, "inspect", "-f", "{{.State.Pid}}", "web")))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		pid int
		sig unix.Signal
	}{{keeper, unix.SIGSTOP}, {pid, unix.SIGKILL}} {
		if err := unix.Kill(k.pid, k.sig); err != nil {
			t.Fatal(err)
		}
	}
	late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	if code := rig.Code(t, cmd.Wait()); code != 137 {
		t.Errorf("exit code %d", code)
	}
	late.Stop()
	r.Must(t, "rm", "web")
}

// TestKeeperDescriptors: a keeper that may have no further descriptor waits
// quietly until it may, and does the rest of its work.
func TestKeeperDescriptors(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, counting(t)...)
	pid := oneKeeper(t, r)
	eventually(t, "its log", func() bool { return r.Must(t, "logs", "web") != "" })
	fds, err := os.ReadDir("/proc/" + itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	full := unix.Rlimit{Cur: uint64(len(fds)), Max: 1024}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &full, nil); err != nil {
		t.Fatal(err)
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(sock) }()
	id := strings.TrimSpace(r.Must(t, "ps", "-q", "--no-trunc"))
	dir, err := os.Open(r.RunRoot + "/live/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Connect(sock, &unix.SockaddrUnix{Name: "/proc/self/fd/" + itoa(int(dir.Fd())) + "/sock"}); err != nil {
		t.Fatal(err)
	}
	switched := func() int {
		t.Helper()
		b, err := os.ReadFile("/proc/" + itoa(pid) + "/schedstat")
		if err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.Atoi(strings.Fields(string(b))[0])
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	before := switched()
	time.Sleep(time.Second)
	if d := time.Duration(switched() - before); d > 300*time.Millisecond {
		t.Errorf("in a second it worked for %v", d)
	}
	r.Must(t, "stop", "web")
	if got := state(t, r, "web"); got != "exited 7" {
		t.Errorf("after the stop: %s", got)
	}
	r.Must(t, "rm", "web")
}

// TestKeeperUpdated: what tare update changes of a keeper's settings holds at
// once, and for a keeper that follows.
func TestKeeperUpdated(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, counting(t, "--log-opt", "max-file=2")...)
	id := strings.TrimSpace(r.Must(t, "ps", "-q", "--no-trunc"))
	raw := func() (n int) {
		files, err := os.ReadDir(r.Root + "/logs/" + id)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".raw") {
				n++
			}
		}
		return n
	}
	eventually(t, "its log", func() bool { return r.Must(t, "logs", "web") != "" })
	r.Must(t, "update", "--log-opt", "max-size=2k", "web")
	eventually(t, "two files", func() bool { return raw() == 2 })
	r.Must(t, "update", "--log-opt", "max-file=1", "web")
	if n := raw(); n != 1 {
		t.Errorf("%d files of 1", n)
	}
	if res := r.Run(t, "update", "--log-opt", "tag=x", "web"); res.Code != 1 || !strings.Contains(res.Err, "cannot be updated") {
		t.Errorf("another option: %+v", res)
	}
	killKeeper(t, r)
	r.Must(t, "update", "--stop-signal", "INT", "--stop-timeout", "0", "web")
	r.Must(t, "ps")
	oneKeeper(t, r)
	r.Must(t, "update", "--timeout", "1ms", "web")
	if got := strings.TrimSpace(r.Must(t, "wait", "web")); got != "137" {
		t.Errorf("exit code %s, want that of SIGKILL after SIGINT at once", got)
	}
	r.Must(t, "rm", "web")
}
