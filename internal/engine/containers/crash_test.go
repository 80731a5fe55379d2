package containers

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/state"
	"github.com/tare-engine/tare/test/verify/rig"

	"golang.org/x/sys/unix"
)

// The crash test runs this binary again as the engine that is killed.
const crashEnv = "TARE_TEST_CRASH"

type crashRun struct {
	Opt    options
	Config *api.ContainerConfig
	At     int // the call of after that kills
	Create bool
}

func TestMain(m *testing.M) {
	if text := os.Getenv(crashEnv); text != "" {
		os.Exit(crash(text))
	}
	if len(os.Args) > 5 && os.Args[5] == wire.HelperCommand {
		os.Exit(asHelper(os.Args[1:]))
	}
	if os.Getenv(userEnv) != "" {
		os.Exit(asUser(m))
	}
	os.Exit(rig.Main(m)) // with a range of ids for user namespaces
}

func crash(text string) int {
	var c crashRun
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	c.Opt.Networks = fakeNetworks(&c.Opt)
	e, err := open(c.Opt)
	if err != nil {
		panic(err)
	}
	n := 0
	var mu sync.Mutex // groups are made beside the rest
	e.After = func(where string) {
		mu.Lock()
		defer mu.Unlock()
		if n == c.At {
			os.Stdout.WriteString(where)
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		n++
	}
	code := 0
	if c.Create {
		_, err = e.Begin(context.Background(), &Request{Config: c.Config, Until: Created})
	} else {
		code, err = runHere(context.Background(), e, c.Config, &AttachOptions{})
	}
	if err != nil {
		os.Stderr.WriteString(err.Error())
	}
	return code
}

// killAt runs a container in another process that is killed at its nth step,
// and returns the step's name, or "" when the run came to its end.
func killAt(t *testing.T, e *house, c *api.ContainerConfig, n int, create bool) string {
	t.Helper()
	b, err := json.Marshal(crashRun{e.opt, c, n, create})
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

// TestCrash kills the engine after every stage of a start and every host
// operation in between. What the next command finds is either nothing, or a
// container that runs and can be removed.
func TestCrash(t *testing.T) {
	e := testEngine(t)
	for _, rm := range []bool{true, false} {
		t.Run("rm="+strconv.FormatBool(rm), func(t *testing.T) {
			seen := map[string]bool{}
			for n := 0; ; n++ {
				c := testContainer("sleep", "1000")
				c.HostConfig.NetworkMode = "fake"
				c.HostConfig.AutoRemove = rm
				c.HostConfig.Memory = 64 << 20
				c.HostConfig.Binds = []string{"/data"}
				c.Name = "web"
				c.RootFS = ""
				where := killAt(t, e, c, n, false)
				if where == "" {
					t.Fatalf("the run ended by itself after %d steps", n)
				}
				seen[where] = true
				seen[strings.Fields(where)[0]] = true
				e2, err := open(e.opt)
				if err != nil {
					t.Fatalf("after %q: %v", where, err)
				}
				if where == "open" {
					removeRunning(t, e2)
					assertEmpty(t, e2)
					break
				}
				assertEmpty(t, e2)
				if t.Failed() {
					t.Fatalf("after %q (step %d)", where, n)
				}
			}
			for i := range beginning {
				if w := beginning[i].name; w != "record" && !seen[w] { // the record of one that is not started
					t.Errorf("no crash after stage %q", w)
				}
			}
			for _, w := range []string{"cgroup", "host", "gate network", "created"} {
				if !seen[w] {
					t.Errorf("no crash at %q", w)
				}
			}
		})
	}
}

// TestCrashCreate kills the engine after every stage of a creation: it is found
// to have been made, or nothing is there.
func TestCrashCreate(t *testing.T) {
	e := testEngine(t)
	seen := map[string]bool{}
	for n := 0; ; n++ {
		c := testContainer("true")
		c.Name, c.HostConfig.NetworkMode, c.HostConfig.Binds = "web", "fake", []string{"/data"}
		where := killAt(t, e, c, n, true)
		if where == "" {
			break
		}
		seen[where] = true
		e2, err := open(e.opt)
		if err != nil {
			t.Fatalf("after %q: %v", where, err)
		}
		assertEmpty(t, e2)
		if t.Failed() {
			t.Fatalf("after %q (step %d)", where, n)
		}
	}
	if _, err := e.Remove(t.Context(), "web", false, true); err != nil {
		t.Error(err)
	}
	for i := range beginning {
		switch w := beginning[i].name; w {
		case "streams", "box", "open": // of one that is started
		default:
			if !seen[w] {
				t.Errorf("no crash after stage %q", w)
			}
		}
	}
}

// TestCrashEnd kills the engine after every stage of an end. The next commands
// find the container gone, or ended and told of, and can remove it.
func TestCrashEnd(t *testing.T) {
	e := testEngine(t)
	for _, rm := range []bool{true, false} {
		t.Run("rm="+strconv.FormatBool(rm), func(t *testing.T) {
			seen := map[string]bool{}
			for n := 0; ; n++ {
				c := testContainer("true")
				c.HostConfig.AutoRemove = rm
				c.HostConfig.NetworkMode = "fake"
				c.HostConfig.PidMode = "host" // so that what outlives it is killed
				c.Name = "web"
				where := killAt(t, e, c, n, false)
				if where == "" {
					break
				}
				stage, ends := strings.CutPrefix(where, "end ")
				e2, err := open(e.opt)
				if err != nil {
					t.Fatalf("after %q: %v", where, err)
				}
				if ends {
					seen[stage] = true
					assertEnded(t, e2, rm)
				}
				if ends || where == "open" {
					_, _ = e2.Remove(context.Background(), "web", true, false)
				}
				assertEmpty(t, e2)
				if t.Failed() {
					t.Fatalf("after %q (step %d)", where, n)
				}
			}
			_, _ = e.Remove(context.Background(), "web", true, false)
			for i := range endStages {
				s := &endStages[i]
				if want := s.used == nil || s.used(&ending{e: e.Room, r: &state.Record{Remove: rm, Network: &state.Network{}}, c: hostPid(), group: &cgroupfs.Group{}}); want && !seen[s.name] {
					t.Errorf("no crash after stage %q", s.name)
				}
			}
		})
	}
}

func hostPid() *api.ContainerConfig {
	c := &api.ContainerConfig{}
	c.HostConfig.PidMode, c.HostConfig.NetworkMode = "host", "fake"
	return c
}

// assertEnded: a container whose engine was killed at its end is not shown as
// one that runs.
func assertEnded(t *testing.T, e *house, rm bool) {
	t.Helper()
	list, err := e.List(context.Background(), api.ListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) > 1 || len(list) == 0 && !rm {
		t.Errorf("listed as %+v", list)
	}
	for i := range list {
		if list[i].Status != api.StatusExited {
			t.Errorf("listed as %s", list[i].Status)
		}
	}
}

// TestCancel cancels the context after every stage of a start: all of it is
// undone, in every way that a container begins.
func TestCancel(t *testing.T) {
	e := testEngine(t)
	for _, until := range []Until{Running, Created} {
		for i := range beginning {
			name := beginning[i].name
			ctx, cancel := context.WithCancel(t.Context())
			var after []string
			e.After = func(where string) {
				if after = append(after, where); where == name {
					cancel()
				}
			}
			c := testContainer("true")
			c.Name = "web"
			c.HostConfig.Binds, c.HostConfig.NetworkMode = []string{"/data"}, "fake"
			s := &start{e: e.Room, q: &Request{Config: c, Until: until}}
			if until == Running {
				s.holder = &foreground{caller: &attached{Files: &stdio.Files{}, o: &AttachOptions{}}}
			}
			err := s.begin(ctx)
			e.After = nil
			cancel()
			last := name == "open" || until == Created && name == "record"
			used := slices.Contains(after, name)
			switch {
			case used && !last && !errors.Is(err, context.Canceled):
				t.Errorf("cancelled after %s: %v", name, err)
			case (!used || last) && err != nil:
				t.Errorf("%s: %v", name, err)
			case err == nil && until == Created:
				if err := s.leave(); err != nil {
					t.Error(err)
				}
			case err == nil: // after the start a context only leaves
				s.lock.Unlock()
				h := s.holder.(*foreground)
				h.started()
				if code, err := h.hold(s); code != 0 || err != nil {
					t.Errorf("after %s: %d, %v", name, code, err)
				}
			}
			if err == nil {
				if _, err := e.Remove(t.Context(), "web", false, true); err != nil {
					t.Error(err)
				}
			}
			assertEmpty(t, e)
			if t.Failed() {
				t.Fatalf("until %d, cancelled after %s: %v", until, name, after)
			}
		}
	}
}

func removeRunning(t *testing.T, e *house) {
	t.Helper()
	list, err := e.List(context.Background(), api.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Status != api.StatusRunning || list[0].Name != "web" {
		t.Fatalf("after the start: listed as %+v, want one that runs", list)
	}
	if _, err := e.Remove(context.Background(), "web", false, false); err == nil {
		t.Fatal("a running container was removed without force")
	}
	if _, err := e.Remove(context.Background(), "web", true, true); err != nil {
		t.Fatal(err)
	}
}
