package containers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/execs"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/engine/sandboxes"
	"github.com/tare-engine/tare/internal/engine/system"
	"github.com/tare-engine/tare/internal/engine/volumes"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/network"

	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/state"
)

// Tests that need the kernel run in this process tree's own cgroup parent,
// with data and run roots of their own.

func testParent() string { return fmt.Sprintf("/tare-test-%d", os.Getpid()) }

// house is the rooms that the tests need, as engine.Open puts them together.
type house struct {
	*Room

	Images *images.Room
	Execs  *execs.Room
	System *system.Room
	opt    options
}

// options are those of engine.Open that count.
type options struct {
	Root, RunRoot string
	Networks      map[string]network.Driver `json:"-"`
}

func open(o options) (*house, error) {
	g, err := ground.Open(o.Root, o.RunRoot, nil)
	if err != nil {
		return nil, err
	}
	h := &house{Images: images.New(g, images.Carriers{}), Execs: execs.New(g), opt: o}
	h.Room = New(g, Parts{Images: h.Images, Volumes: volumes.New(g), Sandboxes: sandboxes.New(g, o.Networks), Execs: h.Execs})
	h.System = system.New(g, h.Room, h.Images)
	return h, h.Recover()
}

// testEngine opens an engine below a new directory, with an image "bb".
func testEngine(t testing.TB) *house {
	t.Helper()
	testkit.Containers(t)
	dir := t.TempDir()
	o := options{Root: dir + "/root", RunRoot: dir + "/run"}
	o.Networks = fakeNetworks(&o)
	e, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l, err := e.Layout()
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

func importBusybox(t testing.TB, e *house) {
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
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:Web:/home/web:/bin/sh\n", "group": "root:x:0:\ndaemon:x:1:\nweb:x:1001:\n",
	} {
		if err := os.WriteFile(tree+"/etc/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
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
	if _, err := e.Images.Import(context.Background(), api.Place{Path: tree, Import: &api.ImportOptions{Name: "bb"}}); err != nil {
		t.Fatal(err)
	}
}

func testContainer(args ...string) *api.ContainerConfig {
	c := &api.ContainerConfig{}
	c.Image, c.Cmd = "bb", args
	c.HostConfig.CgroupParent = testParent()
	return c
}

// runHere runs a container in the foreground of this process, whatever its
// configuration wants: a test is no tare that could be a keeper.
func runHere(ctx context.Context, e *house, c *api.ContainerConfig, o *AttachOptions) (int, error) {
	b, err := e.foreground(ctx, &Request{Config: c, Attach: o, Warn: o.Warn})
	if err != nil {
		return ground.ExitCode(err), err
	}
	return b.Wait(ctx, o)
}

// drafted is a start that has been computed, and no more.
func drafted(ctx context.Context, e *house, c *api.ContainerConfig) (*start, error) {
	s := &start{e: e.Room, q: &Request{Config: c, Until: Planned}}
	return s, s.begin(ctx)
}

// runContainer runs c and returns what it wrote on both streams.
func runContainer(t *testing.T, e *house, c *api.ContainerConfig) (string, int, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code, rerr := runHere(context.Background(), e, c, &AttachOptions{
		Streams: stdio.Streams{Out: out, Err: out}, Warn: func(s string) { t.Log("warning:", s) },
	})
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b), code, rerr
}

// assertEmpty fails the test when anything is left of any container.
func assertEmpty(t *testing.T, e *house) {
	t.Helper()
	list, err := e.List(context.Background(), api.ListOptions{All: true})
	if err != nil {
		t.Error(err)
	}
	for _, c := range list {
		t.Errorf("left: container %s (%s)", c.ID, c.Status)
	}
	for _, dir := range []string{
		e.Root + "/containers", e.Root + "/containers/.names", e.RunRoot + "/containers",
		e.Root + "/overlay", e.Root + "/volumes", e.Root + "/logs", e.RunRoot + "/live", e.RunRoot + "/sandboxes", fakeDir(&e.opt),
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
	if err := e.State.CutOff(func(p *state.Pending) error {
		t.Errorf("left: pending start %s", p.ID)
		return nil
	}); err != nil {
		t.Error(err)
	}
	l, err := e.Layout()
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
	if strings.Contains(string(b), e.Root) {
		t.Errorf("left: a mount below %s", e.Root)
	}
}
