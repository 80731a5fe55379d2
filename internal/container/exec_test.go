package container

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// TestExecErrors: what scripts look for, and which of 126 and 127 it is.
func TestExecErrors(t *testing.T) {
	testkit.Containers(t)
	prepare := func(c *Config) {
		b := c.Root.Bind + "/bin/"
		must(t, os.WriteFile(b+"plain", []byte("x"), 0o644))
		must(t, os.WriteFile(b+"text", []byte("just text"), 0o755))
		must(t, os.WriteFile(b+"script", []byte("#!/bin/nothing\n"), 0o755))
		must(t, os.WriteFile(b+"good", []byte("#!/bin/sh\necho ran $0\n"), 0o755))
		must(t, os.Mkdir(b+"dir", 0o755))
		must(t, os.Symlink("loop", b+"loop"))
	}
	path := func(p string) edit { return func(c *Config) { c.Spec.Process.Env = []string{"PATH=" + p} } }
	for _, tt := range []struct {
		name, arg, text string
		notFound        bool
		edit            edit
	}{
		{"not in PATH", "nothing", `exec: "nothing": executable file not found in $PATH`, true, path("/bin:/nowhere")},
		{"not in a PATH of one", "nothing", `exec: "nothing": executable file not found in $PATH`, true, path("/bin")},
		{"empty PATH", "sh", `exec: "sh": executable file not found in $PATH`, true, path("")},
		{"no PATH", "sh", `exec: "sh": executable file not found in $PATH`, true, func(c *Config) { c.Spec.Process.Env = nil }},
		{"absolute", "/nothing", `exec: "/nothing": no such file or directory`, true, path("/bin")},
		{"relative", "./nothing", `exec: "./nothing": no such file or directory`, true, path("/bin")},
		{"below a file", "/bin/plain/x", `exec: "/bin/plain/x": not a directory`, true, path("/bin")},
		{"missing interpreter", "/bin/script", `exec: "/bin/script": no such file or directory`, true, path("/bin")},
		{"directory", "/bin/dir", `exec: "/bin/dir": permission denied`, false, path("/bin")},
		{"not executable", "/bin/plain", `exec: "/bin/plain": permission denied`, false, path("/bin")},
		{"not executable in PATH", "plain", `exec: "plain": permission denied`, false, path("/nowhere:/bin:/etc")},
		{"text", "/bin/text", `exec: "/bin/text": exec format error`, false, path("/bin")},
		{"text in PATH", "text", `exec: "text": exec format error`, false, path("/nowhere:/bin")},
		{"loop", "/bin/loop", `exec: "/bin/loop": too many levels of symbolic links`, false, path("/bin")},
	} {
		cfg := newConfig(t, []string{tt.arg}, prepare, tt.edit)
		noTraces(t, func() {
			_, _, err := output(t, cfg)
			var e *ExecError
			if !errors.As(err, &e) || err.Error() != tt.text || e.NotFound() != tt.notFound {
				t.Errorf("%s: %v (%T), want %s", tt.name, err, err, tt.text)
			}
		})
	}
	out, _, err := output(t, newConfig(t, []string{"good"}, prepare, path("/nowhere:/etc/hosts:/bin")))
	if err != nil || out != "ran /bin/good\n" {
		t.Errorf("found late in PATH: %q, %v", out, err)
	}
}

// TestExecErrorTerminal: a program that is not there closes the terminal too.
func TestExecErrorTerminal(t *testing.T) {
	cfg := newConfig(t, []string{"/nothing"}, terminal)
	noTraces(t, func() {
		c, err := Make(cfg, nil)
		must(t, err)
		var e *ExecError
		if err := c.Start(); !errors.As(err, &e) {
			t.Errorf("error %v", err)
		}
		if c.Console != nil {
			t.Error("the terminal is still open")
		}
	})
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -9 $$; sh -c 'kill -15 $$'; exit $?": 143} {
		_, code, err := output(t, newConfig(t, shell(script)))
		if err != nil || code != want {
			t.Errorf("%s: %d, %v, want %d", script, code, err, want)
		}
	}
	s := sleeper(t)
	must(t, s.Process.Signal(unix.SIGKILL))
	st, err := s.Process.Wait()
	if err != nil || st.ExitCode() != 137 {
		t.Errorf("killed: %+v, %v", st, err)
	}
	st2, err := s.Process.Wait() // reaped: an error, not a hang
	if err == nil {
		t.Errorf("waited twice: %+v", st2)
	}
}

// TestArguments: argv[0] and odd arguments arrive as they are.
func TestArguments(t *testing.T) {
	args := []string{"sh", "-c", `printf '%s|' "$0" "$@"`, "zero", "", "a b", "ä\n", strings.Repeat("x", 70000)}
	out, code, err := output(t, newConfig(t, args))
	if want := strings.Join(args[3:], "|") + "|"; err != nil || code != 0 || out != want {
		t.Errorf("%d bytes, code %d, %v, want %d bytes", len(out), code, err, len(want))
	}
}
