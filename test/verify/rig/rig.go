// Package rig runs the real tare for tests: with a data root, a run root and a
// cgroup parent of the test's own, on a machine that is in use, and with a look
// at what is left afterwards.
package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"golang.org/x/sys/unix"
)

// BinEnv names the directory with tare, tared and tare-base.
const BinEnv = "TARE_TEST_BIN"

// count makes the cgroup parents of one process's rigs differ.
var count atomic.Int32

// Main is for TestMain: it builds the programs, runs the tests in a mount
// namespace of their own and returns the exit code. Where BinEnv is set, it builds nothing.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 { //nolint:forbidigo // the tests skip without root
		return m.Run()
	}
	if os.Getenv(insideEnv) != "" {
		if err := setAside(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	if os.Getenv(BinEnv) == "" {
		bin, remove, err := build()
		if err == nil {
			err = os.Setenv(BinEnv, bin)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer remove()
	}
	return inside()
}

// insideEnv is set in the process that runs the tests.
const insideEnv = "TARE_TEST_INSIDE"

// inside runs this test binary again in a mount namespace of its own.
func inside() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// setAside gives tare a range of ids in /etc/subuid and /etc/subgid, as these
// tests see them: the machine's own files stay as they are.
func setAside() error {
	dir, err := os.MkdirTemp("", "tare-subid-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, f := range []string{"subuid", "subgid"} {
		own := dir + "/" + f
		if err := fsatomic.CreateFile(own, []byte("tare:100000:65536\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(own, "/etc/"+f, "", unix.MS_BIND, ""); err != nil { //nolint:forbidigo // in a namespace of its own
			return fmt.Errorf("bind /etc/%s: %w", f, err)
		}
	}
	return nil
}

// build returns the directory with the programs and what removes it again.
func build() (bin string, remove func(), err error) {
	repo, err := Repository()
	if err != nil {
		return "", nil, err
	}
	if unix.Access(repo, unix.W_OK) == unix.EROFS {
		// The virtual machine sees the host's checkout, and what make
		// has built there.
		return repo + "/bin", func() {}, nil
	}
	bin, err = os.MkdirTemp("", "tare-bin-")
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin+"/", "./cmd/...")
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, func() { os.RemoveAll(bin) }, nil
}

// Repository returns the root of the checkout that the working directory is in.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir + "/go.mod"); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("find the repository: no go.mod above the working directory")
}

// Rig is one tare with everything of its own.
type Rig struct {
	Bin     string // directory of the programs
	Root    string // data root
	RunRoot string
	Parent  string // cgroup parent, "/"-rooted
	Layout  cgroup.Layout
}

// New returns a rig below dir, and skips the test without root.
func New(t testing.TB, dir string) *Rig {
	t.Helper()
	if os.Geteuid() != 0 { //nolint:forbidigo // a test may ask
		t.Skip("needs root")
	}
	l, err := cgroupfs.Probe()
	if err != nil {
		t.Fatal(err)
	}
	return &Rig{
		Bin: os.Getenv(BinEnv), Root: dir + "/root", RunRoot: dir + "/run",
		Parent: fmt.Sprintf("/tare-test-%d-%d", os.Getpid(), count.Add(1)), Layout: l,
	}
}

// Test returns a rig for one test, which fails when anything is left at its
// end.
func Test(t testing.TB) *Rig {
	t.Helper()
	r := New(t, t.TempDir())
	t.Cleanup(func() {
		for _, l := range r.Finish() {
			t.Errorf("left: %s", l)
		}
	})
	return r
}

// Args completes the arguments of a command line: a container that says
// nothing else gets the rig's cgroup parent.
func (r *Rig) Args(args []string) []string {
	if len(args) == 0 || args[0] != "run" && args[0] != "create" {
		return args
	}
	return append([]string{args[0], "--cgroup-parent", r.Parent}, args[1:]...)
}

// Env are the variables that make a tare this rig's.
func (r *Rig) Env() []string {
	return []string{"TARE_ROOT=" + r.Root, "TARE_RUN_ROOT=" + r.RunRoot}
}

// Command prepares tare with args.
func (r *Rig) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.Bin+"/tare", r.Args(args)...)
	cmd.Env = append(os.Environ(), r.Env()...)
	return cmd
}

// Result is what a command left on its streams, and its exit code: 128+n where
// a signal killed tare itself.
type Result struct {
	Out, Err string
	Code     int
}

// Run runs tare to its end.
func (r *Rig) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Do(t, r.Command(args...))
}

// Must runs tare, which has to succeed, and returns its standard output.
func (r *Rig) Must(t testing.TB, args ...string) string {
	t.Helper()
	res := r.Run(t, args...)
	if res.Code != 0 {
		t.Fatalf("tare %s: exit code %d\n%s%s", strings.Join(args, " "), res.Code, res.Out, res.Err)
	}
	return res.Out
}

// Do runs a command to its end.
func Do(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	return Result{Code: Code(t, cmd.Run()), Out: out.String(), Err: stderr.String()}
}

// Code is the exit code that err, of a Run or Wait, tells of.
func Code(t testing.TB, err error) int {
	t.Helper()
	n := ExitCode(err)
	if n < 0 {
		t.Fatal(err)
	}
	return n
}

// ExitCode is Code, or -1 where err tells of something else.
func ExitCode(err error) int {
	var ee *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &ee):
		return -1
	case ee.ExitCode() < 0:
		return 128 + int(ee.Sys().(interface{ Signal() unix.Signal }).Signal())
	}
	return ee.ExitCode()
}

// Finish removes the cgroup parent and tells what containers have left.
func (r *Rig) Finish() []string {
	left := r.Left()
	if err := cgroupfs.RemoveParent(r.Layout, r.Parent); err != nil {
		left = append(left, err.Error())
	}
	return left
}

// Left tells what is there of any container: records, layers, cgroups, mounts.
func (r *Rig) Left() []string {
	var left []string
	for _, dir := range []string{
		r.Root + "/containers", r.Root + "/containers/.names", r.Root + "/overlay", r.Root + "/staging",
		r.RunRoot + "/containers", r.RunRoot + "/live", r.RunRoot + "/execs", r.RunRoot + "/sandboxes", r.Root + "/logs",
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			left = append(left, err.Error())
		}
		for _, f := range entries {
			switch f.Name() {
			case ".names", ".spare", ".old": // kept on purpose
			default:
				left = append(left, dir+"/"+f.Name())
			}
		}
	}
	// RUN/pending is slots of 8 KiB; one that is taken begins with its length.
	if b, err := os.ReadFile(r.RunRoot + "/pending"); err == nil {
		for at := 0; at+4 <= len(b); at += 8192 {
			if [4]byte(b[at:]) != [4]byte{} {
				left = append(left, "a pending start")
			}
		}
	}
	left = append(left, r.groups()...)
	// One that finds its work done is on its way out.
	helpers := r.Helpers()
	for deadline := time.Now().Add(3 * time.Second); len(helpers) > 0 && time.Now().Before(deadline); helpers = r.Helpers() {
		time.Sleep(2 * time.Millisecond)
	}
	for _, p := range helpers {
		left = append(left, "process "+p.Args)
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, r.Root) || strings.Contains(line, r.RunRoot) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left
}

// Helper is a process of tare's that is no command of a test: a starter, or a
// keeper.
type Helper struct {
	Pid  int
	Args string
}

// Helpers finds those of this rig, by the run root in their arguments.
func (r *Rig) Helpers() []Helper {
	var list []Helper
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, d := range dirs {
		b, err := os.ReadFile(d)
		if err != nil {
			continue // ended
		}
		args := strings.ReplaceAll(string(b), "\x00", " ")
		keeper := strings.HasPrefix(args, "tare-keeper "+r.RunRoot+"/")
		if helper := strings.Contains(args, r.RunRoot+" ") && strings.Contains(args, " __keeper "); !keeper && !helper {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(d, "/")[2])
		if err == nil {
			list = append(list, Helper{pid, args})
		}
	}
	return list
}

// Procs returns the processes in the cgroups of the rig's containers, by
// container ID.
func (r *Rig) Procs() map[string][]int {
	procs := map[string][]int{}
	for i := range r.Layout.Hierarchies {
		files, _ := filepath.Glob(r.Layout.Hierarchies[i].Mount + r.Parent + "/*/cgroup.procs")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // removed meanwhile
			}
			id := filepath.Base(filepath.Dir(f))
			for pid := range strings.FieldsSeq(string(b)) {
				if n, err := strconv.Atoi(pid); err == nil && !slices.Contains(procs[id], n) {
					procs[id] = append(procs[id], n)
				}
			}
		}
	}
	return procs
}

func (r *Rig) groups() []string {
	var left []string
	for i := range r.Layout.Hierarchies {
		dir := r.Layout.Hierarchies[i].Mount + r.Parent
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			left = append(left, err.Error())
		}
		for _, f := range entries {
			if f.IsDir() {
				left = append(left, "cgroup "+dir+"/"+f.Name())
			}
		}
	}
	return left
}

// V2 tells whether a controller is, for containers, on cgroup v2.
func (r *Rig) V2(controller string) bool {
	i := r.Layout.Find(controller)
	return i >= 0 && r.Layout.Hierarchies[i].Unified
}

// Has tells whether any hierarchy has the controller.
func (r *Rig) Has(controller string) bool { return r.Layout.Find(controller) >= 0 }
