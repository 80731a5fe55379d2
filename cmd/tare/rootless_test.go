package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRootless runs the program as a user without privileges: the same
// engine, one user namespace further in.
func TestRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become an ordinary user")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("needs /bin/busybox (busybox-static)")
	}
	dir, err := os.MkdirTemp("", "tare-rootless-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin, root := filepath.Join(dir, "tare"), filepath.Join(dir, "rootfs")
	home := filepath.Join(dir, "home")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, d := range []string{root, root + "/bin", root + "/proc", root + "/sys", root + "/dev", root + "/etc", home} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/bin/busybox", b, 0o755); err != nil {
		t.Fatal(err)
	}
	const uid = 54321
	for _, d := range []string{dir, home, root, root + "/etc"} {
		if err := os.Chown(d, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, int) {
		cmd := exec.Command(bin, args...)
		cmd.Env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		cmd.Dir = home
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := run("run", "--rm", "--rootfs", root, "/bin/busybox", "sh", "-c",
		"id -u; echo $$; test -c /dev/null && echo null; hostname box 2>&1; cat /proc/self/uid_map; exit 7")
	if code == 125 && strings.Contains(out, "user namespace") {
		t.Skipf("this machine gives users no user namespaces: %s", out)
	}
	if code != 7 || !strings.HasPrefix(out, "0\n1\nnull\n") || !strings.Contains(out, "54321") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, code = run("run", "--rm", "-m", "64m", "--rootfs", root, "/bin/busybox", "true")
	if code != 125 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "memory") {
		t.Errorf("a limit without a cgroup of one's own: exit code %d:\n%s", code, out)
	}
	if out, code = run("ps", "-aq"); code != 0 || out != "" {
		t.Errorf("left: %q, exit code %d", out, code)
	}
}
