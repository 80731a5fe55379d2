package containers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/state"
)

// TestDamagedRecord: one record that cannot be read hides no other, and can
// be removed by force.
func TestDamagedRecord(t *testing.T) {
	e := testEngine(t)
	c := testContainer("true")
	c.Name = "web"
	if _, code, err := runContainer(t, e, c); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	id := strings.Repeat("0123456789abcdef", 4)
	if err := os.WriteFile(filepath.Join(e.Root, "containers", id+".json"), []byte(`{"id`), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := e.List(t.Context(), api.ListOptions{All: true})
	if err != nil || len(list) != 2 {
		t.Fatalf("listed %+v, %v", list, err)
	}
	if _, err := e.Remove(t.Context(), id[:12], false, false); err == nil {
		t.Error("removed without force")
	}
	for _, ref := range []string{id[:12], "web"} {
		if _, err := e.Remove(t.Context(), ref, true, false); err != nil {
			t.Error(err)
		}
	}
	assertEmpty(t, e)
}

// TestEndedUnseen: a container whose engine was killed after its start, and
// that has ended since, is kept as exited.
func TestEndedUnseen(t *testing.T) {
	e := testEngine(t)
	id := strings.Repeat("0123456789abcdef", 4)
	for _, started := range []bool{true, false} {
		if err := e.State.Create(&state.Record{ID: id, Name: "web", Proc: state.Proc{Pid: 1, Start: 1}}); err != nil {
			t.Fatal(err)
		}
		p, err := e.State.Begin(state.Pending{ID: id, Name: "web"})
		if err != nil {
			t.Fatal(err)
		}
		if started {
			p.MarkStarted()
		}
		p.Leave()
		if err := e.Recover(); err != nil {
			t.Fatal(err)
		}
		list, err := e.List(t.Context(), api.ListOptions{All: true})
		if err != nil || len(list) == 1 != started {
			t.Errorf("started %v: listed %+v, %v", started, list, err)
		}
		if started {
			if _, err := e.Remove(t.Context(), id, false, false); err != nil {
				t.Error(err)
			}
		}
	}
	assertEmpty(t, e)
}
