package logs

import (
	"bytes"
	"os"
	"testing"
	"unicode/utf8"
)

// FuzzRecords: what a driver writes of any line it reads back, and no line
// makes a reader fail otherwise than by saying that it is none.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("a line"), true)
	f.Add([]byte("\x00\xff\u2028\"\\<>&\t\r"), false)
	f.Add([]byte(`{"log":"x\ud83d\ude00\u12","stream":"stderr","time":"2026-01-02T03:04:05Z","a":{"b":["}"]}}`), true)
	f.Add([]byte("2026-01-02T03:04:05Z stdout F:x text"), false)
	f.Fuzz(func(t *testing.T, line []byte, part bool) {
		jsonLine(nil, line)
		k8sLine(nil, line)
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		want := string(line)
		if !part {
			want += "\n"
		}
		r, ok := k8sLine(nil, bytes.TrimSuffix(k8sFormat{}.record(nil, Stderr, line, part, t0), []byte("\n")))
		if !ok || string(r.text) != want || r.stream != Stderr || r.time != t0.UnixNano() {
			t.Errorf("k8s-file: %q became %q", want, r.text)
		}
		j := &jsonFormat{attrs: attrsJSON([]Attr{{"k", want}})}
		r, ok = jsonLine(nil, bytes.TrimSuffix(j.record(nil, Stderr, line, part, t0), []byte("\n")))
		if !ok || utf8.Valid(line) && string(r.text) != want || r.stream != Stderr || r.time != t0.UnixNano() {
			t.Errorf("json-file: %q became %q", want, r.text)
		}
	})
}

// FuzzIndex: no index makes a reader fail, or give out more than there is.
func FuzzIndex(f *testing.F) {
	var b [entrySize]byte
	e := entry{time: 1, end: 3, kind: Stdout}
	e.encode(&b)
	f.Add(b[:], []byte("abcdef"))
	f.Add(append(bytes.Clone(b[:]), b[:20]...), []byte("a"))
	f.Fuzz(func(t *testing.T, index, raw []byte) {
		dir := t.TempDir()
		writeFile(t, dir+"/1.idx", index)
		writeFile(t, dir+"/1.raw", raw)
		for _, tail := range []int{-1, 1} {
			o := all()
			o.Tail = tail
			var got bytes.Buffer
			if err := Read(t.Context(), dir, config(Local), o, &got, &got); err != nil {
				t.Fatal(err)
			}
			if got.Len() > len(raw) {
				t.Errorf("%d bytes of %d", got.Len(), len(raw))
			}
		}
		fill(t, dir, config(Local), []piece{{Stdout, "more\n", 0}})
	})
}

func writeFile(t *testing.T, path string, b []byte) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
