package jsonappend

import (
	"encoding/json"
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	number := 7
	seven := func(b []byte, n *int) []byte { return append(b, byte('0'+*n)) }
	at := time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.FixedZone("", -90*60))
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{String(nil, ""), `""`},
		{String(nil, "a/b=ä"), `"a/b=ä"`},
		{String(nil, "<a>&\"\\'"), `"\u003ca\u003e\u0026\"\\'"`},
		{String(nil, "\x00\x1f\x7f\b\f\n\r\t"), `"\u0000\u001f` + "\x7f" + `\b\f\n\r\t"`},
		{String(nil, "a\u2028\u2029b"), `"a\u2028\u2029b"`},
		{String(nil, "a\xffb\xe2\x80"), `"a\ufffdb\ufffd\ufffd"`},
		{Strings(nil, nil), `null`},
		{Strings(nil, []string{}), `[]`},
		{Strings(nil, []string{"a", ""}), `["a",""]`},
		{StringMap(nil, nil), `null`},
		{StringMap(nil, map[string]string{}), `{}`},
		{StringMap(nil, map[string]string{"b": "2", "a": "1", "": "<"}), `{"":"\u003c","a":"1","b":"2"}`},
		{Slice(nil, nil, seven), `null`},
		{Slice(nil, []int{}, seven), `[]`},
		{Slice(nil, []int{7, 8}, seven), `[7,8]`},
		{Map(nil, map[string]int{"y": 1, "x": 2}, seven), `{"x":2,"y":1}`},
		{Pointer(nil, nil, seven), `null`},
		{Pointer(nil, &number, seven), `7`},
		{Object([]byte("x"), 1), `x{}`},
		{Object([]byte(`x,"a":1`), 1), `x{"a":1}`},
		{Time(nil, at), `"2026-01-02T03:04:05.06-01:30"`},
		{Time(nil, time.Time{}), `"0001-01-01T00:00:00Z"`},
		{Raw(nil, nil), `null`},
		{Raw(nil, []byte(`{"a":1}`)), `{"a":1}`},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "<&>\"\\/", "\x00\n\x7f", "\u2028x\u2029", "\xff\xc3(\xe2\x80", "😀\xf0\x9f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := String(nil, s); string(got) != string(want) {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	})
}
