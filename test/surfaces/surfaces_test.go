// Package surfaces runs one container through three surfaces: the command line, a
// call of the engine as a library, and a server whose clients hand their
// connection over. All of them are the same engine calls, with other streams.
package surfaces

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/engine/execs"
	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// container is what all three run.
type container struct {
	name   string
	args   []string // of the command line, before the image
	config func(*api.ContainerConfig)
	script string
	input  string
	signal unix.Signal
	want   string // on the output
	code   int
}

var long = strings.Repeat("0123456789abcdef", 1<<14)

var list = []container{
	{
		name: "foreground", args: []string{"--rm"}, script: "cat; echo err >&2; exit 3", input: "typed\n", want: "typed\nerr\n", code: 3,
		config: func(c *api.ContainerConfig) { c.HostConfig.AutoRemove = true },
	},
	// One stream only: a keeper reads two, and does not know their order.
	{name: "kept", script: "cat; exit 4", input: long, want: long, code: 4},
	{
		name: "signal", args: []string{"--rm"}, script: "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done", signal: unix.SIGUSR1,
		want: "ready\ngot\n", code: 5, config: func(c *api.ContainerConfig) { c.HostConfig.AutoRemove = true },
	},
	{
		name: "signal kept", script: "trap 'echo got; exit 6' USR1; echo ready; while :; do sleep 0.05; done", signal: unix.SIGUSR1,
		want: "ready\ngot\n", code: 6,
	},
}

func (c *container) of(r *rig.Rig) *api.ContainerConfig {
	cfg := &api.ContainerConfig{}
	cfg.Image, cfg.Cmd, cfg.Name = "tare/base", []string{"sh", "-c", c.script}, "web"
	cfg.AttachStdin, cfg.AttachStdout, cfg.AttachStderr, cfg.OpenStdin, cfg.StdinOnce = true, true, true, true, true
	cfg.HostConfig.CgroupParent = r.Parent
	if c.config != nil {
		c.config(cfg)
	}
	return cfg
}

// begin is what a surface of the engine does with a container.
func begin(ctx context.Context, e *engine.Engine, cfg *api.ContainerConfig, s stdio.Streams) (int, error) {
	o := &containers.AttachOptions{Streams: s}
	b, err := e.Containers.Begin(ctx, &containers.Request{Config: cfg, Attach: o})
	if err != nil {
		return 0, err
	}
	return b.Wait(ctx, o)
}

func open(t *testing.T, r *rig.Rig) *engine.Engine {
	t.Helper()
	e, err := engine.Open(engine.Options{Root: r.Root, RunRoot: r.RunRoot, Program: r.Bin + "/tare"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// byCommand is the command line.
func byCommand(t *testing.T, r *rig.Rig, c *container) (string, int) {
	t.Helper()
	args := append(append([]string{"run", "-i", "--name", "web"}, c.args...), "tare/base", "sh", "-c", c.script)
	cmd := r.Command(args...)
	out := &watched{ready: func() { _ = cmd.Process.Signal(c.signal) }}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.input), out, out
	err := cmd.Run()
	return out.String(), rig.Code(t, err)
}

// byCall is a program that has the engine in itself: nothing of its streams has a
// descriptor.
func byCall(t *testing.T, r *rig.Rig, c *container) (string, int) {
	t.Helper()
	queue, err := stdio.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	out := &watched{ready: func() { queue.Send(stdio.Signal{Number: c.signal}) }}
	code, err := begin(t.Context(), open(t, r), c.of(r), stdio.Streams{
		In: strings.NewReader(c.input), Out: out, Err: out,
		Signals: func(bool) (stdio.Signals, error) { return queue, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), code
}

// bySocket is a server: a client sends a line of JSON, then the connection is the
// container's streams; a second one brings signals.
func bySocket(t *testing.T, r *rig.Rig, c *container) (string, int) {
	t.Helper()
	addr := &net.UnixAddr{Name: t.TempDir() + "/sock", Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code := make(chan int, 1)
	go func() { code <- serve(t, r, l) }()

	conn, err := net.DialUnix("unix", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line, err := json.Marshal(c.of(r))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	control, err := net.DialUnix("unix", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	go func() {
		_, _ = io.WriteString(conn, c.input)
		_ = conn.CloseWrite()
	}()
	out := &watched{ready: func() { _, _ = control.Write([]byte{byte(c.signal)}) }}
	if _, err := io.Copy(out, conn); err != nil {
		t.Error(err)
	}
	return out.String(), <-code
}

// serve serves one client.
func serve(t *testing.T, r *rig.Rig, l *net.UnixListener) int {
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Error(err)
		return -1
	}
	defer conn.Close()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) { // what follows is the container's
		if _, err := conn.Read(b); err != nil || b[0] == '\n' {
			break
		}
	}
	var cfg api.ContainerConfig
	if err := json.Unmarshal(line, &cfg); err != nil {
		t.Error(err)
		return -1
	}
	control, err := l.AcceptUnix()
	if err != nil {
		t.Error(err)
		return -1
	}
	defer control.Close()
	queue, err := stdio.NewQueue()
	if err != nil {
		t.Error(err)
		return -1
	}
	defer queue.Close()
	go func() {
		for b := make([]byte, 1); ; {
			if _, err := control.Read(b); err != nil {
				return
			}
			queue.Send(stdio.Signal{Number: unix.Signal(b[0])})
		}
	}()
	code, err := begin(t.Context(), open(t, r), &cfg, stdio.Streams{
		In: conn, Out: conn, Err: conn,
		Signals: func(bool) (stdio.Signals, error) { return queue, nil },
	})
	if err != nil {
		t.Error(err)
	}
	return code
}

// watched is a buffer that says when the container is ready for a signal.
type watched struct {
	buf   bytes.Buffer // not embedded: its ReadFrom would go by Write
	ready func()
	done  bool
}

func (w *watched) String() string { return w.buf.String() }

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.buf.Write(b)
	if !w.done && strings.Contains(w.String(), "ready\n") {
		w.done = true
		w.ready()
	}
	return n, err
}

// TestSurfaces: each surface gives the container the same input, shows the same
// output and exit code, and leaves the same record.
func TestSurfaces(t *testing.T) {
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			r := rig.Test(t)
			records := map[string]string{}
			for _, s := range []struct {
				name string
				run  func(*testing.T, *rig.Rig, *container) (string, int)
			}{{"command", byCommand}, {"call", byCall}, {"socket", bySocket}} {
				out, code := s.run(t, r, &c)
				if out != c.want || code != c.code {
					t.Errorf("%s: exit code %d, %d bytes: %.200q", s.name, code, len(out), out)
				}
				if c.config == nil {
					records[s.name] = recorded(t, r)
					r.Must(t, "rm", "web")
				}
			}
			for name, rec := range records {
				if rec != records["command"] {
					t.Errorf("%s: recorded %s\nwant %s", name, rec, records["command"])
				}
			}
		})
	}
}

// recorded is what inspect tells of the container that does not differ between
// two runs of it.
func recorded(t *testing.T, r *rig.Rig) string {
	t.Helper()
	var all []map[string]any
	if err := json.Unmarshal([]byte(r.Must(t, "inspect", "web")), &all); err != nil {
		t.Fatal(err)
	}
	config, state := all[0]["Config"].(map[string]any), all[0]["State"].(map[string]any)
	delete(config, "Hostname") // the id
	return fmt.Sprint(config, all[0]["HostConfig"], all[0]["Mounts"], state["Status"], state["ExitCode"], state["Error"], state["OOMKilled"])
}

// TestLeave: a caller whose context ends leaves within a second, whatever it waits for, and
// what runs goes on.
func TestLeave(t *testing.T) {
	r := rig.Test(t)
	e := open(t, r)
	running := func(name string) bool { return strings.Contains(r.Must(t, "ps", "--format", "{{.Names}}"), name) }
	for _, rm := range []bool{true, false} {
		c := container{script: "echo ready; while :; do sleep 0.05; done", config: func(cfg *api.ContainerConfig) { cfg.HostConfig.AutoRemove = rm }}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := begin(ctx, e, c.of(r), stdio.Streams{Out: &watched{ready: cancel}})
		if !errors.Is(err, context.Canceled) || !running("web") {
			t.Errorf("rm=%v: %v, runs: %v", rm, err, running("web"))
		}
		if rm {
			r.Must(t, "rm", "-f", "web")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cfg := &api.ExecConfig{Cmd: []string{"sh", "-c", "echo ready; sleep 1000"}, AttachStdout: true}
	if _, err := e.Execs.Exec(ctx, "web", cfg, &execs.Options{Streams: stdio.Streams{Out: &watched{ready: cancel}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("exec: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Containers.Attach(ctx, "web", &containers.AttachOptions{Streams: stdio.Streams{Out: io.Discard}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("attach: %v", err)
	}
	if !running("web") || !strings.Contains(r.Must(t, "top", "web"), "sleep 1000") {
		t.Error("something has ended")
	}
	r.Must(t, "rm", "-f", "web")
}

// TestSession: a command is created, started with its streams attached, and looked
// at, as a server does; its exit code is known as soon as the streams have ended.
func TestSession(t *testing.T) {
	r := rig.Test(t)
	e := open(t, r)
	r.Must(t, "run", "-d", "--name", "web", "tare/base", "sleep", "1000")
	defer r.Must(t, "rm", "-f", "web")
	for _, tty := range []bool{false, true} {
		cfg := &api.ExecConfig{Cmd: []string{"sh", "-c", "tty; exit 3"}, Tty: tty, AttachStdout: true, AttachStderr: true}
		id, err := e.Execs.Create("web", cfg)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code, err := e.Execs.Start(t.Context(), id, &execs.Options{Streams: stdio.Streams{Out: struct{ io.Writer }{&out}}})
		want := "not a tty\n"
		if tty {
			want = "/dev/pts/0\r\n"
		}
		if code != 3 || err != nil || out.String() != want {
			t.Errorf("tty=%v: exit code %d, %v: %q", tty, code, err, out.String())
		}
		i, err := e.Execs.Inspect(id)
		if err != nil || i.Running || i.ExitCode == nil || *i.ExitCode != 3 {
			t.Errorf("tty=%v: %+v, %v", tty, i, err)
		}
		if _, err := e.Execs.Start(t.Context(), id, &execs.Options{}); err == nil || !strings.Contains(err.Error(), "has already run") {
			t.Errorf("tty=%v: started twice: %v", tty, err)
		}
	}
	// One that nobody stays with.
	id, err := e.Execs.Create("web", &api.ExecConfig{Cmd: []string{"true"}, Detach: true})
	if err == nil {
		_, err = e.Execs.Start(t.Context(), id, &execs.Options{})
	}
	if err != nil {
		t.Error(err)
	}
}
