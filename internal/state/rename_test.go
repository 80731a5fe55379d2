package state

import "testing"

// TestCurrent: who has a record in memory sees what others make of it, however
// often they do: the third file may have the number of the first one's inode.
func TestCurrent(t *testing.T) {
	s := testStore(t)
	for _, remove := range []bool{false, true} {
		r := &Record{ID: id("c"), Name: "one", Remove: remove, Config: []byte("{}")}
		if err := s.Create(r); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			held := *r
			other, err := s.Get(r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Rename(other, "another"); err != nil {
				t.Fatal(err)
			}
			other.Restarts++
			if err := s.Put(other); err != nil {
				t.Fatal(err)
			}
			if there, err := s.Current(&held); err != nil || !there || held.Name != "another" || held.Restarts != other.Restarts {
				t.Fatalf("there %v, error %v: %+v", there, err, held)
			}
			if err := s.Rename(&held, "one"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Current(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Delete(r.ID, "one", remove); err != nil {
			t.Fatal(err)
		}
	}
}
