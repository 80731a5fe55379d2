package state

import (
	"errors"
	"os"
	"testing"

	"github.com/tare-engine/tare/fault"
)

func testStore(t *testing.T) *Store {
	t.Helper()
	return Open(t.TempDir(), t.TempDir())
}

// id is an id of the right length.
func id(first string) string {
	return first + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"[len(first):]
}

// TestPutRemoved: the last word of a run does not bring back what somebody
// has removed meanwhile.
func TestPutRemoved(t *testing.T) {
	for _, remove := range []bool{false, true} {
		s := testStore(t)
		r := Record{ID: id("a"), Name: "web", Remove: remove, Config: []byte("{}")}
		if err := errors.Join(s.Reserve(r.Name, r.ID), s.Create(&r)); err != nil {
			t.Fatal(err)
		}
		r.Exited, r.ExitCode = true, 3
		if err := s.Put(&r); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(r.ID)
		if err != nil || got.ExitCode != 3 {
			t.Errorf("remove %v: record %+v, %v", remove, got, err)
		}
		if err := errors.Join(s.Delete(r.ID, r.Name, remove), s.Put(&r)); err != nil {
			t.Error(err)
		}
		if _, err := s.Get(r.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("remove %v: a removed record is back: %v", remove, err)
		}
		entries, err := os.ReadDir(s.dir(remove))
		for _, e := range entries {
			if e.Name() != ".names" {
				t.Errorf("remove %v: %s is left", remove, e.Name())
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestFree: a name is only given back by who has it.
func TestFree(t *testing.T) {
	s := testStore(t)
	if err := s.Reserve("web", id("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.free("web", id("b")); err != nil || s.Owner("web") != id("a") {
		t.Errorf("the name went: %v", err)
	}
	if err := s.Reserve("web", id("b")); fault.KindOf(err) != fault.Exists {
		t.Errorf("reserved twice: %v", err)
	}
	if err := errors.Join(s.free("web", id("a")), s.Reserve("web", id("b"))); err != nil {
		t.Error(err)
	}
}

// TestCutOff: a start whose process lives is left alone, one that nobody
// holds is undone once, and what it says of its id does not count.
func TestCutOff(t *testing.T) {
	s := testStore(t)
	live, err := s.Begin(Pending{ID: id("a"), Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer live.End()
	if err := os.WriteFile(s.run+"/pending/"+id("b"), []byte(`{"id":"../../c","name":"db"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var undone []Pending
	undo := func(p *Pending) error { undone = append(undone, *p); return nil }
	if err := errors.Join(s.CutOff(undo), s.CutOff(undo)); err != nil {
		t.Fatal(err)
	}
	if len(undone) != 1 || undone[0].ID != id("b") || undone[0].Name != "db" {
		t.Errorf("undone: %+v", undone)
	}
}
