package containers

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/tare-engine/tare/internal/engine/rootless"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/test/verify/rig"
)

// userEnv makes this test binary run its tests in a user namespace of the
// ordinary user that it was started by, as tare does with itself.
const userEnv = "TARE_TEST_USER"

// anyUser is nobody that the machine knows, and has no further ids.
const anyUser = 4242

// asUser enters the user namespace, and runs the tests in there.
func asUser(m *testing.M) int {
	if os.Geteuid() == 0 {
		return m.Run()
	}
	code, err := rootless.Run(os.Args, os.Environ(), os.Getenv(userEnv)+"/run")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return noUserNS
	}
	return code
}

// noUserNS is the exit code where the machine gives users no namespaces.
const noUserNS = 99

// notForUsers are the configurations that an ordinary user without further ids
// cannot have, and why.
var notForUsers = map[string]string{
	"warnings": noCgroup, "memory": noCgroup, "swap": noCgroup, "swappiness": noCgroup, "cpu": noCgroup, "cpus": noCgroup, "raw": noCgroup, "golden limits": noCgroup,
	"process": noIDs, "userns": noIDs, "golden user": noIDs, "golden userns": noIDs,
	"golden mounts": "an idmapped mount is of a user namespace with other ids",
	"host":          noHostProc, "golden hostns": noHostProc,
}

const (
	noCgroup   = "no cgroup is the user's own"
	noIDs      = "the user has no id besides its own"
	noHostProc = "a procfs of the host's processes is root's to mount"
)

// allowed skips what the user cannot have, where the tests are one's.
func allowed(t *testing.T, e *house, name string) {
	t.Helper()
	if why := notForUsers[name]; e.Host.UserNS && why != "" {
		t.Skipf("%s: %s", name, why)
	}
}

// TestEqualRootless: what TestEqual says holds for a user without privileges.
func TestEqualRootless(t *testing.T) {
	testkit.Containers(t)
	if os.Getenv(userEnv) != "" {
		t.Skip("runs in it")
	}
	if testing.Short() {
		t.Skip("takes a minute and more, and a user has no cgroup of either version: it runs without -short")
	}
	dir, err := os.MkdirTemp("", "tare-user-") // t.TempDir is nobody else's to enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for name, from := range map[string]string{
		"tests": "/proc/self/exe", "tare-keeper": os.Getenv(rig.BinEnv) + "/tare-keeper", "tare-base": os.Getenv(rig.BinEnv) + "/tare-base",
	} {
		copyProgram(t, from, dir+"/"+name)
	}
	for _, d := range []string{dir, dir + "/tmp"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d, anyUser, anyUser); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(dir+"/tests", "-test.run=^TestEqual(Notify|Passed|Retry)?$", "-test.v", "-test.timeout=5m")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir + "/tmp", userEnv + "=" + dir, rig.BinEnv + "=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: anyUser, Gid: anyUser}}
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	out := string(text)
	switch code := cmd.ProcessState.ExitCode(); {
	case code == noUserNS:
		t.Skipf("this machine gives users no user namespaces: %s", out)
	case code != 0:
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, line := range regexp.MustCompile(`(?m)^\s+equal.*_test\.go:\d+: .*$`).FindAllString(out, -1) {
		t.Log("skipped:", strings.TrimSpace(line))
	}
	for name := range notForUsers {
		if !strings.Contains(out, "--- SKIP: TestEqual/"+strings.ReplaceAll(name, " ", "_")+" ") {
			t.Errorf("%s is no configuration", name)
		}
	}
	for _, name := range []string{"TestEqual/plain", "TestEqual/golden_default", "TestEqualRetry/plain", "TestEqualNotify", "TestEqualPassed"} {
		if !strings.Contains(out, "--- PASS: "+name+" ") {
			t.Errorf("%s has not passed:\n%s", name, out)
		}
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	r, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
