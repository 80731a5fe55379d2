package spawn

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

func TestExecErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	noexec := write("noexec", "x", 0o644)
	text := write("text", "x", 0o755)
	noInterpreter := write("nointerp", "#!/nonexistent/sh\n", 0o755)
	if err := os.Symlink("loop", dir+"/loop"); err != nil {
		t.Fatal(err)
	}
	loop, missing, under := dir+"/loop", dir+"/no", "/dev/null/no"
	for _, tt := range []struct {
		name string
		path []string
		want unix.Errno
	}{
		{"not found", []string{missing}, unix.ENOENT},
		{"below a file", []string{under}, unix.ENOTDIR},
		{"not found in PATH", []string{missing, under}, unix.ENOENT},
		{"no PATH", nil, unix.ENOENT},
		{"not executable", []string{noexec}, unix.EACCES},
		{"directory", []string{dir}, unix.EACCES},
		{"not executable in PATH", []string{noexec, missing}, unix.EACCES},
		{"not executable, then a directory", []string{missing, dir}, unix.EACCES},
		{"bad format", []string{text}, unix.ENOEXEC},
		{"bad format ends the search", []string{text, "/bin/true"}, unix.ENOEXEC},
		{"no interpreter", []string{noInterpreter}, unix.ENOENT},
		{"link loop ends the search", []string{missing, loop, "/bin/true"}, unix.ELOOP},
		{"found behind what cannot be used", []string{missing, under, noexec, dir, noInterpreter, "/bin/true"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := plan.New()
			p.Begin("exec")
			p.Exec(tt.path, []string{"true"}, nil)
			code, err := run(t, p, Options{})
			if tt.want == 0 {
				if err != nil || code != 0 {
					t.Errorf("exit code %d, error %v", code, err)
				}
				return
			}
			var e *OpError
			if !errors.As(err, &e) || e.Errno != tt.want || !e.IsExec() {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestArgumentsAndEnvironment(t *testing.T) {
	out, code := output(t, plan.New(), Options{}, "/bin/sh", "-c", `printf '%s|' "$0" "$@" "$PATH"`, "zero", "", "a b", "ü")
	if want := "zero||a b|ü|/bin:/usr/bin|"; code != 0 || out != want {
		t.Errorf("exit code %d, output %q, want %q", code, out, want)
	}
}

// The program starts with no signal blocked (if the plan says so), none
// ignored and none caught, whatever Go and the engine's caller did.
func TestSignals(t *testing.T) {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTTOU)
	defer signal.Reset(unix.SIGHUP, unix.SIGINT, unix.SIGTTOU)
	for _, unblock := range []bool{true, false} {
		p := plan.New()
		p.Begin("signals")
		blocked := "fffffffffffbfeff" // all but SIGKILL and SIGSTOP
		if unblock {
			blocked = "0000000000000000"
			p.Call(plan.InChild, unix.SYS_RT_SIGPROCMASK, []plan.Arg{
				plan.Int(unix.SIG_SETMASK), p.Bytes(make([]byte, 8)), plan.Int(0), plan.Int(8),
			})
		}
		out, _ := output(t, p, Options{}, "/bin/cat", "/proc/self/status")
		for _, want := range []string{
			"SigBlk:\t" + blocked, "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000",
			"SigPnd:\t0000000000000000",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("unblocked %v: no %q in\n%s", unblock, want, out)
			}
		}
	}
	// And this process has its own mask back.
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "SigBlk:\t0000000000000000") {
		t.Errorf("this thread's signals are blocked:\n%s", status)
	}
}

func TestInvalidPlan(t *testing.T) {
	p := plan.New()
	p.Str("a\x00b")
	if _, err := New(p); err == nil || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("error %v", err)
	}
}
