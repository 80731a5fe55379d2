package container

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// agent is a seccomp agent: it refuses mkdir with EXDEV and lets the rest go
// on.
type agent struct {
	path     string
	states   chan specs.ContainerProcessState
	notified atomic.Int32
	serving  sync.WaitGroup
}

func startAgent(t *testing.T, path string) *agent {
	t.Helper()
	d, err := os.Open(filepath.Dir(path))
	must(t, err)
	defer d.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), filepath.Base(path))) // it may be long
	must(t, err)
	a := &agent{path: path, states: make(chan specs.ContainerProcessState, 8)}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.serving.Add(1)
			go a.serve(t, c.(*net.UnixConn))
		}
	}()
	return a
}

func (a *agent) serve(t *testing.T, c *net.UnixConn) {
	defer a.serving.Done()
	buf, oob := make([]byte, 64<<10), make([]byte, 64)
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Error(err)
		return
	}
	rest, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	_ = c.Close()
	var st specs.ContainerProcessState
	if err := json.Unmarshal(append(buf[:n], rest...), &st); err != nil {
		t.Error(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		t.Errorf("%d messages, %v", len(msgs), err)
		return
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Errorf("%d descriptors, %v", len(fds), err)
		return
	}
	a.states <- st
	defer func() { _ = unix.Close(fds[0]) }()
	for {
		poll := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return
		}
		if poll[0].Revents&unix.POLLHUP != 0 {
			return
		}
		var notif [80]byte
		if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), 0xc0502100, uintptr(unsafe.Pointer(&notif))); no != 0 {
			continue
		}
		a.notified.Add(1)
		var resp [24]byte
		copy(resp[:8], notif[:8])
		nr := binary.NativeEndian.Uint32(notif[16:])
		if nr == unix.SYS_MKDIRAT || goruntime.GOARCH == "amd64" && nr == 83 { // mkdir, which new machines lack
			e := -int32(unix.EXDEV)
			binary.NativeEndian.PutUint32(resp[16:], uint32(e))
		} else {
			binary.NativeEndian.PutUint32(resp[20:], 1) // SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), 0xc0182101, uintptr(unsafe.Pointer(&resp)))
	}
}

func notify(path string, names ...string) edit {
	return func(c *Config) {
		c.Spec.Linux.Seccomp.Syscalls = append([]specs.LinuxSyscall{{Names: names, Action: specs.ActNotify}}, c.Spec.Linux.Seccomp.Syscalls...)
		c.Spec.Linux.Seccomp.ListenerPath, c.Spec.Linux.Seccomp.ListenerMetadata = path, "meta"
		c.State = specs.State{ID: "box", Bundle: "/bundle", Annotations: map[string]string{"a": "b"}}
	}
}

// TestListener: the agent gets the listener and answers; also of the calls
// that the runtime itself makes between the filter and the program.
func TestListener(t *testing.T) {
	testkit.Containers(t)
	dir := t.TempDir()
	long := dir + "/" + strings.Repeat("x", 90)
	for i, path := range []string{dir + "/agent", long} {
		a := startAgent(t, path)
		for name, edits := range map[string][]edit{"root": nil, "user": {user(1000, 1000)}, "no new privileges": {nnp}, "user namespace": {withUserNS}} {
			if i > 0 && name != "root" {
				continue
			}
			names := []string{"mkdir", "mkdirat"}
			if name == "root" {
				names = append(names, "read", "close", "execve", "prctl", "capset", "sendmsg")
			}
			var out string
			noTraces(t, func() {
				out = sh(t, "mkdir /tmp/x 2>&1; ls /tmp", append(edits, notify(path, names...))...)
				a.serving.Wait()
			})
			if out != "mkdir: can't create directory '/tmp/x': Invalid cross-device link\n" || a.notified.Swap(0) == 0 {
				t.Errorf("%s: %q", name, out)
			}
			st := <-a.states
			if st.Version != specs.Version || len(st.Fds) != 1 || st.Fds[0] != "seccompFd" || st.Pid == 0 || st.State.Pid != st.Pid || st.Metadata != "meta" ||
				st.State.ID != "box" || st.State.Bundle != "/bundle" || st.State.Status != specs.StateCreating || st.State.Annotations["a"] != "b" {
				t.Errorf("%s: %+v", name, st)
			}
		}
	}
}

// TestListenerExec: a further process has a listener of its own.
func TestListenerExec(t *testing.T) {
	testkit.Containers(t)
	a := startAgent(t, t.TempDir()+"/agent")
	r, cfg := joined(t, notify(a.path, "mkdir", "mkdirat"))
	<-a.states
	x := execConfig(r, cfg, shell("mkdir /tmp/x 2>&1"))
	x.State = cfg.State
	out, _, err := execOutput(t, x)
	if err != nil || !strings.Contains(out, "Invalid cross-device link") {
		t.Errorf("%q, %v", out, err)
	}
	if st := <-a.states; st.State.Pid != r.Process.Pid || st.Pid == st.State.Pid || st.State.Status != specs.StateRunning {
		t.Errorf("%+v", st)
	}
}

// TestListenerFails: without an agent there is no container.
func TestListenerFails(t *testing.T) {
	testkit.Containers(t)
	cfg := newConfig(t, shell("true"), notify("/nowhere/agent", "mkdir"))
	noTraces(t, func() {
		_, _, err := output(t, cfg)
		if !errors.Is(err, unix.ENOENT) || err.Error() != "send seccomp listener to /nowhere/agent: no such file or directory" {
			t.Error(err)
		}
	})
}
