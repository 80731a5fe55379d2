package runc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/criu/swrk"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

const (
	mainEnv  = "TARE_OCI_TEST_MAIN" // run the program instead of the tests
	crashEnv = "TARE_OCI_TEST_KILL" // and kill it at its nth step
	hotEnv   = "TARE_OCI_TEST_HOT"  // as tare-oci, which has no CRIU
	criuEnv  = "TARE_OCI_TEST_CRIU" // be a CRIU that writes its request to this file

	criuFailEnv = "TARE_OCI_TEST_CRIU_FAIL" // and fails at this place
)

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" && os.Getenv(criuEnv) == "" {
		a := New()
		if os.Getenv(hotEnv) == "" {
			a.CRIU = swrk.Run
		}
		if n, err := strconv.Atoi(os.Getenv(crashEnv)); err == nil {
			a.after = killAt(n)
		}
		os.Exit(a.Main(os.Args[1:]))
	}
	if file := os.Getenv(criuEnv); file != "" {
		if err := fakeCRIU(file, os.Getenv(criuFailEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killAt kills this process at its nth step, and says on standard error which
// it was.
func killAt(n int) func(string) {
	var mu sync.Mutex // groups are made beside the rest
	i := 0
	return func(where string) {
		mu.Lock()
		defer mu.Unlock()
		if i == n {
			_, _ = os.Stderr.WriteString(where)
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		i++
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const busybox = "/bin/busybox"

// rig is a state directory of its own.
type rig struct {
	t    testing.TB
	root string
	cg   string // parent of the containers' cgroups
	env  []string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	testkit.Root(t, "makes containers")
	if _, err := os.Stat(busybox); err != nil {
		t.Skipf("needs a static busybox: %v", err)
	}
	r := &rig{t: t, root: filepath.Join(t.TempDir(), "run"), cg: fmt.Sprintf("/tare-test-oci-%d", os.Getpid())}
	t.Cleanup(r.wantNothingLeft)
	return r
}

// wantNothingLeft fails the test when a container, a staging directory or a
// cgroup is there.
func (r *rig) wantNothingLeft() {
	r.t.Helper()
	entries, err := os.ReadDir(r.root)
	if err != nil && !os.IsNotExist(err) {
		r.t.Error(err)
	}
	for _, e := range entries {
		r.t.Errorf("%s is left", e.Name())
	}
	layout, err := cgroupfs.Probe()
	must(r.t, err)
	must(r.t, cgroupfs.RemoveParent(layout, r.cg))
	if g, err := cgroupfs.Open(layout, r.cg); err == nil {
		g.Close()
		r.t.Errorf("a cgroup is left below %s", r.cg)
	}
}

// bundle makes a bundle of a busybox root.
func (r *rig) bundle(args []string, edits ...func(*specs.Spec)) string {
	r.t.Helper()
	dir := r.t.TempDir()
	must(r.t, os.Chmod(dir, 0o755))
	root := dir + "/rootfs"
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		must(r.t, os.MkdirAll(root+"/"+d, 0o755))
	}
	b, err := os.ReadFile(busybox)
	must(r.t, err)
	must(r.t, os.WriteFile(root+"/bin/busybox", b, 0o755))
	for _, a := range strings.Fields("sh cat echo id sleep true false env tty ls kill ps readlink head stty touch test") {
		must(r.t, os.Symlink("busybox", root+"/bin/"+a))
	}
	s := testSpec(args)
	s.Linux.CgroupsPath = r.cg + "/" + filepath.Base(dir) + strconv.FormatInt(time.Now().UnixNano(), 36)
	for _, e := range edits {
		e(s)
	}
	writeJSON(r.t, dir+"/config.json", s)
	return dir
}

func testSpec(args []string) *specs.Spec {
	s := oci.Default(nil)
	s.Version = specs.Version
	s.Root = &specs.Root{Path: "rootfs"}
	s.Process.Args, s.Process.Env, s.Process.Cwd = args, []string{"PATH=/bin"}, "/"
	caps := capability.Default().Names()
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.Linux.Seccomp = seccomp.Default(seccomp.Host{GOARCH: "amd64", Caps: caps})
	return s
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o644))
}

// result is what one invocation gave.
type result struct {
	out, err string
	code     int
}

func (r *rig) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"--root", r.root}, args...)...)
	cmd.Env = append(append(os.Environ(), mainEnv+"=1"), r.env...)
	return cmd
}

// run runs one command. What the container writes is in the result only when
// it has ended by then: its streams are files, which nobody waits for.
func (r *rig) run(args ...string) result {
	r.t.Helper()
	dir := r.t.TempDir()
	out, err := os.Create(dir + "/out")
	must(r.t, err)
	defer out.Close()
	errs, err := os.Create(dir + "/err")
	must(r.t, err)
	defer errs.Close()
	cmd := r.command(args...)
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	var ee *exec.ExitError
	if err != nil && !asExit(err, &ee) {
		r.t.Fatal(err)
	}
	o, err := os.ReadFile(dir + "/out")
	must(r.t, err)
	e, err := os.ReadFile(dir + "/err")
	must(r.t, err)
	return result{string(o), strings.TrimSpace(string(e)), cmd.ProcessState.ExitCode()}
}

func asExit(err error, to **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError) //nolint:errorlint // of cmd.Run
	*to = e
	return ok
}

// ok runs a command that has to succeed and returns its output.
func (r *rig) ok(args ...string) string {
	r.t.Helper()
	res := r.run(args...)
	if res.code != 0 {
		r.t.Fatalf("%s: exit code %d: %s", args, res.code, res.err)
	}
	return res.out
}

// fails runs a command that has to fail with a text.
func (r *rig) fails(want string, args ...string) {
	r.t.Helper()
	res := r.run(args...)
	if res.code == 0 || !strings.Contains(res.err, want) {
		r.t.Errorf("%s: exit code %d, %q; want an error with %q", args, res.code, res.err, want)
	}
}

func (r *rig) state(id string) (s stateOutput) {
	r.t.Helper()
	must(r.t, json.Unmarshal([]byte(r.ok("state", id)), &s))
	return s
}

func (r *rig) wantStatus(id, want string) {
	r.t.Helper()
	if s := r.state(id); string(s.Status) != want || (s.Pid != 0) == (want == "stopped") {
		r.t.Errorf("%s is %s with pid %d, want %s", id, s.Status, s.Pid, want)
	}
}

// waitFor polls, for what no event tells.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (r *rig) waitStopped(id string) {
	r.t.Helper()
	waitFor(r.t, id+" has stopped", func() bool { return r.state(id).Status == specs.StateStopped })
}

// record changes a container's record behind the program's back.
func (r *rig) record(id string, change func(map[string]any)) {
	r.t.Helper()
	file := r.root + "/" + id + recordFile
	b, err := os.ReadFile(file)
	must(r.t, err)
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	must(r.t, d.Decode(&v))
	change(v)
	writeJSON(r.t, file, v)
}
