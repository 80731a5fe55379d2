package spawn

import (
	"errors"
	"os"
	"testing"

	"github.com/tare-engine/tare/plan"
	"golang.org/x/sys/unix"
)

// run executes p to the end of the program and returns its exit code.
func run(t *testing.T, p *plan.Plan, o Options) (int, error) {
	t.Helper()
	r, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Host(o); err != nil {
		return 0, err
	}
	proc, err := r.Clone(o)
	if err != nil {
		return 0, err
	}
	defer proc.Release()
	if err := r.WaitExec(); err != nil {
		return 0, err
	}
	st, err := proc.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return st.ExitCode(), nil
}

func TestExitCode(t *testing.T) {
	p := plan.New()
	p.Begin("exec")
	p.Exec([]string{"/bin/sh"}, []string{"sh", "-c", "exit $X"}, []string{"X=7"})
	if code, err := run(t, p, Options{}); err != nil || code != 7 {
		t.Fatalf("exit code %d, error %v; want 7", code, err)
	}
}

func TestErrorNamesTheStep(t *testing.T) {
	p := plan.New()
	p.Begin("mounts")
	p.Note("open /nonexistent")
	p.Openat2(plan.InChild, "x", plan.CWD, "/nonexistent", unix.O_PATH, 0, 0)
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	_, err := run(t, p, Options{})
	var e *OpError
	if !errors.As(err, &e) || e.Errno != unix.ENOENT || e.Step != "mounts" {
		t.Fatalf("error %v", err)
	}
	if want := "open /nonexistent: no such file or directory (step mounts)"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
}

func TestSlotsAndConditions(t *testing.T) {
	p := plan.New()
	p.Begin("files")
	null := p.Openat2(plan.OnHost, "null", plan.CWD, "/dev/null", unix.O_RDWR, 0, 0)
	miss := p.Openat2(plan.InChild, "miss", plan.CWD, "/nonexistent", unix.O_PATH, 0, 0, plan.OK(unix.ENOENT))
	// Not run: would fail.
	p.Openat2(plan.InChild, "x", miss.Arg(), "x", unix.O_PATH, 0, 0, plan.When(plan.IfOK, miss))
	// Run: makes the slot good.
	p.OpenInto(plan.InChild, miss, plan.CWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0, plan.When(plan.IfErr, miss))
	p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{miss.Arg()})
	p.Call(plan.InChild, unix.SYS_DUP3, []plan.Arg{null.Arg(), plan.Int(1), plan.Int(0)}, plan.Want(1))
	p.Begin("exec")
	p.Exec([]string{"/nonexistent", "/bin/sh"}, []string{"sh", "-c",
		`[ "$(readlink /proc/$$/fd/1)" = /dev/null ] && [ "$(pwd)" = / ] &&
		for i in 3 4 5 6 7 8 9 10 11 12 13 14; do [ ! -e /proc/$$/fd/$i ] || exit 9; done`}, nil)
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	if code, err := run(t, p, Options{}); err != nil || code != 0 {
		t.Fatalf("exit code %d, error %v", code, err)
	}
}

func TestExecErrors(t *testing.T) {
	dir := t.TempDir()
	noexec := dir + "/noexec"
	if err := os.WriteFile(noexec, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := dir + "/text"
	if err := os.WriteFile(text, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		path []string
		want unix.Errno
	}{
		{"not found", []string{dir + "/no"}, unix.ENOENT},
		{"not found in PATH", []string{dir + "/no", "/dev/null/no"}, unix.ENOENT},
		{"not executable", []string{noexec}, unix.EACCES},
		{"not executable in PATH", []string{noexec, dir + "/no"}, unix.EACCES},
		{"bad format", []string{text}, unix.ENOEXEC},
	} {
		p := plan.New()
		p.Begin("exec")
		p.Exec(tt.path, []string{"x"}, nil)
		_, err := run(t, p, Options{})
		var e *OpError
		if !errors.As(err, &e) || e.Errno != tt.want || !e.IsExec() {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}
