package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tare-engine/tare/test/verify/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

type rigKey struct{}

// TestScript runs the scripts of testdata/script: the real program as root,
// each script with a data root and a cgroup parent of its own, and nothing may
// be left when it ends. Their own commands:
//
//	tare ARG...          has to succeed
//	exits CODE ARG...    has to end with that exit code
//	fails CODE ARG...    the same, with one line of tare's on standard error,
//	                     nothing on standard output, and nothing left behind
//	empty                nothing is there of any container
//
// Conditions: [v1:memory] and [v2:memory] say where a controller is.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			r := rig.New(e.T().(testing.TB), e.WorkDir+"/.tare")
			e.Values[rigKey{}] = r
			e.Defer(func() {
				if e.T().(testing.TB).Failed() {
					removeAll(r)
				}
				for _, l := range r.Finish() {
					e.T().(testing.TB).Errorf("left: %s", l)
				}
			})
			for _, v := range r.Env() {
				name, value, _ := strings.Cut(v, "=")
				e.Setenv(name, value)
			}
			e.Setenv("PATH", r.Bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
			e.Setenv("PARENT", r.Parent)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			version, controller, ok := strings.Cut(cond, ":")
			if !ok || version != "v1" && version != "v2" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			r := rig.New(t, "")
			return r.Has(controller) && r.V2(controller) == (version == "v2"), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"tare": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg {
					ts.Fatalf("say how it fails: exits or fails")
				}
				exits(ts, 0, args)
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				exits(ts, code(ts, args), args[1:])
			},
			"fails": func(ts *testscript.TestScript, _ bool, args []string) {
				exits(ts, code(ts, args), args[1:])
				out, line := ts.ReadFile("stdout"), ts.ReadFile("stderr")
				if out != "" || strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, "tare: ") {
					ts.Fatalf("want one line of tare's on standard error and nothing else")
				}
				empty(ts)
			},
			"empty": func(ts *testscript.TestScript, _ bool, _ []string) { empty(ts) },
		},
	})
}

// removeAll takes away what a script that failed has left running.
func removeAll(r *rig.Rig) {
	tare := func(args ...string) string {
		cmd := exec.Command(r.Bin+"/tare", args...)
		cmd.Env = append(os.Environ(), r.Env()...)
		out, _ := cmd.Output() // what is left is reported
		return string(out)
	}
	for id := range strings.FieldsSeq(tare("ps", "-aq", "--no-trunc")) {
		tare("rm", "-f", id)
	}
}

func code(ts *testscript.TestScript, args []string) int {
	if len(args) < 2 {
		ts.Fatalf("usage: CODE ARG...")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	return n
}

func exits(ts *testscript.TestScript, want int, args []string) {
	r := ts.Value(rigKey{}).(*rig.Rig)
	err := ts.Exec("tare", r.Args(args)...)
	if got := rig.ExitCode(err); got != want {
		ts.Fatalf("tare %s: exit code %d (%v), want %d", strings.Join(args, " "), got, err, want)
	}
}

func empty(ts *testscript.TestScript) {
	if left := ts.Value(rigKey{}).(*rig.Rig).Left(); len(left) > 0 {
		ts.Fatalf("left:\n%s", strings.Join(left, "\n"))
	}
}
