package containers

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"golang.org/x/sys/unix"
)

// starterCrashEnv is the step at which a starter is killed.
const starterCrashEnv = "TARE_TEST_STARTER_CRASH"

// crashed is where a starter that is about to be killed says at which step.
func crashed(e *house) string { return e.RunRoot + "/crashed" }

// killAfter has this process killed at its nth step.
func killAfter(e *house, at int) {
	n := 0
	var mu sync.Mutex // groups are made beside the rest
	e.After = func(where string) {
		mu.Lock()
		defer mu.Unlock()
		if n == at {
			must(os.WriteFile(crashed(e), []byte(where+"\n"+strconv.Itoa(os.Getpid())), 0o600))
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		n++
	}
}

// TestCrashKept kills the starter of a container with a keeper after every stage,
// for a new container and for one that exists. The next command finds nothing, or
// a container that runs and gets a keeper; one that existed is there still.
func TestCrashKept(t *testing.T) {
	for _, exists := range []bool{false, true} {
		t.Run("exists="+strconv.FormatBool(exists), func(t *testing.T) {
			e := keptEngine(t)
			seen := map[string]bool{}
			for n := 0; ; n++ {
				where := crashStarter(t, e, n, exists)
				if where == "" {
					break
				}
				seen[where], seen[strings.Fields(where)[0]] = true, true
				e2, err := open(e.opt)
				if err != nil {
					t.Fatalf("after %q: %v", where, err)
				}
				e2.Program = e.Program
				list, err := e2.List(t.Context(), api.ListOptions{All: true})
				if err != nil {
					t.Fatal(err)
				}
				if there := len(list) == 1; there != (exists || where == "open") {
					t.Errorf("after %q: listed %+v", where, list)
				}
				for _, c := range list {
					if runs := c.Status == api.StatusRunning; runs != (where == "open") {
						t.Errorf("after %q: %s", where, c.Status)
					}
					if _, err := e2.Remove(t.Context(), c.ID, true, true); err != nil {
						t.Errorf("after %q: %v", where, err)
					}
				}
				assertEmpty(t, e2)
				if t.Failed() {
					t.Fatalf("after %q (step %d)", where, n)
				}
			}
			for i := range beginning {
				switch w := beginning[i].name; {
				case w == "record", w == "name" && exists: // not in this way
				case !seen[w]:
					t.Errorf("no crash after stage %q", w)
				}
			}
		})
	}
}

// crashStarter starts a container with a keeper, whose starter is killed at its
// nth step, and returns the step's name; "" when it came to its end, and then
// nothing is left.
func crashStarter(t *testing.T, e *house, n int, exists bool) string {
	t.Helper()
	c := testContainer("sleep", "1000")
	c.Name, c.HostConfig.Memory, c.HostConfig.Binds = "web", 64<<20, []string{"/data"}
	q := &Request{Config: c}
	if exists {
		if _, err := e.Begin(t.Context(), &Request{Config: c, Until: Created}); err != nil {
			t.Fatal(err)
		}
		q = &Request{Ref: "web"}
	}
	if where := beginCrashed(t, e, n, q); where != "" {
		return where
	}
	if _, err := e.Remove(t.Context(), "web", true, true); err != nil {
		t.Fatal(err)
	}
	assertEmpty(t, e)
	return ""
}

// beginCrashed begins a container by a starter that is killed at its nth step, and
// returns the step's name; "" when it came to its end.
func beginCrashed(t *testing.T, e *house, n int, q *Request) string {
	t.Helper()
	if err := os.RemoveAll(crashed(e)); err != nil {
		t.Fatal(err)
	}
	t.Setenv(starterCrashEnv, strconv.Itoa(n))
	_, err := e.Begin(t.Context(), q)
	t.Setenv(starterCrashEnv, "")
	text, rerr := os.ReadFile(crashed(e))
	where, pid, _ := strings.Cut(string(text), "\n")
	switch {
	case rerr == nil && err == nil:
		t.Fatalf("no error after %q", where)
	case rerr == nil:
		dead(t, pid)
		unlocked(t, e)
		return where
	case err != nil:
		t.Fatalf("step %d: %v", n, err)
	}
	return ""
}

// unlocked waits until nobody holds a slot: a child that was cloned and has not run yet
// has the locks of a starter that was killed, until it closes what is not its own. The
// next command after that cleans up.
func unlocked(t *testing.T, e *house) {
	t.Helper()
	f, err := os.OpenFile(e.opt.RunRoot+"/pending", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		l := unix.Flock_t{Type: unix.F_WRLCK}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type == unix.F_UNLCK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a slot is still held")
		}
	}
}

// dead waits until all of a killed starter, our child, has let go of everything:
// its socket, which told of its end, is not the last.
func dead(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for {
		switch _, err := unix.Wait4(n, nil, 0, nil); {
		case errors.Is(err, unix.EINTR):
		case err == nil, errors.Is(err, unix.ECHILD): // reaped before
			return
		default:
			t.Fatal(err)
		}
	}
}
