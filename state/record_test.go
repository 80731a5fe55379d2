package state

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/jsontest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestEncode(t *testing.T) {
	jsontest.Same(t, appendRecord)
	jsontest.Same(t, appendPending)
	jsontest.Same(t, appendProc)
}

// TestFormat pins what is on disk: a later tare must read it.
func TestFormat(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.UTC)
	r := Record{
		ID: "0123", Name: "web", Image: "tare/base", ImageID: "4567", Command: []string{"sh", "-c", "a && b"},
		Created: at, Started: at, Labels: map[string]string{"b": "2", "a": "1"}, Remove: true, Cgroup: "/tare/0123",
		Proc: Proc{Pid: 12, Start: 345, Boot: "b-b"}, ExitCode: 3, Config: []byte(`{"Image":"tare/base"}`),
	}
	got := append(r.encode(), '\n')
	const name = "testdata/record.json"
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %swant %s", got, want)
	}
}
