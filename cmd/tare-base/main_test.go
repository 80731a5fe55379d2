package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is tare-base when it is called under an applet's name.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if _, ok := find(name); ok || name == "tare-base" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bin is a directory with a link for every applet.
func bin(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, a := range append(applets(), applet{name: "tare-base"}) {
		if err := os.Symlink(self, filepath.Join(dir, a.name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAppletsSorted(t *testing.T) {
	ok := slices.IsSortedFunc(applets(), func(a, b applet) int { return strings.Compare(a.name, b.name) })
	if !ok {
		t.Error("the table of applets is not sorted: find searches it by halves")
	}
}

func TestScripts(t *testing.T) {
	dir := bin(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", dir)
			e.Setenv("SH", filepath.Join(dir, "sh"))
			e.Setenv("LC_ALL", "C")
			return nil
		},
	})
}

// TestLikeCoreutils runs lines with the tools of the machine and with ours and
// compares output and exit code.
func TestLikeCoreutils(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash to run the lines with")
	}
	dir := bin(t)
	data, err := os.ReadFile("testdata/coreutils.lines")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			want, wantCode := runLine(t, line, "/usr/bin:/bin:/usr/sbin:/sbin")
			got, code := runLine(t, line, dir)
			if got != want || code != wantCode {
				t.Errorf("%s\ngot %d:\n%s\nwant %d:\n%s", line, code, got, wantCode, want)
			}
		})
	}
}

// runLine runs a line in a fresh directory with a few files.
func runLine(t *testing.T, line, path string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a": "one\ntwo\nthree\nfour four\n", "b": "two\n\ntwo\nthree\n10\n9\n",
		"csv": "x:1:a\ny:22:b\nnone\nz:3:c\n", "sub/c": "deep\n", "sub/.hidden": "", "empty": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// the shell's own echo, test, … are switched off: programs are compared
	c := exec.Command("/bin/bash", "-c", "enable -n echo printf test [ pwd kill true false; "+line)
	c.Dir = dir
	c.Env = []string{"PATH=" + path, "LC_ALL=C", "TZ=UTC", "HOME=/", "PWD=" + dir}
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out.String(), dir, "DIR"), c.ProcessState.ExitCode()
}
