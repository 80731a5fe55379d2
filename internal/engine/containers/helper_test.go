package containers

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// helperEnv makes this test binary the tare that its engine executes: a
// starter, or a keeper's last act. The keeper passes no environment on, so the
// last act is known by its arguments.
const helperEnv = "TARE_TEST_HELPER"

// asHelper is what tare's hidden command does.
func asHelper(args []string) int {
	f := flag.NewFlagSet("helper", flag.ExitOnError)
	var o options
	f.StringVar(&o.Root, "root", "", "")
	f.StringVar(&o.RunRoot, "run-root", "", "")
	must(f.Parse(args))
	what := f.Arg(1)
	id, rest := "", f.Args()[2:]
	if len(rest) > 0 && rest[0][0] != '-' {
		id, rest = rest[0], rest[1:]
	}
	k := flag.NewFlagSet("starter", flag.ExitOnError)
	report, want, fds, config := k.Int("report", -1, ""), k.Int("want", 0, ""), k.Int("fds", 0, ""), k.Int("config", -1, "")
	must(k.Parse(rest))
	must(unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC))
	o.Networks = fakeNetworks(&o)
	e, err := open(o)
	must(err)
	e.Program = os.Args[0]
	if _, err := os.Stat(shown(&o)); err == nil {
		watching(e)
	}
	e.After = tellStages(&o)
	if at, err := strconv.Atoi(os.Getenv(starterCrashEnv)); err == nil && (what == "run" || what == "start") {
		killAfter(e, at)
	}
	q := &Request{Ref: id, Passed: *fds}
	switch what {
	case "run":
		q.Config = &api.ContainerConfig{}
		must(json.NewDecoder(os.NewFile(uintptr(*config), "configuration")).Decode(q.Config))
		err = e.BeginAsKeeper(context.Background(), q, *report, *want, false)
	case "start", "retry":
		err = e.BeginAsKeeper(context.Background(), q, *report, *want, what == "retry")
	case "mend":
		err = e.Mend(id)
	case "probe":
		next, perr := e.Probe(context.Background(), id)
		fmt.Println(int64(next))
		err = perr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// besides is a directory where this test binary is tare, and has its keeper
// beside it.
func besides(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := os.Getenv(rig.BinEnv)
	for name, target := range map[string]string{"tare": exe, "tare-keeper": bin + "/tare-keeper", "tare-base": bin + "/tare-base"} {
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// keptEngine is an engine whose containers may have keepers: this test binary
// is its tare, and the real keeper lies beside it.
func keptEngine(t *testing.T) *house {
	t.Helper()
	e := testEngine(t)
	e.Program = besides(t) + "/tare"
	t.Setenv(helperEnv, "1")
	t.Cleanup(func() {
		for _, name := range []string{"web", "other"} {
			_, _ = e.Remove(context.Background(), name, true, true) // of a test that failed
		}
		waitForOthers(t, filepath.Dir(e.opt.RunRoot))
	})
	return e
}

// waitForOthers waits for the processes that have a directory in their command line: a
// keeper whose container is gone may do the last of what could wait.
func waitForOthers(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := ""
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range lines {
			if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), dir+"/") {
				left = path + ": " + strings.ReplaceAll(string(b), "\x00", " ")
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Error("left: " + left)
			return
		}
	}
}
