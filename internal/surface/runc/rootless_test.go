package runc

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestRootless: an ordinary user makes, starts, looks at, enters, kills and
// deletes a container of a spec --rootless.
func TestRootless(t *testing.T) {
	newRig(t) // for its conditions
	dir, err := os.MkdirTemp("/tmp", "tare-oci-rootless-")
	must(t, err)
	defer func() { must(t, os.RemoveAll(dir)) }()
	must(t, os.Chmod(dir, 0o755))
	in, err := os.Open("/proc/self/exe")
	must(t, err)
	defer in.Close()
	exe, err := os.OpenFile(dir+"/tare-oci", os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(exe, in)
	must(t, err)
	must(t, exe.Close())
	for _, d := range []string{"/run", "/bundle", "/bundle/rootfs", "/bundle/rootfs/bin"} {
		must(t, os.Mkdir(dir+d, 0o755))
	}
	b, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(dir+"/bundle/rootfs/bin/busybox", b, 0o755))
	for _, a := range []string{"sh", "sleep", "id"} {
		must(t, os.Symlink("busybox", dir+"/bundle/rootfs/bin/"+a))
	}
	const uid = 12345
	must(t, exec.Command("chown", "-R", "12345:12345", dir).Run())
	run := func(args ...string) (string, error) {
		cmd := exec.Command(dir+"/tare-oci", args...)
		cmd.Dir = dir + "/bundle"
		cmd.Env = []string{mainEnv + "=1", "XDG_RUNTIME_DIR=" + dir + "/run", "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := os.CreateTemp(t.TempDir(), "")
		must(t, err)
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		err = cmd.Run()
		b, rerr := os.ReadFile(out.Name())
		must(t, rerr)
		return string(b), err
	}
	ok := func(args ...string) string {
		t.Helper()
		out, err := run(args...)
		if err != nil {
			if strings.Contains(out, "make a user namespace") {
				t.Skip(out)
			}
			t.Fatalf("%s: %v: %s", args, err, out)
		}
		return out
	}
	ok("spec", "--rootless")
	config := dir + "/bundle/config.json"
	text, err := os.ReadFile(config)
	must(t, err)
	s := strings.NewReplacer(`"terminal": true`, `"terminal": false`, `"sh"`, `"sleep", "1000"`).Replace(string(text))
	must(t, os.WriteFile(config, []byte(s), 0o644))
	ok("create", "x")
	if out := ok("list"); !strings.Contains(out, "created") || !strings.Contains(out, "#12345") {
		t.Errorf("list: %s", out)
	}
	ok("start", "x")
	if out := ok("exec", "x", "id"); out != "uid=0 gid=0\n" {
		t.Errorf("exec: %q", out)
	}
	if out, err := run("exec", "x", "nosuch"); err == nil || !strings.Contains(out, "executable file not found") {
		t.Errorf("exec: %v, %q", err, out)
	}
	ok("kill", "x", "KILL")
	waitFor(t, "x has stopped", func() bool { return strings.Contains(ok("state", "x"), `"stopped"`) })
	ok("delete", "x")
	must(t, os.WriteFile(config, []byte(strings.Replace(s, `"hostID": 12345`, `"hostID": 1`, 1)), 0o644))
	if out, err := run("run", "x"); err == nil || !strings.Contains(out, "not this user's") {
		t.Errorf("another user's id: %v, %q", err, out)
	}
}
