package state

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func testStore(t *testing.T) *Store {
	t.Helper()
	return Open(t.TempDir(), t.TempDir(), func(id string) string { return "name_" + id[:4] })
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
			if e.Name() != ".names" && e.Name() != ".spare" {
				t.Errorf("remove %v: %s is left", remove, e.Name())
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestFree: a name is only given back by who has it, or for one that is gone.
func TestFree(t *testing.T) {
	s := testStore(t)
	owner, err := s.Begin(Pending{ID: id("a")})
	if err != nil {
		t.Fatal(err)
	}
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
	owner.End()
	// No record and no slot: b is gone, as a --rm container is after a reboot.
	if err := s.Reserve("web", id("c")); err != nil || s.Owner("web") != id("c") {
		t.Errorf("the name of one that is gone: %v", err)
	}
	s.FreeStale()
	if s.Owner("web") != "" {
		t.Error("and once more")
	}
}

// TestReserveGarbage: what stands for a name and is nobody's blocks it for nobody.
func TestReserveGarbage(t *testing.T) {
	s := testStore(t)
	if err := s.Reserve("first", id("a")); err != nil { // makes the directory
		t.Fatal(err)
	}
	for name, make := range map[string]func(path string) error{
		"file":  func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"no id": func(path string) error { return os.Symlink("../../etc", path) },
		"short": func(path string) error { return os.Symlink("abcd", path) },
	} {
		if err := make(s.nameLink("web")); err != nil {
			t.Fatal(err)
		}
		if err := s.Reserve("web", id("c")); err != nil || s.Owner("web") != id("c") {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.free("web", id("c")); err != nil {
			t.Error(err)
		}
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
	dead, err := s.Begin(Pending{ID: id("b"), Name: "db", Cgroup: "/tare/b", Remove: true})
	if err != nil {
		t.Fatal(err)
	}
	dead.Leave()
	forged, err := s.Begin(Pending{ID: "../../c", Name: "db"})
	if err != nil {
		t.Fatal(err)
	}
	forged.Leave()
	var undone []Pending
	undo := func(p *Pending) error { undone = append(undone, *p); return nil }
	if err := errors.Join(s.CutOff(undo), s.CutOff(undo)); err != nil {
		t.Fatal(err)
	}
	if len(undone) != 1 || undone[0].ID != id("b") || undone[0].Name != "db" || undone[0].Cgroup != "/tare/b" || !undone[0].Remove {
		t.Errorf("undone: %+v", undone)
	}
	// Slots are used again.
	for range 3 {
		p, err := s.Begin(Pending{ID: id("c")})
		if err != nil || p.at == live.at || p.at > 2*slotSize {
			t.Fatalf("slot at %d, error %v", p.at, err)
		}
		p.End()
	}
	// What could not be undone stays.
	p, err := s.Begin(Pending{ID: id("d")})
	if err != nil {
		t.Fatal(err)
	}
	p.Leave()
	if err := s.CutOff(func(*Pending) error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	undone = nil
	if err := s.CutOff(undo); err != nil || len(undone) != 1 {
		t.Errorf("second try: %v, %+v", err, undone)
	}
	// What stays is not undone as if it had never been.
	kept, err := s.Begin(Pending{ID: id("e"), Name: "e", Remove: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Keep(); err != nil {
		t.Fatal(err)
	}
	kept.Leave()
	undone = nil
	if err := s.CutOff(undo); err != nil || len(undone) != 1 || !undone[0].Kept || undone[0].ID != id("e") {
		t.Errorf("kept: %v, %+v", err, undone)
	}
}

// TestSpare: the record of a --rm container is written into the file of one
// that is gone, and reads as if it were new.
func TestSpare(t *testing.T) {
	s := testStore(t)
	long := &Record{ID: id("a"), Name: "name_" + id("a")[:4], Remove: true, Image: strings.Repeat("x", 9000)}
	if err := s.Create(long); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(long.ID, long.Name, true); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.IDs(); err != nil || len(ids) != 0 {
		t.Fatalf("after the removal: %v, %v", ids, err)
	}
	for _, letter := range []string{"b", "c"} { // one from the spare, one new
		if err := s.Create(&Record{ID: id(letter), Remove: true, Image: "short"}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Get(id(letter)); err != nil || r.Image != "short" || r.ID != id(letter) {
			t.Errorf("%s: %+v, %v", letter, r, err)
		}
	}
	if got, err := s.Find("name_" + id("c")[:4]); err != nil || got != id("c") {
		t.Errorf("by its made-up name: %s, %v", got, err)
	}
	for _, letter := range []string{"b", "c"} { // one becomes the spare
		if err := s.Delete(id(letter), "", true); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := s.IDs(); err != nil || len(ids) != 0 {
		t.Errorf("after the removal: %v, %v", ids, err)
	}
}
