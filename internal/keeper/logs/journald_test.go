package logs

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// TestJournald speaks with a journal of the test's own.
func TestJournald(t *testing.T) {
	path := t.TempDir() + "/socket"
	c := &Config{Driver: Journald, Fields: []Attr{{"CONTAINER_NAME", "web"}}, Attrs: []Attr{{"_com.example/a", "1\n2"}}}
	if _, err := openJournalAt(c, path); fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "no journal") {
		t.Errorf("without a journal: %v", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	j, err := openJournalAt(c, path)
	if err != nil {
		t.Fatal(err)
	}
	w := &Writer{sink: j}
	w.Write(Stdout, []byte("one\n\ntw"), t0)
	w.Write(Stderr, []byte("a\x00\xffb\n"), t0)
	w.Write(Stdout, []byte(strings.Repeat("o", maxLine)+"end"), t0)
	if err := w.End(t0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	common := map[string]string{"CONTAINER_NAME": "web", "COM_EXAMPLE_A": "1\n2"}
	want := []map[string]string{
		{"PRIORITY": "6", "MESSAGE": "one"},
		{"PRIORITY": "3", "MESSAGE": "a\x00\xffb"},
		{"PRIORITY": "6", "MESSAGE": "tw" + strings.Repeat("o", maxLine-2), "CONTAINER_PARTIAL_MESSAGE": "true"},
		{"PRIORITY": "6", "MESSAGE": "ooend"},
	}
	for _, fields := range want {
		b := make([]byte, 1<<16)
		n, err := unix.Read(fd, b)
		if err != nil {
			t.Fatal(err)
		}
		got := parseDatagram(t, b[:n])
		for k, v := range common {
			fields[k] = v
		}
		if len(got) != len(fields) {
			t.Errorf("got %v, want %v", got, fields)
		}
		for k, v := range fields {
			if got[k] != v {
				t.Errorf("%s: got %q, want %q", k, got[k], v)
			}
		}
	}
}

func parseDatagram(t *testing.T, b []byte) map[string]string {
	fields := map[string]string{}
	for len(b) > 0 {
		key, rest, ok := strings.Cut(string(b), "\n")
		if !ok || len(rest) < 9 {
			t.Fatalf("malformed datagram: %q", b)
		}
		n := binary.LittleEndian.Uint64([]byte(rest))
		fields[key] = rest[8 : 8+n]
		if rest[8+n] != '\n' {
			t.Fatalf("malformed field %s", key)
		}
		b = []byte(rest[9+n:])
	}
	return fields
}
