package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/state"
)

// Tests that need the kernel run in this process tree's own cgroup parent,
// with data and run roots of their own.

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("needs /bin/busybox (busybox-static)")
	}
}

func testParent() string { return fmt.Sprintf("/tare-test-%d", os.Getpid()) }

// testEngine opens an engine below a new directory, with an image "bb".
func testEngine(t testing.TB) *Engine {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	e, err := Open(Options{Root: dir + "/root", RunRoot: dir + "/run"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l, err := e.layout()
		if err != nil {
			t.Fatal(err)
		}
		if err := cgroupfs.RemoveParent(l, testParent()); err != nil {
			t.Error(err)
		}
	})
	importBusybox(t, e)
	return e
}

func importBusybox(t testing.TB, e *Engine) {
	t.Helper()
	tree := t.TempDir()
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp", "root"} {
		if err := os.Mkdir(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tree+"/bin/busybox", b, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range strings.Fields(string(out)) {
		if a != "busybox" {
			if err := os.Symlink("busybox", tree+"/bin/"+a); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := e.Images.Import(context.Background(), &ImportOptions{Source: tree, Name: "bb"}); err != nil {
		t.Fatal(err)
	}
}

func testContainer(args ...string) *ContainerConfig {
	c := &ContainerConfig{}
	c.Image, c.Cmd = "bb", args
	c.HostConfig.CgroupParent = testParent()
	return c
}

// runContainer runs c and returns what it wrote on both streams.
func runContainer(t *testing.T, e *Engine, c *ContainerConfig) (string, int, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code, rerr := e.Containers.Run(context.Background(), c, &RunOptions{
		Stdio: Stdio{Out: out, Err: out}, Warn: func(s string) { t.Log("warning:", s) },
	})
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b), code, rerr
}

// assertEmpty fails the test when anything is left of any container.
func assertEmpty(t *testing.T, e *Engine) {
	t.Helper()
	list, err := e.Containers.List(context.Background(), ListOptions{All: true})
	if err != nil {
		t.Error(err)
	}
	for _, c := range list {
		t.Errorf("left: container %s (%s)", c.ID, c.Status)
	}
	for _, dir := range []string{
		e.opt.Root + "/containers", e.opt.Root + "/containers/.names", e.opt.RunRoot + "/containers",
		e.opt.Root + "/overlay",
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		for _, f := range entries {
			switch f.Name() {
			case ".names", ".spare", ".old": // kept on purpose
			default:
				t.Errorf("left: %s/%s", dir, f.Name())
			}
		}
	}
	if err := e.state.CutOff(func(p *state.Pending) error {
		t.Errorf("left: pending start %s", p.ID)
		return nil
	}); err != nil {
		t.Error(err)
	}
	l, err := e.layout()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hierarchies {
		entries, err := os.ReadDir(h.Mount + testParent())
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		for _, f := range entries {
			if f.IsDir() {
				t.Errorf("left: cgroup %s%s/%s", h.Mount, testParent(), f.Name())
			}
		}
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), e.opt.Root) {
		t.Errorf("left: a mount below %s", e.opt.Root)
	}
}
