package cold

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
)

func TestBarLine(t *testing.T) {
	at := time.Unix(1000, 0)
	l := &bar{digest: "sha256:0123456789abcdef", size: 100e6, state: api.Downloading}
	l.sample(at)
	l.got = 20e6
	l.sample(at.Add(time.Second))
	for width, want := range map[int]string{
		80: "0123456789ab: Downloading [=====>                      ] 20MB/100MB  20MB/s  4s",
		50: "0123456789ab: Downloading  20MB/100MB  20MB/s  4s",
		20: "0123456789ab: Downl",
	} {
		if got := l.line(width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	l.got = 200e6 // some of it twice
	if got := l.line(200); !strings.Contains(got, "[==================================================="+"] 100MB/100MB") {
		t.Errorf("all: %q", got)
	}
	l.state = api.Complete
	if got := l.line(80); got != "0123456789ab: Pull complete" {
		t.Errorf("done: %q", got)
	}
}

// TestBars draws again only what has changed, from the first line on.
func TestBars(t *testing.T) {
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	b := newBars(out, func() time.Time { return time.Unix(0, 0) })
	b.start(time.Hour)
	b.note("latest: Pulling")
	b.set("sha256:aa", 5, api.Waiting)
	b.set("sha256:bb", 5, api.Waiting)
	b.draw()
	b.draw()
	b.set("sha256:bb", 5, api.Exists)
	b.note("a note")
	b.close()
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := "latest: Pulling\n" + "aa: Waiting\nbb: Waiting\n" +
		"\x1b[A\x1b[A\r\x1b[J" + "a note\n" + "aa: Waiting\nbb: Already exists\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
