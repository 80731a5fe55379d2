package jsonread

import (
	"encoding/json"
	"testing"
)

// TestString compares with encoding/json.
func TestString(t *testing.T) {
	for _, text := range []string{
		`""`, `"plain"`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u0041\u00e9\u2028"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ude00\ud83d"`, `"é€😀"`, ` "x" `, `null`,
		`"`, `"\`, `"\u12"`, `"\u12G4"`, `"\q"`, "\"\x01\"", `x`, ``, `"a" "b"`, `5`,
	} {
		var want string
		werr := json.Unmarshal([]byte(text), &want)
		r := New(text)
		got := r.String()
		if err := r.End(); (err == nil) != (werr == nil) || err == nil && got != want {
			t.Errorf("%s: %q, %v; encoding/json: %q, %v", text, got, err, want, werr)
		}
	}
}

// TestNumbers compares with encoding/json.
func TestNumbers(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "7", "-7", "127", "128", "-128", "-129", "255", "256", "01", "-", "1.0", "1e2", "1E+2", "1.", ".5", "1e", "+1", "null", "18446744073709551616", `"1"`, "true",
	} {
		var i int8
		ierr := json.Unmarshal([]byte(text), &i)
		r := New(text)
		if got, err := r.Int(8), r.End(); (err == nil) != (ierr == nil) || err == nil && got != int64(i) {
			t.Errorf("Int %s: %d, %v; encoding/json: %d, %v", text, got, err, i, ierr)
		}
		var u uint8
		uerr := json.Unmarshal([]byte(text), &u)
		r = New(text)
		if got, err := r.Uint(8), r.End(); (err == nil) != (uerr == nil) || err == nil && got != uint64(u) {
			t.Errorf("Uint %s: %d, %v; encoding/json: %d, %v", text, got, err, u, uerr)
		}
	}
}

// FuzzSkip: what is skipped without an error is JSON.
func FuzzSkip(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"x",null,true,{}],"b":{"c":[]}}`, `[[[]]]`, `"\u00e9"`, `{"a":1,}`, `[1 2]`, `{1:2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := New(text)
		r.Skip()
		if r.End() == nil && !json.Valid([]byte(text)) {
			t.Errorf("accepted %q", text)
		}
	})
}
