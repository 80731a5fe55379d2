package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// script writes a hook of the host.
func script(t testing.TB, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	must(t, os.WriteFile(p, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return p
}

// tell makes a hook append a line to a log: its name, its namespaces, its
// directory, its variable and its state.
const tell = `echo "$1|$(readlink /proc/self/ns/mnt)|$(readlink /proc/self/ns/net)|$(readlink /proc/self/ns/pid)|$(pwd)|$V|$(cat)" >>$2`

// TestHooks: all six kinds, their order, namespaces, arguments, environment
// and state.
func TestHooks(t *testing.T) {
	goruntime.LockOSThread() // another test may have left others elsewhere
	defer goruntime.UnlockOSThread()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	log := dir + "/log"
	told := script(t, dir, "told", tell)
	hook := func(name string) []specs.Hook {
		return []specs.Hook{{Path: told, Args: []string{"argv0", name, log}, Env: []string{"V=" + name, "PATH=/bin:/usr/bin"}}}
	}
	cfg := newConfig(t, shell("cat /inside; echo ran"), func(c *Config) {
		script(t, c.Root.Bind+"/bin", "told", tell)
		must(t, os.WriteFile(c.Root.Bind+"/inside", nil, 0o666))
		c.State = specs.State{ID: "box", Bundle: dir, Annotations: map[string]string{"big": strings.Repeat("x", 100_000)}}
		c.Spec.Hooks = &specs.Hooks{
			Prestart:        hook("prestart"), //nolint:staticcheck // deprecated, and in use
			CreateRuntime:   hook("createRuntime"),
			CreateContainer: hook("createContainer"),
			StartContainer:  []specs.Hook{{Path: "/bin/told", Args: []string{"told", "startContainer", "/inside"}, Env: []string{"PATH=/bin", "V=startContainer"}}},
			Poststart:       hook("poststart"),
			Poststop:        hook("poststop"),
		}
	})
	var out string
	noTraces(t, func() {
		var code int
		var err error
		out, code, err = output(t, cfg)
		if err != nil || code != 0 {
			t.Fatalf("exit %d, %v: %s", code, err, out)
		}
	})
	inside, ran, ok := strings.Cut(out, "\n")
	if !ok || ran != "ran\n" {
		t.Fatalf("container wrote %q", out)
	}
	(&Hooks{Spec: cfg.Spec, State: cfg.State}).Poststop()
	b, err := os.ReadFile(log)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	lines = append(lines[:3:3], append([]string{inside}, lines[3:]...)...)
	own := readlink(t, "/proc/thread-self/ns/mnt") + "|" + readlink(t, "/proc/thread-self/ns/net") + "|" + readlink(t, "/proc/self/ns/pid")
	containers := ""
	for i, want := range []struct {
		name, status string
		own          bool
		dir          string
	}{
		{"prestart", "created", true, dir},
		{"createRuntime", "created", true, dir},
		{"createContainer", "created", false, cfg.Root.Bind},
		{"startContainer", "created", false, "/"},
		{"poststart", "running", true, dir},
		{"poststop", "stopped", true, dir},
	} {
		if i >= len(lines) {
			t.Fatalf("no %s hook ran", want.name)
		}
		f := strings.SplitN(lines[i], "|", 7)
		if f[0] != want.name || f[5] != want.name || f[4] != want.dir {
			t.Errorf("hook %d: %.200q, want %s in %s", i, f, want.name, want.dir)
		}
		ns := strings.Join(f[1:4], "|")
		switch {
		case want.own && ns != own:
			t.Errorf("%s hook is not in the runtime's namespaces: %s", want.name, ns)
		case !want.own && (ns == own || containers != "" && ns != containers):
			t.Errorf("%s hook is not in the container's namespaces: %s, %s", want.name, ns, containers)
		case !want.own:
			containers = ns
		}
		var st specs.State
		must(t, json.Unmarshal([]byte(f[6]), &st))
		if st.ID != "box" || st.Bundle != dir || string(st.Status) != want.status || st.Version != specs.Version || len(st.Annotations["big"]) != 100_000 || (st.Pid != 0) != (want.name != "poststop") {
			t.Errorf("%s hook was told %.300s", want.name, f[6])
		}
	}
}

// TestHookFailures: the container does not come to life, the error tells what
// the hook said, and the poststop hooks run.
func TestHookFailures(t *testing.T) {
	dir := t.TempDir()
	fails := script(t, dir, "fails", `echo one; echo "  two	x" >&2; exit 3`)
	hangs := script(t, dir, "hangs", `sleep 1000 & echo $! >`+dir+`/pid; wait`)
	killed := script(t, dir, "killed", `kill -TERM $$`)
	stop := script(t, dir, "stop", `echo stopped >>`+dir+`/stopped`)
	second := 1
	h := func(path string) []specs.Hook { return []specs.Hook{{Path: path, Env: []string{"PATH=/bin:/usr/bin"}}} }
	late := []specs.Hook{{Path: hangs, Timeout: &second, Env: []string{"PATH=/bin:/usr/bin"}}}
	for _, tt := range []struct {
		name  string
		hooks specs.Hooks
		want  string
	}{
		{"prestart", specs.Hooks{Prestart: h(fails)}, "run prestart hook " + fails + ": exit status 3: one; two x"}, //nolint:staticcheck // deprecated, and in use
		{"createRuntime", specs.Hooks{CreateRuntime: h(killed)}, "run createRuntime hook " + killed + ": ended by signal 15"},
		{"createContainer", specs.Hooks{CreateContainer: h(fails)}, "run createContainer hook " + fails + ": exit status 3: one; two x"},
		{"startContainer", specs.Hooks{StartContainer: h("/bin/fails")}, "run startContainer hook /bin/fails: exit status 3: one; two x"},
		{"poststart", specs.Hooks{Poststart: h(fails)}, "run poststart hook " + fails + ": exit status 3: one; two x"},
		{"missing", specs.Hooks{CreateRuntime: h(dir + "/missing")}, "run createRuntime hook " + dir + "/missing: execute: no such file or directory (step hook)"},
		{"late", specs.Hooks{CreateRuntime: late}, "run createRuntime hook " + hangs + ": not done after 1s"},
		{"late inside", specs.Hooks{CreateContainer: late}, "run createContainer hook " + hangs + ": not done after 1s"},
	} {
		cfg := newConfig(t, shell("sleep 100"), func(c *Config) {
			script(t, c.Root.Bind+"/bin", "fails", `echo one; echo "  two	x" >&2; exit 3`)
			tt.hooks.Poststop = h(stop)
			c.Spec.Hooks = &tt.hooks
		})
		_ = os.Remove(dir + "/stopped")
		noTraces(t, func() {
			c, err := Make(cfg, nil)
			if err == nil {
				err = c.Start()
			}
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		})
		if b, err := os.ReadFile(dir + "/stopped"); err != nil || string(b) != "stopped\n" {
			t.Errorf("%s: poststop hooks: %q, %v", tt.name, b, err)
		}
		if tt.name == "late" {
			b, err := os.ReadFile(dir + "/pid")
			must(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
			must(t, err)
			// It has been killed, and takes a moment to die.
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); n != 1 {
					t.Errorf("a process of the hook lives on: %v", err)
				}
				must(t, unix.Close(fd))
			}
		}
	}
}

// TestPoststopWarns: all of them run, whatever fails.
func TestPoststopWarns(t *testing.T) {
	dir := t.TempDir()
	var warnings []string
	s := &specs.Spec{Hooks: &specs.Hooks{Poststop: []specs.Hook{
		{Path: script(t, dir, "bad", "exit 1")},
		{Path: script(t, dir, "good", "echo x >"+dir+"/done")},
	}}, Process: &specs.Process{}, Linux: &specs.Linux{}}
	(&Hooks{Spec: s, State: specs.State{Bundle: "/"}, Warn: func(w string) { warnings = append(warnings, w) }}).Poststop()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "exit status 1") {
		t.Errorf("warnings %q", warnings)
	}
	if _, err := os.Stat(dir + "/done"); err != nil {
		t.Error(err)
	}
}

// TestStartHookConfined: what the image brings gets no more rights than its
// program.
func TestStartHookConfined(t *testing.T) {
	for name, edits := range map[string][]edit{
		"root": nil, "user": {user(1000, 1000, 20)}, "no new privileges": {nnp}, "user namespace": {withUserNS, user(5, 6)},
	} {
		const show = `grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)' /proc/self/status; ls /proc/self/fd | wc -l; grep -c . /proc/self/cgroup; cat /proc/self/cgroup`
		edits = append(edits, func(c *Config) {
			script(t, c.Root.Bind+"/bin", "show", "{ "+show+"; } >/hook 2>&1")
			must(t, os.WriteFile(c.Root.Bind+"/hook", nil, 0o666))
			must(t, os.Chmod(c.Root.Bind+"/hook", 0o666))
			c.Spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/show", Env: []string{"PATH=/bin"}}}}
		})
		out := sh(t, "cat /hook; echo --; { "+show+"; }", edits...)
		hook, program, _ := strings.Cut(out, "--\n")
		if hook != program || !strings.Contains(hook, "CapBnd") {
			t.Errorf("%s: the hook has\n%s, the program\n%s", name, hook, program)
		}
	}
}

func TestHookRefusals(t *testing.T) {
	zero := 0
	for _, h := range []specs.Hook{{Path: "relative"}, {Path: ""}, {Path: "/x", Timeout: &zero}} {
		s := pureConfig().Spec
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{h}}
		if err := validateHooks(s); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// TestHooksUserNS: the root's path is found though the container's root may
// not go there.
func TestHooksUserNS(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o711))
	list := []specs.Hook{{Path: script(t, dir, "look", `ls "$1"/bin/busybox >/dev/null && stat -c %u "$1"/bin/busybox && id -u`), Args: []string{"look", ""}, Env: []string{"PATH=/bin:/usr/bin"}}}
	out := sh(t, "echo ran", withUserNS, func(c *Config) {
		must(t, os.Chmod(filepath.Dir(c.Root.Bind), 0o700))
		list[0].Args[1] = "." // where createContainer hooks run
		c.Spec.Hooks = &specs.Hooks{CreateContainer: list}
	})
	if out != "ran\n" {
		t.Errorf("got %q", out)
	}
}
