package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// execConfig is a further process of a container that start made of cfg.
func execConfig(r *running, cfg Config, args []string, edits ...func(*ExecConfig)) ExecConfig {
	p := *cfg.Spec.Process
	p.Args = args
	x := ExecConfig{
		Init: r.Process, Spec: cfg.Spec, Process: &p, Stdin: -1, Stdout: -1, Stderr: -1,
		Layout: cfg.Layout, Facts: cfg.Facts, Warn: cfg.Warn,
	}
	for _, e := range edits {
		e(&x)
	}
	return x
}

// execOutput runs x to its end and returns what it wrote and its exit code.
func execOutput(t testing.TB, x ExecConfig) (string, int, error) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	x.Stdout, x.Stderr = int(w.Fd()), int(w.Fd())
	c, err := Exec(x)
	if err == nil {
		err = c.Start()
	}
	must(t, w.Close())
	defer r.Close()
	if err != nil {
		return "", 0, err
	}
	b, err := io.ReadAll(r)
	must(t, err)
	st, err := c.Process.Wait()
	must(t, err)
	c.Process.Release()
	return string(b), st.ExitCode(), nil
}

// joined starts a container to bring processes into.
func joined(t testing.TB, edits ...edit) (*running, Config) {
	t.Helper()
	cfg := newConfig(t, shell("echo ready; read x"), edits...)
	cfg.Spec.Linux.CgroupsPath = parentGroup() + "/joined"
	r := start(t, cfg)
	if s := r.line(t); s != "ready" {
		t.Fatalf("container says %q", s)
	}
	return r, cfg
}

// TestJoinReusedPid: a number that is another process's by now says nothing
// of the container's namespaces.
func TestJoinReusedPid(t *testing.T) {
	cmd := exec.Command("/bin/true")
	must(t, cmd.Start())
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, cmd.Wait())
	j := &joining{init: spawn.Process{Pid: os.Getpid(), Pidfd: fd}}
	if flags, err := j.foreign(); fault.KindOf(err) != fault.Conflict {
		t.Errorf("namespaces to join %#x, %v", flags, err)
	}
}

// TestExec: a further process is in every namespace and group of the
// container, has its rights and nothing of the engine.
func TestExec(t *testing.T) {
	for name, edits := range map[string][]edit{
		"plain": nil, "userns": {withUserNS}, "hardened": {harden},
		"hostpid": {func(c *Config) { dropNamespace(c.Spec, specs.PIDNamespace) }},
		"timens": {func(c *Config) {
			setNamespace(c.Spec, specs.TimeNamespace, "")
			c.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, cfg := joined(t, edits...)
			noTraces(t, func() {
				out, code, err := execOutput(t, execConfig(r, cfg, shell(`
					for n in cgroup ipc mnt net pid uts user time; do readlink /proc/self/ns/$n; done
					ls /proc/self/fd | tr '\n' ' '; echo
					pwd; hostname; cat /proc/self/cgroup
					grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status
					exit 3`)))
				must(t, err)
				if code != 3 {
					t.Errorf("exit code %d", code)
				}
				lines := strings.Split(out, "\n")
				for i, n := range strings.Fields("cgroup ipc mnt net pid uts user time") {
					if want := readlink(t, r.nsPath(n)); lines[i] != want {
						t.Errorf("namespace %s: %s, the container's is %s", n, lines[i], want)
					}
				}
				if lines[8] != "0 1 2 3 " { // 3 is ls's own
					t.Errorf("descriptors %q", lines[8])
				}
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.Process.Pid))
				must(t, err)
				for _, l := range lines[11:] {
					if l != "" && strings.Contains(l, "\t") && !strings.Contains(string(status), l) {
						t.Errorf("status %q differs from the container's", l)
					}
				}
			})
		})
	}
}

// TestExecRefused: a container that is paused, or that has ended.
func TestExecRefused(t *testing.T) {
	r, cfg := joined(t)
	must(t, r.Group.Freeze(removeTimeout))
	noTraces(t, func() {
		if _, _, err := execOutput(t, execConfig(r, cfg, shell("true"))); fault.KindOf(err) != fault.Conflict {
			t.Errorf("paused: %v", err)
		}
	})
	must(t, r.Group.Thaw())
	must(t, r.Process.Signal(unix.SIGKILL))
	_, err := r.Process.Wait()
	must(t, err)
	_, _, err = execOutput(t, execConfig(r, cfg, shell("true")))
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "not running") {
		t.Errorf("ended: %v", err)
	}
}

// TestExecErrorsJoined: the same errors as those of a first process.
func TestExecErrorsJoined(t *testing.T) {
	r, cfg := joined(t)
	for name, want := range map[string]string{
		"nothing":  `exec: "nothing": executable file not found in $PATH`,
		"/nothing": `exec: "/nothing": no such file or directory`,
		"/etc":     `exec: "/etc": permission denied`,
	} {
		noTraces(t, func() {
			_, _, err := execOutput(t, execConfig(r, cfg, []string{name}))
			var e *ExecError
			if !errors.As(err, &e) || err.Error() != want {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	for _, cwd := range []string{"/proc/self/fd/7", "/nothing"} {
		_, _, err := execOutput(t, execConfig(r, cfg, []string{"true"}, func(x *ExecConfig) { x.Process.Cwd = cwd }))
		if err == nil || !strings.HasPrefix(err.Error(), "enter working directory "+cwd) {
			t.Errorf("cwd %s: %v", cwd, err)
		}
	}
}

// TestExecFull: a container at its limit of processes is where one most needs
// to look.
func TestExecFull(t *testing.T) {
	limit := int64(1)
	r, cfg := joined(t, func(c *Config) {
		c.Spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
	})
	noTraces(t, func() {
		out, code, err := execOutput(t, execConfig(r, cfg, []string{"echo", "in"}))
		if err != nil || code != 0 || out != "in\n" {
			t.Errorf("%q, %d, %v", out, code, err)
		}
	})
}
