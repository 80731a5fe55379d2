package runtime

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/capability"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/seccomp"
	"github.com/tare-engine/tare/snapshot"
	"github.com/tare-engine/tare/spawn/nofile"
	"github.com/tare-engine/tare/spec"
	"golang.org/x/sys/unix"
)

func testConfig(t *testing.T, root string, args ...string) Config {
	t.Helper()
	s := spec.Default(nil)
	s.Process.Args = args
	s.Process.Env = []string{"PATH=/bin"}
	caps := capability.Default()
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps.Names(), Effective: caps.Names(), Permitted: caps.Names()}
	s.Hostname = "box"
	s.Linux.CgroupsPath = fmt.Sprintf("/tare-test-%d/%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	s.Linux.Seccomp = seccomp.Default(seccomp.Host{GOARCH: "amd64", Kernel: seccomp.Version{Major: 6, Minor: 18}, Caps: caps.Names()})
	l, err := cgroupfs.Probe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cgroupfs.RemoveParent(l, fmt.Sprintf("/tare-test-%d", os.Getpid())); err != nil {
			t.Error(err)
		}
	})
	return Config{
		Spec: s, Root: snapshot.Mount{Bind: root}, Stdin: -1, Stdout: -1, Stderr: -1, Layout: l,
		Warn:  func(s string) { t.Log("warning:", s) },
		Facts: Facts{Bounding: 1<<41 - 1&^(1<<unix.CAP_SYS_RESOURCE), LastCap: 40, NoFile: [2]uint64{nofile.Soft, nofile.Hard}, GOARCH: "amd64"},
	}
}

// output runs the container and returns what it wrote and its exit code.
func output(t *testing.T, cfg Config) (string, int, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cfg.Stdout, cfg.Stderr = int(w.Fd()), int(w.Fd())
	c, err := Create(cfg)
	if err == nil {
		err = c.Start()
	}
	w.Close()
	if err != nil {
		return "", 0, err
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		t.Fatal(err)
	}
	st, err := c.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	c.Process.Release()
	c.removeGroup()
	return b.String(), st.ExitCode(), nil
}

func TestSpike(t *testing.T) {
	cfg := testConfig(t, "/tmp/bb", "sh", "-c", "id; hostname; ps; mount; ls -la / /dev; cat /proc/self/status | grep -E 'Cap|Secc|NoNew'; ulimit -n; ls /proc/self/fd; cat /proc/self/cgroup; ls /sys/fs/cgroup; cat /proc/self/mountinfo")
	out, code, err := output(t, cfg)
	t.Log(out, code, err)
	if err != nil {
		t.Fatal(err)
	}
}
