package containers

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/sandboxes"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// begun begins a container with a keeper.
func begun(t *testing.T, e *house, q *Request) string {
	t.Helper()
	b, err := e.Begin(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return b.ID
}

// owner begins a container in the fake network, and joined one that joins it.
func owner(t *testing.T, e *house) string {
	c := testContainer("sleep", "1000")
	c.Name, c.HostConfig.NetworkMode, c.HostConfig.IpcMode = "other", "fake", "shareable"
	return begun(t, e, &Request{Config: c})
}

func joined(name string, change func(binds *[]string)) *Request {
	c := testContainer("sleep", "1000")
	c.Name, c.HostConfig.NetworkMode, c.HostConfig.IpcMode = name, "container:other", "container:other"
	if change != nil {
		change(&c.HostConfig.Binds)
	}
	return &Request{Config: c}
}

// inside reads a file of a container that runs.
func inside(t *testing.T, e *house, id, path string) string {
	t.Helper()
	r, err := e.State.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(r.Proc.Pid) + "/root" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSandboxShared: the network of a container is there as long as somebody is in
// it, with its links; whoever joins has its files, and they change with it.
func TestSandboxShared(t *testing.T) {
	e := keptEngine(t)
	f := fakeNetwork{dir: fakeDir(&e.opt)}
	id := owner(t, e)
	own := t.TempDir() + "/hosts"
	if err := os.WriteFile(own, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := begun(t, e, joined("web", nil))
	second := begun(t, e, joined("second", func(b *[]string) { *b = []string{own + ":/etc/hosts"} }))
	t.Cleanup(func() { _, _ = e.Remove(t.Context(), "second", true, true) })

	same := func(when string) {
		t.Helper()
		for _, ns := range []string{"net", "ipc"} {
			var want string
			for i, c := range []string{id, first, second} {
				r, err := e.State.Get(c)
				if err != nil {
					t.Fatal(err)
				}
				is, err := os.Readlink("/proc/" + strconv.Itoa(r.Proc.Pid) + "/ns/" + ns)
				if i == 0 {
					want = is
				}
				if err != nil || is != want {
					t.Errorf("%s: %s: %s, want %s, %v", when, ns, is, want, err)
				}
			}
		}
		if have := f.state(id); have != "lease link" {
			t.Errorf("%s: the network has %q", when, have)
		}
	}
	same("joined")
	if got := inside(t, e, first, "/etc/hosts"); got != "10.9.8.7\tinside\n" {
		t.Errorf("hosts of who joined: %q", got)
	}
	for _, ref := range []string{"other", "web"} {
		if err := e.Stop(t.Context(), ref, StopOptions{Timeout: new(int)}); err != nil {
			t.Fatal(err)
		}
		begun(t, e, &Request{Ref: ref})
		same("after a restart of " + ref)
	}

	r := sandboxes.New(e.Ground, fakeNetworks(&e.opt))
	if err := r.Update(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	for c, want := range map[string]string{
		id: "10.9.8.7\tinside\n10.9.8.8\tneighbour\n", first: "10.9.8.7\tinside\n10.9.8.8\tneighbour\n", second: "mine\n",
	} {
		if got := inside(t, e, c, "/etc/hosts"); got != want {
			t.Errorf("hosts of %s after an update: %q, want %q", c, got, want)
		}
	}
	if err := r.Update(t.Context(), "web"); err == nil {
		t.Error("the network of another container was updated")
	}

	// What is left of it goes with the last one, whoever that is.
	for _, ref := range []string{"other", "web"} {
		if _, err := e.Remove(t.Context(), ref, true, true); err != nil {
			t.Fatal(err)
		}
		if err := e.Sandboxes.Recover(t.Context()); err != nil {
			t.Error(err)
		}
		if have := f.state(id); have != "lease link" {
			t.Errorf("after rm of %s the network has %q", ref, have)
		}
	}
	if _, err := e.Remove(t.Context(), "second", true, true); err != nil {
		t.Fatal(err)
	}
	assertEmpty(t, e)
}

// TestCrashShared kills the starter of a container that joins another one, and that
// of the other one while somebody has joined it, at every step.
func TestCrashShared(t *testing.T) {
	e := keptEngine(t)
	f := fakeNetwork{dir: fakeDir(&e.opt)}
	id := owner(t, e)
	look := func(where string) *house {
		t.Helper()
		e2, err := open(e.opt)
		if err != nil {
			t.Fatalf("after %q: %v", where, err)
		}
		e2.Program = e.Program
		if have := f.state(id); have != "lease link" {
			t.Fatalf("after %q the network has %q", where, have)
		}
		return e2
	}
	for n := 0; ; n++ {
		where := beginCrashed(t, e, n, joined("web", nil))
		e2 := look(where)
		if _, err := e2.State.Find("web"); err == nil {
			if _, err := e2.Remove(t.Context(), "web", true, true); err != nil {
				t.Fatalf("after %q: %v", where, err)
			}
		}
		if b, err := e2.State.Sandbox(id); err != nil || len(b.Members) > 0 {
			t.Errorf("after %q: members %+v, %v", where, b, err)
		}
		if where == "" {
			break
		}
	}
	begun(t, e, joined("web", nil))
	for n := 0; ; n++ {
		if err := e.Stop(t.Context(), "other", StopOptions{Timeout: new(int)}); err != nil {
			t.Fatal(err)
		}
		where := beginCrashed(t, e, n, &Request{Ref: "other"})
		e2 := look(where)
		if r, st, err := e2.Load(must1(e2.State.Find("web"))); err != nil || !st.Running() {
			t.Fatalf("after %q: %s, %v, %+v", where, st, err, r)
		}
		if where == "" {
			break
		}
	}
	for _, ref := range []string{"web", "other"} {
		if _, err := e.Remove(t.Context(), ref, true, true); err != nil {
			t.Fatal(err)
		}
	}
	assertEmpty(t, e)
}

func must1(s string, err error) string {
	must(err)
	return s
}

// TestSandboxAlone: a sandbox without a container holds its namespaces before and
// after those that run in it.
func TestSandboxAlone(t *testing.T) {
	e := keptEngine(t)
	f := fakeNetwork{dir: fakeDir(&e.opt)}
	r := sandboxes.New(e.Ground, fakeNetworks(&e.opt))
	id, err := r.Create(t.Context(), &api.SandboxConfig{Hostname: "pod", NetworkMode: "fake"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.State.Sandbox(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Keeper.Kill() })
	mode := "sandbox:" + id
	member := func(args ...string) *api.ContainerConfig {
		c := testContainer(args...)
		h := &c.HostConfig
		h.NetworkMode, h.IpcMode, h.UTSMode = mode, mode, mode
		return c
	}
	for range 2 {
		c := member("sh", "-c", "hostname; ip link show lo | head -n 1; for n in net ipc uts; do readlink /proc/self/ns/$n; done; (sleep 0.01 &)")
		c.HostConfig.AutoRemove = true
		out, code, err := runContainer(t, e, c)
		want := "pod\n1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\n"
		for _, ns := range []string{"net", "ipc", "uts"} {
			l, err := os.Readlink("/proc/" + strconv.Itoa(b.Keeper.Pid) + "/ns/" + ns)
			if err != nil {
				t.Fatal(err)
			}
			want += l + "\n"
		}
		if out != want || code != 0 || err != nil {
			t.Errorf("exit code %d, %v:\n%s\nwant:\n%s", code, err, out, want)
		}
	}
	c := member("true")
	c.HostConfig.AutoRemove, c.HostConfig.PidMode = true, mode // the keeper's is the host's
	if _, _, err := runContainer(t, e, c); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("joined the host's pid namespace: %v", err)
	}
	c = member("sleep", "1000")
	c.Name = "web"
	web := begun(t, e, &Request{Config: c})
	if i, err := r.Inspect(id); err != nil || !i.Ready || len(i.Containers) != 1 || i.Containers[0] != web || i.Config.Hostname != "pod" {
		t.Errorf("%+v, %v", i, err)
	}
	if err := r.Remove(id); fault.KindOf(err) != fault.Conflict {
		t.Errorf("removed while a container runs in it: %v", err)
	}
	if err := r.Recover(t.Context()); err != nil || f.state(id) != "lease link" {
		t.Errorf("%v: the network has %q", err, f.state(id))
	}
	if _, err := e.Remove(t.Context(), "web", true, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(id); err != nil {
		t.Error(err)
	}
	if err := r.Remove(id); fault.KindOf(err) != fault.NotFound {
		t.Errorf("removed twice: %v", err)
	}
	if _, _, err := runContainer(t, e, member("true")); fault.KindOf(err) != fault.NotFound {
		t.Errorf("joined what has gone: %v", err)
	}
	assertEmpty(t, e)

	// Its keeper killed, it is not ready, and can be removed.
	if id, err = r.Create(t.Context(), &api.SandboxConfig{}); err != nil {
		t.Fatal(err)
	}
	if b, err = e.State.Sandbox(id); err == nil {
		err = b.Keeper.Kill()
	}
	if i, ierr := r.Inspect(id); err != nil || ierr != nil || i.Ready {
		t.Errorf("%+v, %v, %v", i, ierr, err)
	}
	if err := r.Remove(id); err != nil {
		t.Error(err)
	}
	if _, err := r.Create(t.Context(), &api.SandboxConfig{SharePID: true}); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("a pid namespace, whose first process would have the host's root: %v", err)
	}
	if _, err := r.Create(t.Context(), &api.SandboxConfig{NetworkMode: "nowhere"}); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("a network that is not there: %v", err)
	}
	assertEmpty(t, e)
}

// TestSandboxChain: who joined by way of another one has the network that the first
// one made, and gives it back, whoever of them has gone by then.
func TestSandboxChain(t *testing.T) {
	e := keptEngine(t)
	f := fakeNetwork{dir: fakeDir(&e.opt)}
	id := owner(t, e)
	begun(t, e, joined("web", nil))
	c := testContainer("sleep", "1000")
	c.Name, c.HostConfig.NetworkMode = "last", "container:web"
	begun(t, e, &Request{Config: c})
	t.Cleanup(func() { _, _ = e.Remove(context.Background(), "last", true, true) })
	for _, ref := range []string{"other", "web", "last"} {
		if have := f.state(id); have != "lease link" {
			t.Errorf("before rm of %s the network has %q", ref, have)
		}
		if _, err := e.Remove(t.Context(), ref, true, true); err != nil {
			t.Fatal(err)
		}
	}
	assertEmpty(t, e)
}

// TestJoinStarting: a container that is being started is in the host's namespaces for
// a moment, and nobody joins it there.
func TestJoinStarting(t *testing.T) {
	e := testEngine(t)
	r := sandboxes.New(e.Ground, nil)
	looked := false
	e.watch = func(where string, s *start) {
		if where != "recorded" {
			return
		}
		looked = true
		c := testContainer("true")
		c.HostConfig.NetworkMode = "container:web"
		_, err := r.Prepare(t.Context(), &ground.SandboxWant{
			ID: s.id[1:] + "0", Config: c, Resolved: &state.Resolved{Joined: map[string]string{"network": s.id}}, Runs: true,
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("joined before it has executed its program: %v", err)
		}
	}
	c := testContainer("true")
	c.Name, c.HostConfig.AutoRemove = "web", true
	_, code, err := runContainer(t, e, c)
	e.watch = nil
	if code != 0 || err != nil || !looked {
		t.Errorf("exit code %d, %v, looked %v", code, err, looked)
	}
	assertEmpty(t, e)
}

// TestJoinUnrecorded: where it cannot be written down who joined, nothing is left of the
// start, and what was made before is what it was.
func TestJoinUnrecorded(t *testing.T) {
	e := keptEngine(t)
	owner(t, e)
	q := joined("web", nil)
	made := *q.Config
	made.Name = "kept"
	before := begun(t, e, &Request{Config: &made, Until: Created})
	t.Cleanup(func() { _, _ = e.Remove(context.Background(), "kept", true, true) })
	if err := os.WriteFile(e.opt.RunRoot+"/sandboxes", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Begin(t.Context(), q); err == nil {
		t.Error("it began")
	}
	if _, err := e.State.Find("web"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a record is left: %v", err)
	}
	if _, err := e.Begin(t.Context(), &Request{Ref: "kept"}); err == nil {
		t.Error("it began")
	}
	if r, st, err := e.Load(before); err != nil || st == state.Exited && r.ExitCode == -1 {
		t.Errorf("%v %+v, %v", st, r, err)
	}
	if err := os.Remove(e.opt.RunRoot + "/sandboxes"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"kept", "other"} {
		if _, err := e.Remove(t.Context(), ref, true, true); err != nil {
			t.Error(err)
		}
	}
	assertEmpty(t, e)
}

// TestRetryOfAnother: a keeper that waited to start a container again starts nothing once
// somebody has stopped or started it.
func TestRetryOfAnother(t *testing.T) {
	e := keptEngine(t)
	c := testContainer("sleep", "1000")
	c.Name, c.HostConfig.RestartPolicy = "web", api.RestartPolicy{Name: api.RestartAlways}
	id := begun(t, e, &Request{Config: c})
	if err := e.Stop(t.Context(), id, StopOptions{Timeout: ptr(0)}); err != nil {
		t.Fatal(err)
	}
	if err := e.BeginAsKeeper(t.Context(), &Request{Ref: id}, -1, 0, true); fault.KindOf(err) != fault.Conflict {
		t.Errorf("started what was stopped: %v", err)
	}
	if _, st, err := e.Load(id); st != state.Exited || err != nil {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := e.Remove(t.Context(), id, true, true); err != nil {
		t.Fatal(err)
	}
	assertEmpty(t, e)
}

// TestPIDOf: a container ends with the first process of the pid namespace that it is in,
// whoever's that is, and with nobody in the host's.
func TestPIDOf(t *testing.T) {
	e := keptEngine(t)
	run := func(name, mode string) *state.Record {
		c := testContainer("sleep", "1000")
		c.Name, c.HostConfig.PidMode = name, mode
		id := begun(t, e, &Request{Config: c})
		t.Cleanup(func() { _, _ = e.Remove(context.Background(), name, true, true) })
		r, err := e.State.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := run("other", "")
	run("web", "container:other")
	if r := run("third", "container:web"); r.PIDOf != first.Proc {
		t.Errorf("%+v, want %+v", r.PIDOf, first.Proc)
	}
	run("hosts", "host")
	if r := run("joined", "container:hosts"); r.PIDOf != (state.Proc{}) {
		t.Errorf("%+v of the host", r.PIDOf)
	}
}
