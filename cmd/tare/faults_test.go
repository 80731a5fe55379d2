package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// plainRoot is a directory with nothing but BusyBox, to be used as a root.
func plainRoot(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs /bin/busybox (busybox-static)")
	}
	dir := t.TempDir()
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), b, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mounted mounts a file system for one test: these tests have a mount
// namespace of their own.
func mounted(t *testing.T, source, dir, kind string, flags uintptr, data string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, dir, kind, flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

const trapped = "trap 'exit 7' TERM; while :; do echo a line of output; busybox sleep 0.01; done"

// TestFullDisk: where there is no room for a record or a log, a container runs
// on and ends with its exit code; new ones are refused and leave nothing.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir() + "/disk"
	root := plainRoot(t)
	r := rig.New(t, dir)
	mounted(t, "tmpfs", dir, "tmpfs", 0, "size=1m")
	t.Cleanup(func() { removeAll(r); _ = r.Finish() })

	r.Must(t, "run", "-d", "--name", "web", "--rootfs", root, "busybox", "sh", "-c", trapped)
	fill(t, dir+"/filler")
	res := r.Run(t, "run", "-d", "--name", "second", "--rootfs", root, "busybox", "true")
	if res.Code != 125 || strings.Count(res.Err, "\n") != 1 {
		t.Errorf("a start without room: %+v", res)
	}
	time.Sleep(50 * time.Millisecond) // its log has no room either
	if got := state(t, r, "web"); got != "running 0" {
		t.Errorf("with a full disk: %s", got)
	}
	res = r.Run(t, "stop", "web") // cannot write down what it did, and says so
	if res.Code != 0 && !strings.Contains(res.Err, "no space left on device") {
		t.Errorf("stop: %+v", res)
	}
	if got := state(t, r, "web"); got != "exited 7" {
		t.Errorf("after the stop: %s", got)
	}
	if err := os.Remove(dir + "/filler"); err != nil {
		t.Fatal(err)
	}
	if got := state(t, r, "web"); got != "exited 7" {
		t.Errorf("with room again: %s", got)
	}
	if got := strings.Fields(r.Must(t, "ps", "-aq")); len(got) != 1 {
		t.Errorf("%d containers, want the first", len(got))
	}
	r.Must(t, "rm", "web")
	for _, l := range r.Finish() {
		t.Errorf("left: %s", l)
	}
}

// fill takes all the room there is.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}

// TestReadOnlyRoot: a data root that has become read-only keeps nobody from
// looking at a container or from stopping it.
func TestReadOnlyRoot(t *testing.T) {
	dir := t.TempDir()
	root := plainRoot(t)
	r := rig.New(t, dir)
	t.Cleanup(func() { removeAll(r); _ = r.Finish() })
	r.Must(t, "run", "-d", "--name", "web", "--rootfs", root, "busybox", "sh", "-c", trapped)
	if err := unix.Mount(r.Root, r.Root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", r.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	readOnly := true
	writable := func() {
		if readOnly {
			readOnly = false
			if err := unix.Unmount(r.Root, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	defer writable()
	for _, args := range [][]string{{"run", "-d", "--rootfs", root, "busybox", "true"}, {"rm", "-f", "nobody"}} {
		if res := r.Run(t, args...); strings.Count(res.Err, "\n") != 1 {
			t.Errorf("%s: %+v", args[0], res)
		}
	}
	if got := state(t, r, "web"); got != "running 0" {
		t.Errorf("read-only: %s", got)
	}
	_ = r.Run(t, "stop", "web") // stops, and cannot write it down
	if got := state(t, r, "web"); got != "exited 7" {
		t.Errorf("after the stop: %s", got)
	}
	if res := r.Run(t, "rm", "web"); res.Code != 1 || !strings.Contains(res.Err, "read-only file system") {
		t.Errorf("rm: %+v", res)
	}
	writable()
	r.Must(t, "rm", "web")
	for _, l := range r.Finish() {
		t.Errorf("left: %s", l)
	}
}

// TestBoot: after a reboot, what its policy wants is started, after what it
// requires; and only once. The records are made to be of another boot.
func TestBoot(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	r.Must(t, "run", "-d", "--name", "db", "--restart", "always", "tare/base", "sleep", "1000")
	r.Must(t, "run", "-d", "--name", "web", "--restart", "unless-stopped", "--requires", "db", "tare/base", "sleep", "1000")
	r.Must(t, "run", "-d", "--name", "stopped", "--restart", "unless-stopped", "tare/base", "sleep", "1000")
	r.Must(t, "run", "-d", "--name", "plain", "tare/base", "sleep", "1000")
	r.Must(t, "run", "-d", "--rm", "--name", "gone", "tare/base", "sh", "-c", "echo log; sleep 1000")
	eventually(t, "its log", func() bool { return r.Must(t, "logs", "gone") == "log\n" })
	r.Must(t, "stop", "-t", "0", "stopped")
	if got := r.Must(t, "system", "boot"); got != "" {
		t.Errorf("started within a boot: %s", got)
	}
	reboot(t, r)
	if got := r.Must(t, "ps", "-q"); got != "" {
		t.Errorf("runs after a reboot: %s", got)
	}
	ids := strings.Fields(r.Must(t, "system", "boot"))
	if len(ids) != 2 || !strings.HasPrefix(r.Must(t, "inspect", "-f", "{{.Name}}", ids[0]), "/db") {
		t.Errorf("started %q, want db and web", ids)
	}
	if got := r.Must(t, "system", "boot"); got != "" {
		t.Errorf("started twice: %s", got)
	}
	for name, want := range map[string]string{"db": "running 0", "web": "running 0", "plain": "exited -1"} {
		if got := state(t, r, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	r.Must(t, "rm", "-f", "db", "web", "stopped", "plain")
}

// reboot ends everything and makes it look as if it had been of another boot.
func reboot(t *testing.T, r *rig.Rig) {
	t.Helper()
	for _, h := range r.Helpers() {
		_ = unix.Kill(h.Pid, unix.SIGKILL)
	}
	for _, pids := range r.Procs() {
		for _, p := range pids {
			_ = unix.Kill(p, unix.SIGKILL)
		}
	}
	eventually(t, "the end of everything", func() bool { return len(r.Procs()) == 0 })
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(r.Root + "/containers/*.json")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), strings.TrimSpace(string(boot)), "00000000-0000-4000-8000-000000000000")
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range r.Layout.Hierarchies { // v1 and v2 groups are gone with the kernel
		dirs, _ := filepath.Glob(r.Layout.Hierarchies[i].Mount + r.Parent + "/*")
		for _, d := range dirs {
			_ = unix.Rmdir(d)
		}
	}
	if err := os.RemoveAll(r.RunRoot); err != nil {
		t.Fatal(err)
	}
}

// TestNotify: a service manager hears that the container is ready, from tare
// or from the container, and from a process that it knows.
func TestNotify(t *testing.T) {
	t.Parallel()
	if unix.Access("/usr/bin/python3", unix.X_OK) != nil {
		t.Skip("needs python3, as a program that notifies")
	}
	r := keptRig(t)
	sock := t.TempDir() + "/manager"
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := r.Command("run", "-d", "--name", "web", "--sdnotify", "conmon", "tare/base", "sleep", "1000")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+sock)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var want []int
	eventually(t, "a keeper", func() bool { want = keepers(r); return len(want) == 1 })
	if err := l.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	n, err := l.Read(b)
	if err != nil || len(want) != 1 || string(b[:n]) != "READY=1\nMAINPID="+itoa(want[0])+"\n" {
		t.Errorf("%q, %v; the keeper is %v", b[:n], err, want)
	}
	r.Must(t, "rm", "-f", "web")

	// The container's own word, through the root of the host.
	cmd = r.Command("run", "-d", "--name", "web", "--rootfs", "/", "python3", "-c",
		"import os,socket,time; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.connect(os.environ['NOTIFY_SOCKET']); s.send(b'STATUS=up\\nREADY=1\\nMAINPID=1'); time.sleep(1000)")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+sock)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no container on the host's own root: %s", out)
	}
	n, err = l.Read(b)
	eventually(t, "a keeper", func() bool { want = keepers(r); return len(want) == 1 })
	if err != nil || len(want) != 1 || string(b[:n]) != "STATUS=up\nREADY=1\nMAINPID="+itoa(want[0])+"\n" {
		t.Errorf("%q, %v; the keeper is %v; %s", b[:n], err, want, r.Must(t, "logs", "web"))
	}
	r.Must(t, "rm", "-f", "web")
}

// TestListenFDs: sockets that a service manager has opened reach the container
// under their numbers, in the foreground and with a keeper.
func TestListenFDs(t *testing.T) {
	t.Parallel()
	r := keptRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, flags := range []string{"--rm", "--rm -t"} {
		tare := strings.Join(r.Args(append([]string{"run"}, append(strings.Fields(flags), "tare/base", "sh", "-c")...)), " ")
		cmd := exec.Command("sh", "-c", "exec env LISTEN_PID=$$ LISTEN_FDS=1 "+r.Bin+"/tare "+tare+" 'echo $LISTEN_FDS $LISTEN_PID; readlink /proc/self/fd/3'")
		cmd.Env = append(os.Environ(), r.Env()...)
		cmd.ExtraFiles = []*os.File{f}
		out, err := cmd.CombinedOutput()
		if text := strings.ReplaceAll(string(out), "\r", ""); err != nil || !strings.HasPrefix(text, "1 1\nsocket:") {
			t.Errorf("%s: %v, %q", flags, err, out)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKeeperMemory: what a keeper keeps resident for itself.
func TestKeeperMemory(t *testing.T) {
	r := keptRig(t)
	const n = 10
	for range n {
		r.Must(t, "run", "-d", "tare/base", "sh", "-c", "echo a line; sleep 1000")
	}
	eventually(t, "keepers", func() bool { return len(keepers(r)) == n })
	total := 0
	for _, pid := range keepers(r) {
		b, err := os.ReadFile("/proc/" + itoa(pid) + "/smaps_rollup")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); f[0] == "Pss:" {
				total += atoi(t, f[1])
			}
		}
	}
	t.Logf("%d kB each, over %d", total/n, n)
	if total/n > 1100 {
		t.Errorf("a keeper has %d kB, budget 1100 over a hundred of them", total/n)
	}
	r.Must(t, append([]string{"rm", "-f"}, strings.Fields(r.Must(t, "ps", "-q"))...)...)
	if left := keepers(r); len(left) > 0 {
		t.Errorf("with no container: %d keepers", len(left))
	}
}
