package containers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// TestLease: from resolve to its last stage a start has a lease of the images,
// in every way that a container begins, and in whatever process: nobody removes
// what the container is made of before its record says so. Each stage waits for
// the test, which tries to take the store for itself; and at one of them it
// removes what nothing uses, and waits until that is what the kernel lets wait.
func TestLease(t *testing.T) {
	for _, w := range append(slices.Clone(ways), way{"a policy's restart", false, byPolicy}, way{"boot", false, byBoot}) {
		t.Run(w.name, func(t *testing.T) {
			e := keptEngine(t)
			s := watchStages(t, e)
			e.After = tellStages(&e.opt) // of what begins in this process
			// It runs until somebody has tried to remove its image.
			c := testContainer("sh", "-c", "while ! test -e /data/tried; do sleep 0.01; done; exit 3")
			c.Name, c.HostConfig.AutoRemove, c.HostConfig.Binds = "web", w.rm, []string{s.dir + ":/data"}
			code := w.do(t, e, Request{Config: c})
			e.After = nil
			if code != 3 {
				t.Errorf("exit code %d", code)
			}
			if _, err := e.Remove(t.Context(), "web", true, true); err != nil && fault.KindOf(err) != fault.NotFound {
				t.Error(err)
			}
			starts := 2
			if strings.HasPrefix(w.name, "run") {
				starts = 1
			}
			if got := s.close(); got != starts {
				t.Errorf("%d starts seen, want %d", got, starts)
			}
		})
	}
}

// byPolicy is two runs, of which the second is the restart policy's.
func byPolicy(t *testing.T, e *house, q Request) int {
	q.Config.HostConfig.RestartPolicy = api.RestartPolicy{Name: api.RestartOnFailure, MaximumRetryCount: 1}
	if _, err := e.Begin(t.Context(), &q); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		info, err := e.Inspect("web", false)
		if err != nil {
			t.Fatal(err)
		}
		if info.RestartCount == 1 && info.State.Status == api.StatusExited {
			return info.State.ExitCode
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", info.State)
		}
	}
}

// byBoot is a run, and one after the machine has come up.
func byBoot(t *testing.T, e *house, q Request) int {
	q.Config.Cmd = []string{"sleep", "1000"}
	q.Config.HostConfig.RestartPolicy = api.RestartPolicy{Name: api.RestartAlways}
	b, err := e.Begin(t.Context(), &q)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context(), b.ID, StopOptions{Timeout: ptr(0)}); err != nil {
		t.Fatal(err)
	}
	r, err := e.State.Get(b.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.Proc.Boot = "another"
	if err := e.State.Put(r); err != nil {
		t.Fatal(err)
	}
	if ids, err := e.Boot(t.Context()); err != nil || !slices.Equal(ids, []string{b.ID}) {
		t.Fatalf("started %v, %v", ids, err)
	}
	return 3 // no run of it ends by itself
}

// stagesSocket is where a start says which stage is over, and waits.
func stagesSocket(o *options) string { return o.RunRoot + "/stages" }

// tellStages is for Ground.After; nil where nobody listens.
func tellStages(o *options) func(where string) {
	if _, err := os.Stat(stagesSocket(o)); err != nil {
		return nil
	}
	return func(where string) {
		if !slices.ContainsFunc(beginning[:], func(s stage) bool { return s.name == where }) {
			return
		}
		c, err := net.Dial("unix", stagesSocket(o))
		must(err)
		defer c.Close()
		_, err = fmt.Fprintln(c, where)
		must(err)
		_, _ = c.Read(make([]byte, 1)) // its end lets the start go on
	}
}

// stages is who listens.
type stages struct {
	t      *testing.T
	e      *house
	l      net.Listener
	dir    string // gets the file "tried"
	done   chan struct{}
	starts int

	removers sync.WaitGroup
}

func watchStages(t *testing.T, e *house) *stages {
	t.Helper()
	l, err := net.Listen("unix", stagesSocket(&e.opt))
	if err != nil {
		t.Fatal(err)
	}
	s := &stages{t: t, e: e, l: l, dir: t.TempDir(), done: make(chan struct{})}
	go s.serve()
	return s
}

// close returns how many starts have been seen.
func (s *stages) close() int {
	_ = s.l.Close()
	<-s.done
	s.removers.Wait()
	return s.starts
}

func (s *stages) serve() {
	defer close(s.done)
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			s.t.Error(err)
		}
		s.reached(strings.TrimSpace(line))
		_ = c.Close()
	}
}

func (s *stages) reached(stage string) {
	if leased, want := s.leased(), stage != "lock"; leased != want {
		s.t.Errorf("after %s: leased %v", stage, leased)
	}
	if stage != "compose" {
		return
	}
	s.starts++
	done := make(chan struct{})
	s.removers.Go(func() {
		defer close(done)
		if gone, err := s.e.Images.GC(func(p *api.GCPolicy) { p.MaxBytes = 1 }, false); err != nil || len(gone) > 0 {
			s.t.Errorf("gc: %v, %v", gone, err)
		}
		if _, err := s.e.Images.Remove("bb", false); fault.KindOf(err) != fault.Conflict {
			s.t.Errorf("rmi: %v", err)
		}
		if err := os.WriteFile(s.dir+"/tried", nil, 0o600); err != nil {
			s.t.Error(err)
		}
	})
	for !waitsForLock(s.t) {
		select {
		case <-done:
			s.t.Error("nothing was waited for")
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// leased reports whether somebody has a lease of the image store.
func (s *stages) leased() bool {
	fd, err := unix.Open(s.e.Root+"/lock", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.t.Error(err)
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		s.t.Error(err)
	}
	return err != nil
}

// waitsForLock reports whether this process waits for an flock.
func waitsForLock(t *testing.T) bool {
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "->" && f[2] == "FLOCK" && f[5] == fmt.Sprint(os.Getpid()) {
			return true
		}
	}
	return false
}
