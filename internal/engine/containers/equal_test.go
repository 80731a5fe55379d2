package containers

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/system"
	"github.com/tare-engine/tare/internal/state/events"
)

// way is one of the ways in which a container begins.
type way struct {
	name string
	rm   bool
	do   func(t *testing.T, e *house, q Request) int // to the end of the run
}

// ways are all of them but a restart policy's, which has a test of its own.
var ways = []way{
	{"run --rm", true, func(t *testing.T, e *house, q Request) int { return attended(t, e, &q) }},
	{"run", false, func(t *testing.T, e *house, q Request) int { return attended(t, e, &q) }},
	{"run -d", false, func(t *testing.T, e *house, q Request) int { return detached(t, e, &q) }},
	{"create and start", false, func(t *testing.T, e *house, q Request) int {
		q.Until = Created
		if _, err := e.Begin(t.Context(), &q); err != nil {
			t.Fatal(err)
		}
		q.Until, q.Config, q.Ref = Running, nil, "web"
		return detached(t, e, &q)
	}},
	{"restart", false, func(t *testing.T, e *house, q Request) int {
		detached(t, e, &q)
		forget(t, e)
		if err := e.Restart(t.Context(), "web", StopOptions{}); err != nil {
			t.Fatal(err)
		}
		code, err := e.Wait(t.Context(), "web", func(m string) { t.Error(m) })
		if err != nil {
			t.Fatal(err)
		}
		return code
	}},
}

func attended(t *testing.T, e *house, q *Request) int {
	t.Helper()
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	q.Attach = &AttachOptions{Streams: stdio.Streams{Out: out, Err: out}, Warn: q.Warn}
	if q.Config.OpenStdin {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		w.Close()
		q.Attach.In = r
	}
	b, err := e.Begin(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	code, err := b.Wait(t.Context(), q.Attach)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func detached(t *testing.T, e *house, q *Request) int {
	t.Helper()
	if _, err := e.Begin(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	code, err := e.Wait(t.Context(), "web", func(m string) { t.Error(m) })
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// shown is where tests leave what a container was made from, in whatever
// process that was.
func shown(o *options) string { return o.RunRoot + "/shown" }

// watching has an engine show what its containers are made from.
func watching(e *house) {
	e.watch = func(where string, s *start) {
		text, err := json.Marshal(s.comp.Spec)
		if err != nil {
			panic(err)
		}
		put := func(name string, b []byte) {
			// Somebody may be reading the one of the run before.
			path := shown(&e.opt) + "/" + name
			if err := os.WriteFile(path+".new", b, 0o600); err != nil {
				panic(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				panic(err)
			}
		}
		if put("spec "+where, text); where != "recorded" {
			return
		}
		record, err := json.Marshal(&s.record)
		if err != nil {
			panic(err)
		}
		put("record", record)
		c := s.box
		p, err := container.Compile(c)
		if err != nil {
			panic(err)
		}
		var b bytes.Buffer
		if err := p.Format(&b); err != nil {
			panic(err)
		}
		put("plan", b.Bytes())
	}
}

// forget removes what was shown and told of an earlier run.
func forget(t *testing.T, e *house) {
	t.Helper()
	for _, dir := range []string{shown(&e.opt), e.RunRoot + "/events"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(shown(&e.opt), 0o700); err != nil {
		t.Fatal(err)
	}
}

// story is all that there is to see of a run, without what differs from one
// run to the next.
type story struct {
	code     int
	warnings []string
	record   map[string]any // as it was when the program began
	ended    map[string]any // as it was after the end; nil with --rm
	created  string         // the event; empty where it was of an earlier run
	events   []string
	receipt  map[string]any
	plan     string
	specs    map[string]string // at the end of Compose, in --plan, at the clone
}

// runWay runs a configuration in one way and tells the story.
func runWay(t *testing.T, e *house, w way, edit func(*api.ContainerConfig), passed int) *story {
	t.Helper()
	c := testContainer("sh", "-c", "exit 3")
	c.Name = "web"
	edit(c)
	c.HostConfig.AutoRemove = w.rm
	s := &story{specs: map[string]string{}}
	forget(t, e)
	watching(e)
	defer func() { e.watch = nil }()
	if _, err := e.Begin(t.Context(), &Request{Config: c, Passed: passed, Until: Planned, Plan: &bytes.Buffer{}}); lacks(err) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{idIn(t, e, "spec plan"): "ID"}
	s.specs["plan"] = read(t, e, "spec plan")
	s.code = w.do(t, e, Request{Config: c, Passed: passed, Warn: func(text string) { s.warnings = append(s.warnings, text) }})
	ids[idIn(t, e, "spec clone")] = "ID"
	for _, where := range []string{"compose", "clone"} {
		s.specs[where] = read(t, e, "spec "+where)
	}
	clean := func(text string) string {
		for id, word := range ids {
			text = strings.ReplaceAll(text, id, word)
			text = strings.ReplaceAll(text, id[:12], word)
		}
		return text
	}
	for where := range s.specs {
		s.specs[where] = clean(s.specs[where])
	}
	s.plan = clean(read(t, e, "plan"))
	s.record = object(t, clean(read(t, e, "record")))
	past := system.EventOptions{Since: time.Unix(1, 0), Until: time.Now()}
	if err := e.System.Events(t.Context(), past, func(ev *system.Event, _ []byte) error {
		if ev.Type != events.Container {
			return nil
		}
		a := ev.Actor.Attributes
		if r := a["receipt"]; r != "" {
			s.receipt = object(t, clean(r))
			a["receipt"] = "RECEIPT"
		}
		text := clean(fmt.Sprint(ev.Action, a))
		if ev.Action == "create" {
			s.created = text
		}
		s.events = append(s.events, text)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !w.rm {
		id, err := e.State.Find("web")
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.State.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		s.ended = object(t, clean(string(text)))
		if receipt, ok := s.ended["receipt"].(map[string]any); ok {
			drop(receipt, forgivenReceipt)
		}
		if _, err := e.Remove(t.Context(), "web", true, true); err != nil {
			t.Fatal(err)
		}
	}
	s.forgive()
	return s
}

func read(t *testing.T, e *house, name string) string {
	t.Helper()
	b, err := os.ReadFile(shown(&e.opt) + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var hexID = regexp.MustCompile(`[0-9a-f]{64}`)

// idIn is the container's id: the one in the path of its cgroup.
func idIn(t *testing.T, e *house, name string) string {
	t.Helper()
	o := object(t, read(t, e, name))
	path, _ := o["linux"].(map[string]any)["cgroupsPath"].(string)
	id := hexID.FindString(path)
	if id == "" {
		t.Fatalf("no id in %q", path)
	}
	return id
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return o
}

// What differs on purpose, or from one run to the next.
var (
	// A container that is removed when it ends says so, and skips syncs. One in
	// the foreground has no keeper, and nobody checks its health.
	forgivenRecord = []string{
		"remove", "monitor", "health", "config.HostConfig.AutoRemove",
		"created", "started", "proc", // times and processes
		"finished", "exitCode", "exitSignal", "backoff", // of the run before
	}
	// Times and processes; and what the keeper's checks found, if it got to one.
	forgivenEnded   = []string{"created", "started", "finished", "proc", "health"}
	forgivenReceipt = []string{
		"Started", "Finished", "WallTime", "CPUTime", "CPUUser", "CPUSystem", "CPUThrottled", "MemoryPeak", "Pressure",
		"ReadBytes", "WriteBytes", "ReadOps", "WriteOps",
	}
	// What was done to make the container begin.
	forgivenEvents = []string{"create", "attach", "restart", "destroy"}

	// The streams, and that the layer of --rm skips syncs; and so the numbers of
	// what follows.
	forgivenPlan = regexp.MustCompile(`(?m)^.*(dup3\(\[std|"volatile").*\n| \[std(in|out|err)\]|^(host|child) +\d+`)
)

// drop takes fields away, by their paths.
func drop(o map[string]any, names []string) {
	for _, n := range names {
		at, path := o, strings.Split(n, ".")
		for _, p := range path[:len(path)-1] {
			at, _ = at[p].(map[string]any)
		}
		delete(at, path[len(path)-1])
	}
}

// forgive takes away what differs on purpose.
func (s *story) forgive() {
	drop(s.record, forgivenRecord)
	drop(s.ended, forgivenEnded)
	drop(s.receipt, forgivenReceipt)
	s.events = slices.DeleteFunc(s.events, func(ev string) bool {
		return slices.ContainsFunc(forgivenEvents, func(f string) bool { return strings.HasPrefix(ev, f+"map[") })
	})
	for i := range s.events {
		s.events[i] = regexp.MustCompile(`execDuration:\d+`).ReplaceAllString(s.events[i], "execDuration:N")
	}
	s.plan = forgivenPlan.ReplaceAllString(s.plan, "")
}

// TestEqual: however a container begins, it is the same container: the same
// record, events with their attributes, receipt, warnings and system calls.
func TestEqual(t *testing.T) {
	e := keptEngine(t)
	for _, tt := range allConfigs(equalHost(t, e)) {
		t.Run(tt.name, func(t *testing.T) {
			allowed(t, e, tt.name)
			var first, kept *story
			for _, w := range ways {
				s := runWay(t, e, w, tt.edit, 0)
				if kept == nil && s.ended != nil {
					kept = s
				}
				if s.ended != nil && !reflect.DeepEqual(s.ended, kept.ended) {
					t.Errorf("%s: the record after the end differs:\n%v\n%v", w.name, diff(s.ended, kept.ended), diff(kept.ended, s.ended))
				}
				for where, text := range s.specs {
					if text != s.specs["compose"] {
						t.Errorf("%s: the specification in %s is not what was composed:\n%s\n%s", w.name, where, text, s.specs["compose"])
					}
				}
				if first == nil {
					first = s
					if s.code != 3 || s.receipt == nil {
						t.Errorf("%s: exit code %d, receipt %v", w.name, s.code, s.receipt)
					}
					continue
				}
				for _, d := range []struct {
					what      string
					got, want any
				}{
					{"exit code", s.code, first.code},
					{"warnings", s.warnings, first.warnings},
					{"record", s.record, first.record},
					{"events", s.events, first.events},
					{"creation", cmp.Or(s.created, first.created), first.created},
					{"receipt", s.receipt, first.receipt},
					{"plan", s.plan, first.plan},
				} {
					if !reflect.DeepEqual(d.got, d.want) {
						t.Errorf("%s: %s differs from %s:\n%v\n%v", w.name, d.what, ways[0].name, diff(d.got, d.want), diff(d.want, d.got))
					}
				}
			}
		})
	}
}

// TestEqualNotify: what a service manager brings is composed, and not added
// afterwards: --plan shows it too.
func TestEqualNotify(t *testing.T) {
	e := keptEngine(t)
	dir := t.TempDir()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/manager", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", dir+"/manager")
	for _, w := range ways {
		s := runWay(t, e, w, func(*api.ContainerConfig) {}, 0)
		if !strings.Contains(s.specs["compose"], "/run/notify.sock") {
			t.Errorf("%s: no socket", w.name)
		}
		for where, text := range s.specs {
			if text != s.specs["compose"] {
				t.Errorf("%s: the specification in %s is not what was composed:\n%s\n%s", w.name, where, text, s.specs["compose"])
			}
		}
	}
}

// TestEqualPassed: so are descriptors that a service manager has passed. A start
// of a container that exists passes its own.
func TestEqualPassed(t *testing.T) {
	e := keptEngine(t)
	t.Setenv("LISTEN_FDNAMES", "web:admin")
	for _, w := range ways {
		if w.name == "restart" {
			continue // nobody passes it anything
		}
		s := runWay(t, e, w, func(*api.ContainerConfig) {}, 2)
		if !strings.Contains(s.specs["compose"], "LISTEN_FDS=2") || !strings.Contains(s.specs["compose"], "LISTEN_FDNAMES=web:admin") {
			t.Errorf("%s: no descriptor", w.name)
		}
		for where, text := range s.specs {
			if text != s.specs["compose"] {
				t.Errorf("%s: the specification in %s is not what was composed:\n%s\n%s", w.name, where, text, s.specs["compose"])
			}
		}
	}
}

// diff is what of a is not in b.
func diff(a, b any) string {
	lines := func(v any) []string {
		text, ok := v.(string)
		if !ok {
			j, err := json.MarshalIndent(v, "", " ")
			if err != nil {
				panic(err)
			}
			text = string(j)
		}
		return strings.Split(text, "\n")
	}
	other := lines(b)
	return strings.Join(slices.DeleteFunc(lines(a), func(l string) bool { return slices.Contains(other, l) }), "\n")
}

// TestEqualRetry: a start by a restart policy is like the one before it, for
// every configuration.
func TestEqualRetry(t *testing.T) {
	e := keptEngine(t)
	for _, tt := range allConfigs(equalHost(t, e)) {
		t.Run(tt.name, func(t *testing.T) {
			allowed(t, e, tt.name)
			retried(t, e, tt.edit)
		})
	}
}

func retried(t *testing.T, e *house, edit func(*api.ContainerConfig)) {
	t.Helper()
	forget(t, e)
	watching(e)
	defer func() { e.watch = nil }()
	c := testContainer("sh", "-c", "exit 3")
	c.Name = "web"
	edit(c)
	c.HostConfig.RestartPolicy = api.RestartPolicy{Name: api.RestartOnFailure, MaximumRetryCount: 1}
	if _, err := e.Begin(t.Context(), &Request{Config: c}); lacks(err) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	var stories []*story
	for restarts := range 2 {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			info, err := e.Inspect("web", false)
			if err != nil {
				t.Fatal(err)
			}
			if info.RestartCount > restarts || info.RestartCount == restarts && info.State.Status == api.StatusExited {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("run %d: %+v", restarts, info.State)
			}
		}
		s := &story{record: object(t, read(t, e, "record")), plan: read(t, e, "plan")}
		s.forgive()
		delete(s.record, "restarts")
		stories = append(stories, s)
	}
	if !reflect.DeepEqual(stories[0], stories[1]) {
		t.Errorf("the policy's start differs:\n%s\n%s", diff(stories[0].record, stories[1].record), diff(stories[0].plan, stories[1].plan))
	}
	// An end is seen before it is told.
	if _, err := e.Wait(t.Context(), "web", func(m string) { t.Error(m) }); err != nil {
		t.Fatal(err)
	}
	var dies []string
	if err := e.System.Events(t.Context(), system.EventOptions{Since: time.Unix(1, 0), Until: time.Now()}, func(ev *system.Event, _ []byte) error {
		if ev.Action == "die" {
			a := ev.Actor.Attributes
			receipt := object(t, a["receipt"])
			drop(receipt, forgivenReceipt)
			a["receipt"], a["execDuration"] = fmt.Sprint(receipt), "N"
			dies = append(dies, fmt.Sprint(a))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(dies) != 2 || dies[0] != dies[1] {
		t.Errorf("ends told as %q", dies)
	}
	if _, err := e.Remove(t.Context(), "web", true, true); err != nil {
		t.Fatal(err)
	}
}
