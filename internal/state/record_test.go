package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/lib/jsonread"
	"github.com/tare-engine/tare/internal/lib/jsontest"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func TestEncode(t *testing.T) {
	jsontest.Same(t, appendRecord)
	jsontest.Same(t, appendPending)
	jsontest.Same(t, appendExec)
}

func TestDecode(t *testing.T) {
	jsontest.Reads(t, readRecord, nil)
	jsontest.Reads(t, readPending, nil)
	jsontest.Reads(t, readExec, nil)
	jsontest.Reads(t, readExecKey, nil)
}

// TestReal reads what a container has left: a record while it ran and at the
// end, and the lines of two exec sessions.
func TestReal(t *testing.T) {
	for _, line := range lines(t, "records") {
		var r Record
		jsontest.Agree(t, line, readRecord)
		if err := jsonread.Decode(line, &r, readRecord); err != nil || !bytes.Equal(r.encode(), line) {
			t.Errorf("%s is read as %s, %v", line, r.encode(), err)
		}
	}
	var got, want Exec // a line says what has changed
	for _, line := range lines(t, "execs") {
		jsontest.Agree(t, line, readExec)
		if err := errors.Join(jsonread.Decode(line, &got, readExec), json.Unmarshal(line, &want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v: %v", line, got, want, err)
		}
	}
}

// lines returns the lines of a file in testdata/real.
func lines(t testing.TB, name string) [][]byte {
	t.Helper()
	b, err := os.ReadFile("testdata/real/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// FuzzRecord: a record is read as encoding/json reads it, or refused by both.
func FuzzRecord(f *testing.F) {
	for _, name := range []string{"records", "execs"} {
		for _, line := range lines(f, name) {
			f.Add(line)
		}
	}
	f.Add([]byte(`{"schema":1,"id":"a","started":"2026-11-30T00:00:00Z","proc":{"pid":1,"boot":"x"},"proc":null,"health":{"Status":"healthy"},"config":null,"resolved":{"uidMap":[{"size":1},{}],"uidMap":[{"host":2}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		jsontest.Agree(t, text, readRecord)
		jsontest.Agree(t, text, readPending)
		jsontest.Agree(t, text, readExec)
	})
}

// TestFormat pins what is on disk: a later tare must read it.
func TestFormat(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.UTC)
	r := Record{
		ID: "0123", Name: "web", Image: "tare/base", ImageID: "4567", Resolved: &Resolved{Layers: []string{"l1"}, UIDMap: []IDRange{{0, 9, 8}}, Joined: map[string]string{"ipc": "89"}, Requires: []string{"89"}, VolumesFrom: []ForeignMount{{"/a", "/b", []string{"ro"}}}}, Command: []string{"sh", "-c", "a && b"},
		Created: at, Started: at, Labels: map[string]string{"b": "2", "a": "1"}, Remove: true, Cgroup: "/tare/0123",
		Proc: Proc{Pid: 12, Start: 345, Boot: "b-b"}, ExitCode: 3, Config: []byte(`{"Image":"tare/base"}`),
	}
	got := append(r.encode(), '\n')
	const name = "testdata/record.json"
	if *testkit.Update {
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
