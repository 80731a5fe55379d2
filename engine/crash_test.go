package engine

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The crash test runs this binary again as the engine that is killed.
const crashEnv = "TARE_TEST_CRASH"

type crashRun struct {
	Opt    Options
	Config *ContainerConfig
	At     int // the call of after that kills
}

func TestMain(m *testing.M) {
	if text := os.Getenv(crashEnv); text != "" {
		os.Exit(crash(text))
	}
	os.Exit(m.Run())
}

func crash(text string) int {
	var c crashRun
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	e, err := Open(c.Opt)
	if err != nil {
		panic(err)
	}
	n := 0
	var mu sync.Mutex // groups are made beside the rest
	e.after = func(where string) {
		mu.Lock()
		defer mu.Unlock()
		if n == c.At {
			os.Stdout.WriteString(where)
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		n++
	}
	code, err := e.Containers.Run(context.Background(), c.Config, &RunOptions{})
	if err != nil {
		os.Stderr.WriteString(err.Error())
	}
	return code
}

// killAt runs a container in another process that is killed at its nth step,
// and returns the step's name, or "" when the run came to its end.
func killAt(t *testing.T, e *Engine, c *ContainerConfig, n int) string {
	t.Helper()
	b, err := json.Marshal(crashRun{e.opt, c, n})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), crashEnv+"="+string(b))
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err == nil {
		return ""
	}
	if st := cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); st.Signal() != unix.SIGKILL {
		t.Fatalf("step %d: %v %s", n, cmd.ProcessState, &stderr)
	}
	return out.String()
}

// TestCrash kills the engine after every step of a start, for every step.
// What the next command finds is either nothing, or a container that runs and
// can be removed.
func TestCrash(t *testing.T) {
	e := testEngine(t)
	for _, rm := range []bool{true, false} {
		t.Run("rm="+strconv.FormatBool(rm), func(t *testing.T) {
			seen := map[string]bool{}
			for n := 0; ; n++ {
				c := testContainer("sleep", "1000")
				c.HostConfig.AutoRemove = rm
				c.HostConfig.Memory = 64 << 20
				c.Name = "web"
				c.RootFS = ""
				where := killAt(t, e, c, n)
				if where == "" {
					t.Fatalf("the run ended by itself after %d steps", n)
				}
				seen[strings.Fields(where)[0]] = true
				e2, err := Open(e.opt)
				if err != nil {
					t.Fatalf("after %q: %v", where, err)
				}
				if where == "started" {
					removeRunning(t, e2)
					assertEmpty(t, e2)
					break
				}
				assertEmpty(t, e2)
				if t.Failed() {
					t.Fatalf("after %q (step %d)", where, n)
				}
			}
			for _, w := range []string{"pending", "name", "make", "cgroup", "host", "created", "recorded", "started"} {
				if !seen[w] {
					t.Errorf("no crash at %q", w)
				}
			}
		})
	}
}

func removeRunning(t *testing.T, e *Engine) {
	t.Helper()
	list, err := e.Containers.List(context.Background(), ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Status != StatusRunning || list[0].Name != "web" {
		t.Fatalf("after the start: listed as %+v, want one that runs", list)
	}
	if _, err := e.Containers.Remove(context.Background(), "web", false, false); err == nil {
		t.Fatal("a running container was removed without force")
	}
	if _, err := e.Containers.Remove(context.Background(), "web", true, false); err != nil {
		t.Fatal(err)
	}
}
