package contest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const stage = "TARE_CONTEST_STAGE"

// world is what all tests share.
var world struct {
	runtime string // absolute path
	name    string // its last element
	state   string // --root
	lower   string // busybox root
	dir     string
	skip    string // why nothing can be judged
}

func TestMain(m *testing.M) {
	switch os.Getenv(stage) {
	case "":
		os.Exit(enter())
	case "init":
		os.Exit(reap())
	}
	if err := prepare(); err != nil {
		world.skip = err.Error()
	}
	code := m.Run()
	_ = os.RemoveAll(world.dir) // in the temporary directory, if anything is
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/contest")
	for _, g := range append(groups, "/sys/fs/cgroup/contest") {
		_ = os.Remove(g) // it may not be there
	}
	os.Exit(code)
}

// enter runs the tests in mount, pid and ipc namespaces of their own: what a
// runtime leaves behind ends with them.
func enter() int {
	if unix.Geteuid() != 0 {
		fmt.Println("SKIP: the conformance suite needs root")
		return 0
	}
	cmd := again("init")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	var ee *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &ee):
		return ee.ExitCode()
	case err != nil:
		fmt.Println(err)
		return 1
	}
	return 0
}

// reap is process 1 there.
func reap() int {
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID, "mode=755"),
		// crun 1.8 gives /dev/null to the container's user when it is stdin
		unix.Mknod("/run/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		os.Chmod("/run/null", 0o666),
		unix.Mount("/run/null", "/dev/null", "", unix.MS_BIND, ""),
	)
	if err != nil {
		fmt.Println("contest:", err)
		return 1
	}
	// crun 1.8 refuses a v2 hierarchy beside those of v1: nobody gets it.
	_ = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH) // it may not be there
	cmd := again("worker")
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if pid == cmd.Process.Pid {
			return status.ExitStatus()
		}
		if err != nil && err != unix.EINTR {
			return 1
		}
	}
}

func again(as string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stage+"="+as)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

func prepare() (err error) {
	name := os.Getenv("RUNTIME")
	if name == "" {
		name = "../../../bin/tare-oci"
	}
	if name, err = exec.LookPath(name); err != nil {
		return fmt.Errorf("no runtime: %w (make build makes tare-oci)", err)
	}
	if world.runtime, err = filepath.Abs(name); err != nil {
		return err
	}
	world.name = filepath.Base(world.runtime)
	if world.dir, err = os.MkdirTemp("", "contest"); err != nil {
		return err
	}
	world.state = "/run/contest"
	world.lower = filepath.Join(world.dir, "lower")
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return errors.New("busybox-static is not installed")
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "root", "run", "data"} {
		if err := os.MkdirAll(filepath.Join(world.lower, d), 0o755); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(world.lower+"/bin/busybox", b, 0o755); err != nil {
		return err
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return err
	}
	for a := range strings.FieldsSeq(string(list)) {
		if a != "busybox" {
			if err := os.Symlink("busybox", world.lower+"/bin/"+a); err != nil {
				return err
			}
		}
	}
	for file, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/data:/bin/sh\n",
		"group":  "root:x:0:\nuser:x:1000:\n",
	} {
		if err := os.WriteFile(world.lower+"/etc/"+file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle is one container of one test.
type bundle struct {
	t    *testing.T
	dir  string
	root string
	id   string
	spec *specs.Spec
	in   string // standard input
	env  []string
}

var seq atomic.Int64

// newBundle makes a bundle with Docker's defaults whose process runs a shell
// script.
func newBundle(t *testing.T, script string) *bundle {
	t.Helper()
	if world.skip != "" {
		t.Skip(world.skip)
	}
	b := &bundle{t: t, dir: t.TempDir(), id: "contest-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(seq.Add(1), 10)}
	b.root = b.dir + "/rootfs"
	for _, d := range []string{"rootfs", "upper", "work"} {
		must(t, os.Mkdir(b.dir+"/"+d, 0o755))
	}
	must(t, unix.Mount("overlay", b.root, "overlay", 0, "lowerdir="+world.lower+",upperdir="+b.dir+"/upper,workdir="+b.dir+"/work"))
	b.spec = defaultSpec(b.id, script)
	t.Cleanup(func() {
		b.runtime("delete", "--force", b.id)
		_ = unix.Unmount(b.root, unix.MNT_DETACH) // a test may have done it
	})
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outcome is what a command said.
type outcome struct {
	out, err string
	code     int
}

func (o outcome) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", o.code, o.out, o.err)
}

// patience bounds every command.
const patience = 30 * time.Second

// runtime runs a command of the judged runtime.
func (b *bundle) runtime(args ...string) outcome {
	b.t.Helper()
	cmd := exec.Command(world.runtime, append([]string{"--root", world.state}, args...)...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), b.env...)
	return b.do(cmd)
}

func (b *bundle) do(cmd *exec.Cmd) outcome {
	b.t.Helper()
	// Files, not pipes: a container goes on holding them.
	out, err := os.CreateTemp(b.dir, "out")
	must(b.t, err)
	defer out.Close()
	errs, err := os.CreateTemp(b.dir, "err")
	must(b.t, err)
	defer errs.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(b.in), out, errs
	if b.in == "" {
		cmd.Stdin = nil
	}
	must(b.t, cmd.Start())
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	if !timer.Stop() {
		b.t.Errorf("%v: no end within %v", cmd.Args[1:], patience)
	}
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		b.t.Fatal(err)
	}
	o := outcome{out: read(b.t, out.Name()), err: read(b.t, errs.Name()), code: cmd.ProcessState.ExitCode()}
	b.t.Logf("%s %s: %v", world.name, strings.Join(cmd.Args[3:], " "), o)
	return o
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func (b *bundle) write() {
	b.t.Helper()
	text, err := json.Marshal(b.spec)
	must(b.t, err)
	must(b.t, os.WriteFile(b.dir+"/config.json", text, 0o644))
}

// run runs the container to its end.
func (b *bundle) run(flags ...string) outcome {
	b.t.Helper()
	b.write()
	return b.runtime(append(append([]string{"run", "--bundle", b.dir}, flags...), b.id)...)
}

// create creates the container; what its process prints is in logs.
func (b *bundle) create(flags ...string) outcome {
	b.t.Helper()
	b.write()
	return b.runtime(append(append([]string{"create", "--bundle", b.dir}, flags...), b.id)...)
}

// started creates and starts.
func (b *bundle) started() {
	b.t.Helper()
	if o := b.create(); o.code != 0 {
		b.t.Fatalf("create: %v", o)
	}
	if o := b.runtime("start", b.id); o.code != 0 {
		b.t.Fatalf("start: %v", o)
	}
}

func (b *bundle) state() specs.State {
	b.t.Helper()
	var s specs.State
	o := b.runtime("state", b.id)
	if o.code != 0 {
		return s
	}
	if err := json.Unmarshal([]byte(o.out), &s); err != nil {
		b.t.Fatalf("state: %v: %s", err, o.out)
	}
	return s
}

// becomes waits until the container has a status.
func (b *bundle) becomes(want specs.ContainerState) specs.State {
	b.t.Helper()
	end := time.Now().Add(patience)
	for {
		s := b.state()
		if s.Status == want {
			return s
		}
		if time.Now().After(end) {
			b.t.Fatalf("status is %q, not %q", s.Status, want)
		}
		time.Sleep(20 * time.Millisecond) // a runtime has no event for it
	}
}

// appears waits for a file and returns what is in it.
func appears(t *testing.T, path string) string {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		if text, err := os.ReadFile(path); err == nil && bytes.HasSuffix(text, []byte("\n")) {
			return string(text)
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not appear", path)
		}
		time.Sleep(10 * time.Millisecond) // the file is the container's
	}
}

// wantOut fails unless the container ended well and printed want.
func wantOut(t *testing.T, o outcome, want string) {
	t.Helper()
	if o.code != 0 || strings.TrimSpace(o.out) != want {
		t.Errorf("want %q, got %v", want, o)
	}
}

// refused fails unless the command said no, on standard error.
func refused(t *testing.T, o outcome) {
	t.Helper()
	if o.code == 0 || strings.TrimSpace(o.err) == "" {
		t.Errorf("is not refused: %v", o)
	}
}
