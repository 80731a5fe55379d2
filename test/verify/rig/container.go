package rig

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Container is a container that runs while the test goes on.
type Container struct {
	ID  string
	Out *bufio.Reader // its standard output
	In  io.WriteCloser

	t    testing.TB
	r    *Rig
	cmd  *exec.Cmd
	err  strings.Builder
	done bool
}

// Start runs tare with args in the background, and returns when the container
// has written its first line, which has to be "ready".
func (r *Rig) Start(t testing.TB, args ...string) *Container {
	t.Helper()
	cid := filepath.Join(t.TempDir(), "cid")
	c := &Container{t: t, r: r, cmd: r.Command(append([]string{"run", "--cidfile", cid}, args[1:]...)...)}
	c.cmd.Stderr = &c.err
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.In, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.Out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	if line := c.Line(); line != "ready" {
		t.Fatalf("first line %q, want ready\n%s", line, &c.err)
	}
	b, err := os.ReadFile(cid)
	if err != nil {
		t.Fatal(err)
	}
	c.ID = string(b)
	return c
}

// kill ends a container that its test did not wait for.
func (c *Container) kill() {
	if c.done {
		return
	}
	_ = c.cmd.Process.Signal(unix.SIGTERM) // process 1 may ignore it
	if pid, err := c.r.Init(c.ID); err == nil {
		_ = unix.Kill(pid, unix.SIGKILL) // gone is fine
	}
	_ = c.cmd.Wait() // the test has failed already
}

// Line reads one line of the container's output.
func (c *Container) Line() string {
	c.t.Helper()
	s, err := c.Out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read of the container's output: %v\n%s", err, &c.err)
	}
	return strings.TrimSuffix(s, "\n")
}

// Signal sends a signal to tare, not to the container.
func (c *Container) Signal(sig unix.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// Wait waits for the end and returns the rest of the output and the exit code.
func (c *Container) Wait() Result {
	c.t.Helper()
	_ = c.In.Close() // may be closed already
	b, err := io.ReadAll(c.Out)
	if err != nil {
		c.t.Fatal(err)
	}
	c.done = true
	return Result{Code: Code(c.t, c.cmd.Wait()), Out: string(b), Err: c.err.String()}
}

// Init returns the container's process 1 as the host numbers it.
func (c *Container) Init() int {
	c.t.Helper()
	pid, err := c.r.Init(c.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	return pid
}

// Init returns process 1 of the container as the host numbers it.
func (r *Rig) Init(id string) (int, error) {
	if id == "" {
		return 0, errors.New("find process 1: the container has no ID")
	}
	for i := range r.Layout.Hierarchies {
		b, err := os.ReadFile(r.Layout.Hierarchies[i].Mount + r.Parent + "/" + id + "/cgroup.procs")
		if err != nil {
			continue
		}
		for pid := range strings.FieldsSeq(string(b)) {
			status, err := os.ReadFile("/proc/" + pid + "/status")
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(status)) {
				if f := strings.Fields(line); f[0] == "NSpid:" && f[len(f)-1] == "1" {
					return strconv.Atoi(pid)
				}
			}
		}
	}
	return 0, fmt.Errorf("find process 1: no cgroup %s/%s with it", r.Parent, id)
}

// Path is the host's path of a file of the container's cgroup.
func (c *Container) Path(controller, name string) string {
	c.t.Helper()
	i := c.r.Layout.Find(controller)
	if i < 0 {
		c.t.Fatalf("no controller %s", controller)
	}
	return c.r.Layout.Hierarchies[i].Mount + c.r.Parent + "/" + c.ID + "/" + name
}

// File reads a file of the container's cgroup from the host, in the hierarchy
// that has the controller.
func (c *Container) File(controller, name string) string {
	c.t.Helper()
	b, err := os.ReadFile(c.Path(controller, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// ParentFile reads a file of the parent of the container's cgroup, which is
// there after the container's end.
func (c *Container) ParentFile(controller, name string) string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Dir(filepath.Dir(c.Path(controller, name))) + "/" + name)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// SignalGroup sends a signal to tare's process group, as a terminal does.
func (c *Container) SignalGroup(sig unix.Signal) {
	c.t.Helper()
	if err := unix.Kill(-c.cmd.Process.Pid, sig); err != nil {
		c.t.Fatal(err)
	}
}

// WaitTare waits for tare, which the container outlives, and returns its exit
// code.
func (c *Container) WaitTare() int {
	c.t.Helper()
	c.done = true
	state, err := c.cmd.Process.Wait() // not for its streams, which the container holds
	if err != nil {
		c.t.Fatal(err)
	}
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
