package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/lib/jsontest"
)

func TestEncode(t *testing.T) {
	jsontest.Same(t, appendEvent)
	jsontest.Same(t, appendActor)
	jsontest.Reads(t, readEvent, nil)
}

// FuzzEvent: a line is read as encoding/json reads it, or refused by both.
func FuzzEvent(f *testing.F) {
	b, err := os.ReadFile("testdata/journal")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) { jsontest.Agree(t, text, readEvent) })
}

func event(action, id string) *Event {
	return &Event{Type: Container, Action: action, Actor: Actor{ID: id, Attributes: map[string]string{"image": "tare/base", "name": "web"}}}
}

// all returns what the journal holds, as actions and ids.
func all(t *testing.T, j *Journal, q Query) []string {
	t.Helper()
	if q.Until.IsZero() {
		q.Until = time.Now()
	}
	var got []string
	err := j.Read(t.Context(), q, func(e *Event, line []byte) error {
		var again Event
		if err := json.Unmarshal(line, &again); err != nil || again.TimeNano != e.TimeNano {
			t.Errorf("line %q: %v", line, err)
		}
		got = append(got, e.Action+" "+e.Actor.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAppend(t *testing.T) {
	j := Open(t.TempDir() + "/not/there/yet")
	defer j.Close()
	before := time.Now()
	for _, a := range []string{"create", "start", "die"} {
		if err := j.Append(event(a, "1")); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(j.path())
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	want := fmt.Sprintf(`{"status":"create","id":"1","from":"tare/base","Type":"container","Action":"create","Actor":{"ID":"1","Attributes":{"image":"tare/base","name":"web"}},"scope":"local","time":%d,"timeNano":%d}`, e.Time, e.TimeNano)
	if string(line) != want || e.When().Before(before) || e.Time != e.TimeNano/1e9 {
		t.Errorf("got %s\nwant %s", line, want)
	}
	if got := all(t, j, Query{}); fmt.Sprint(got) != "[create 1 start 1 die 1]" {
		t.Errorf("got %v", got)
	}
	if got := all(t, j, Query{Since: time.Now()}); len(got) != 0 {
		t.Errorf("since now: %v", got)
	}
	if got := all(t, j, Query{Until: before}); len(got) != 0 {
		t.Errorf("until before: %v", got)
	}
	if got := all(t, j, Query{Match: func(e *Event) bool { return e.Action == "die" }}); fmt.Sprint(got) != "[die 1]" {
		t.Errorf("match: %v", got)
	}
}

// TestTorn: what a kill left by half hides nothing but itself.
func TestTorn(t *testing.T) {
	j := Open(t.TempDir())
	defer j.Close()
	torn := []string{head, `{"st`, `{"status":"x","id":"` + `{\"status\":` + `"`, "\n", "\x00\x00", `{"status":"start","Actor":{"ID":"\`}
	for i, s := range torn {
		if err := j.Append(event("start", strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(j.path(), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := j.Append(event("start", "last")); err != nil {
		t.Fatal(err)
	}
	if got := all(t, j, Query{}); fmt.Sprint(got) != "[start 0 start 1 start 2 start 3 start 4 start 5 start last]" {
		t.Errorf("got %v", got)
	}
}

var errEnough = errors.New("enough")

// TestFollow: many writers, journals that are put aside all the time, and a
// reader who misses nothing.
func TestFollow(t *testing.T) {
	root := t.TempDir()
	const writers, each = 8, 300
	ctx := t.Context()
	seen := map[string]int{}
	ready, result := make(chan struct{}), make(chan error)
	go func() {
		j := Open(root)
		result <- j.Read(ctx, Query{}, func(e *Event, _ []byte) error {
			if e.Actor.ID == "first" {
				select {
				case <-ready:
				default:
					close(ready)
				}
				return nil
			}
			if seen[e.Actor.ID]++; len(seen) == writers*each {
				return errEnough
			}
			return nil
		})
	}()
	first := Open(root)
	defer first.Close()
	for waiting := true; waiting; {
		if err := first.Append(event("start", "first")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ready:
			waiting = false
		default:
		}
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			j := Open(root)
			j.size = 200 << 10
			defer j.Close()
			for i := range each {
				if err := j.Append(event("start", fmt.Sprintf("%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := <-result; !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s: seen %d times", id, n)
		}
	}
	entries, err := os.ReadDir(root + "/events")
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	j := Open(t.TempDir())
	result := make(chan error)
	go func() { result <- j.Read(ctx, Query{}, func(*Event, []byte) error { return nil }) }()
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if err := j.Read(t.Context(), Query{Until: time.Now().Add(20 * time.Millisecond)}, nil); err != nil {
		t.Error(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	dir := os.Getenv("TARE_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	j := Open(dir)
	defer j.Close()
	for b.Loop() {
		if err := j.Append(event("start", "0123456789012345678901234567890123456789012345678901234567890123")); err != nil {
			b.Fatal(err)
		}
	}
}
