package logs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// piece is what a chunk of a test is.
type piece struct {
	stream byte
	text   string
	at     int // seconds after t0
}

func config(driver string) *Config {
	c := &Config{Driver: driver, MaxSize: DefaultMaxSize, MaxFile: DefaultMaxFile}
	if driver != Local {
		c.File = "x.log"
	}
	return c
}

func fill(t testing.TB, dir string, c *Config, list []piece) {
	t.Helper()
	w, err := Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		w.Write(o.stream, []byte(o.text), t0.Add(time.Duration(o.at)*time.Second))
	}
	if err := w.End(t0.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if lost, err := w.Lost(); lost > 0 || err != nil {
		t.Fatalf("lost %d: %v", lost, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// read returns both streams, and both in one.
func read(t testing.TB, dir string, c *Config, o *ReadOptions) (stdout, stderr, both string) {
	t.Helper()
	var a, b, ab bytes.Buffer
	if err := Read(t.Context(), dir, c, o, &a, &b); err != nil {
		t.Fatal(err)
	}
	if err := Read(t.Context(), dir, c, o, &ab, &ab); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String(), ab.String()
}

func all() *ReadOptions { return &ReadOptions{Tail: -1} }

var fileDrivers = []string{Local, JSONFile, K8sFile}

func TestRead(t *testing.T) {
	output := []piece{
		{Stdout, "one\n", 0},
		{Stderr, "two\n", 1},
		{Stdout, "thr", 2},
		{Stdout, "ee\nfour\n", 3},
		{Stderr, "five\n", 4},
		{Stdout, "six", 5},
	}
	at := func(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }
	tests := []struct {
		name   string
		o      ReadOptions
		out    string
		err    string
		driver string // only
	}{
		{name: "all", o: ReadOptions{Tail: -1}, out: "one\nthree\nfour\nsix", err: "two\nfive\n"},
		{name: "tail 0", o: ReadOptions{Tail: 0}},
		{name: "tail 1", o: ReadOptions{Tail: 1}, out: "six"},
		{name: "tail 2", o: ReadOptions{Tail: 2}, out: "six", err: "five\n"},
		{name: "tail 4", o: ReadOptions{Tail: 4}, out: "three\nfour\nsix", err: "five\n"},
		{name: "tail 100", o: ReadOptions{Tail: 100}, out: "one\nthree\nfour\nsix", err: "two\nfive\n"},
		{name: "since", o: ReadOptions{Tail: -1, Since: at(3)}, out: "three\nfour\nsix", err: "five\n", driver: JSONFile},
		{name: "since in a line", o: ReadOptions{Tail: -1, Since: at(3)}, out: "four\nsix", err: "five\n", driver: Local},
		{name: "since in a line, k8s", o: ReadOptions{Tail: -1, Since: at(3)}, out: "four\nsix", err: "five\n", driver: K8sFile},
		{name: "since later", o: ReadOptions{Tail: -1, Since: at(4)}, out: "six", err: "five\n"},
		{name: "until", o: ReadOptions{Tail: -1, Until: at(1)}, out: "one\n", err: "two\n"},
		{name: "window", o: ReadOptions{Tail: -1, Since: at(1), Until: at(1)}, err: "two\n"},
		{name: "tail and since", o: ReadOptions{Tail: 2, Since: at(5)}, out: "six", driver: Local},
		{
			name: "timestamps", o: ReadOptions{Tail: 4, Timestamps: true}, driver: Local,
			out: "2026-01-02T03:04:07.678000000Z three\n2026-01-02T03:04:08.678000000Z four\n2026-01-02T03:04:10.678000000Z six",
			err: "2026-01-02T03:04:09.678000000Z five\n",
		},
		{
			name: "details", o: ReadOptions{Tail: 1, Timestamps: true, Details: true}, driver: Local,
			out: "2026-01-02T03:04:10.678000000Z k%3D=v,x=y+z six",
		},
	}
	for _, driver := range fileDrivers {
		dir := t.TempDir()
		c := config(driver)
		c.Attrs = []Attr{{"k=", "v"}, {"x", "y z"}}
		fill(t, dir, c, output)
		for _, tt := range tests {
			if tt.driver != "" && tt.driver != driver {
				continue
			}
			t.Run(driver+"/"+tt.name, func(t *testing.T) {
				stdout, stderr, _ := read(t, dir, c, &tt.o)
				if stdout != tt.out || stderr != tt.err {
					t.Errorf("got %q and %q, want %q and %q", stdout, stderr, tt.out, tt.err)
				}
			})
		}
	}
}

// TestFiles compares what the drivers write with the formats' definitions.
func TestFiles(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	output := []piece{
		{Stdout, "a \"q\" \\ <&> \t\x00\u2028\r\n", 0},
		{Stderr, "par", 1},
		{Stdout, "\xff\n\n", 2},
		{Stderr, "tial\n", 3},
		{Stdout, long + "yy\n", 4},
		{Stdout, "end", 5},
	}
	want := map[string]string{
		JSONFile: `{"log":"a \"q\" \\ \u003c\u0026\u003e \u0009\u0000\u2028\r\n","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-02T03:04:05.678Z"}
{"log":"\ufffd\n","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-02T03:04:07.678Z"}
{"log":"\n","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-02T03:04:07.678Z"}
{"log":"partial\n","stream":"stderr","attrs":{"tag":"t"},"time":"2026-01-02T03:04:08.678Z"}
{"log":"` + long + `","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-02T03:04:09.678Z"}
{"log":"yy\n","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-02T03:04:09.678Z"}
{"log":"end","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-02T04:04:05.678Z"}
`,
		K8sFile: "2026-01-02T03:04:05.678000000Z stdout F a \"q\" \\ <&> \t\x00\u2028\r\n" +
			"2026-01-02T03:04:06.678000000Z stderr P par\n" +
			"2026-01-02T03:04:07.678000000Z stdout F \xff\n" +
			"2026-01-02T03:04:07.678000000Z stdout F \n" +
			"2026-01-02T03:04:08.678000000Z stderr F tial\n" +
			"2026-01-02T03:04:09.678000000Z stdout P " + long + "\n" +
			"2026-01-02T03:04:09.678000000Z stdout F yy\n" +
			"2026-01-02T03:04:10.678000000Z stdout P end\n",
	}
	for driver, text := range want {
		dir, c := t.TempDir(), config(driver)
		c.Attrs = []Attr{{"tag", "t"}}
		fill(t, dir, c, output)
		b, err := os.ReadFile(dir + "/x.log")
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != text {
			t.Errorf("%s:\n%s\nwant:\n%s", driver, b, text)
		}
	}
}

// TestRandom writes random output in random pieces through rotations and
// reopened writers, and compares what is read with the end of what was
// written.
func TestRandom(t *testing.T) {
	for _, driver := range fileDrivers {
		t.Run(driver, func(t *testing.T) {
			for seed := range uint64(25) {
				random(t, driver, seed)
			}
		})
	}
}

func random(t *testing.T, driver string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	dir, c := t.TempDir(), config(driver)
	c.MaxSize, c.MaxFile = 1024+r.Int64N(20000), 1+r.IntN(4)
	w, err := Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	var want [3]strings.Builder
	var both strings.Builder
	for i := range 200 {
		var text []byte
		for range r.IntN(4) {
			text = append(text, fmt.Sprintf("%d:%d %s\n", seed, i, strings.Repeat("z", r.IntN(100)))...)
		}
		if len(text) > 0 && r.IntN(3) == 0 && driver != JSONFile {
			text = text[:len(text)-r.IntN(len(text))]
		}
		stream := Stdout + byte(r.IntN(2))
		w.Write(stream, text, t0)
		want[stream].Write(text)
		both.Write(text)
		if r.IntN(20) == 0 { // another writer goes on
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if w, err = Open(dir, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.End(t0); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, ab := read(t, dir, c, all())
	if !strings.HasSuffix(want[Stdout].String(), stdout) || !strings.HasSuffix(want[Stderr].String(), stderr) {
		t.Errorf("seed %d: what was read is not the end of what was written", seed)
	}
	if !strings.HasSuffix(both.String(), ab) {
		t.Errorf("seed %d: the order is not kept", seed)
	}
	if size := du(t, dir); size > c.MaxSize*int64(c.MaxFile) {
		t.Errorf("seed %d: %d bytes on disk, limit %d × %d", seed, size, c.MaxSize, c.MaxFile)
	} else if c.MaxFile > 1 && len(ab) < both.Len() && int64(len(ab)) < c.MaxSize*int64(c.MaxFile-1)/8 {
		t.Errorf("seed %d: %d bytes kept of limit %d × %d", seed, len(ab), c.MaxSize, c.MaxFile)
	}
	for _, n := range []int{0, 1, 2, 7, 50, 10000} {
		o := all()
		o.Tail = n
		_, _, got := read(t, dir, c, o)
		if lines := countLines(got); n < countLines(ab) && driver == JSONFile && lines != n || lines > n+1 {
			t.Errorf("seed %d: tail %d gave %d lines", seed, n, lines)
		}
	}
}

func countLines(s string) int {
	n := strings.Count(s, "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		n++
	}
	return n
}

func du(t *testing.T, dir string) (size int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += fi.Size()
	}
	return size
}
