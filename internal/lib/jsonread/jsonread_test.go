package jsonread

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// same compares a reader with encoding/json, of one text into the zero value.
func same[T any](t *testing.T, text string, read func(*Reader, *T)) {
	t.Helper()
	var got, want T
	err, werr := Decode([]byte(text), &got, read), json.Unmarshal([]byte(text), &want)
	if (err == nil) != (werr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %#v, %v; encoding/json: %#v, %v", text, got, err, want, werr)
	}
}

func TestString(t *testing.T) {
	for _, text := range []string{
		`""`, `"plain"`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u0041\u00e9\u2028"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ude00\ud83d"`, `"é€😀"`, ` "x" `, `null`,
		`"`, `"\`, `"\u12"`, `"\u12G4"`, `"\q"`, "\"\x01\"", `x`, ``, `"a" "b"`, `5`,
	} {
		same(t, text, String[string])
	}
}

func TestNumbers(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "7", "-7", "127", "128", "-128", "-129", "255", "256", "01", "-", "1.0", "1e2", "1E+2", "1.", ".5", "1e", "+1", "null", "18446744073709551616", `"1"`, "true",
	} {
		same(t, text, Int[int8])
		same(t, text, Uint[uint8])
	}
}

func TestValues(t *testing.T) {
	for _, text := range []string{
		`null`, `[]`, `{}`, `[1,2,3]`, `[1]`, `[null,2]`, `[1,2,"x"]`, `[1,2,[3,{}]]`, `["a",null]`, `{"a":"b","a":null}`, `{"a":[1,null]}`, `{"a":null}`, `{"a":{}}`, `{"a":{"b":1}}`,
		`{null:1}`, `{"a" 1}`, `{1:2}`, `{"a":1,}`, `true`, `nul`, `"2024-02-30T00:00:00Z"`, `"2024-02-28T01:02:03.5+01:00"`, `"2024-02-28T1:02:03Z"`, `"2024-02-28T01:02:03,5Z"`,
		`"2024\u002d02-28T01:02:03Z"`, `""`, ` [ 1 , 2 ] `,
	} {
		same(t, text, Bool[bool])
		same(t, text, Time)
		same(t, text, Strings)
		same(t, text, StringMap)
		same(t, text, Empty)
		same(t, text, Raw[json.RawMessage])
		same(t, text, func(r *Reader, p **int) { Pointer(r, p, Int) })
		same(t, text, func(r *Reader, p **time.Time) { Pointer(r, p, Time) })
		same(t, text, func(r *Reader, p *[]int) { Slice(r, p, Int) })
		same(t, text, func(r *Reader, p *[2]int) { Array(r, p[:], Int) })
		same(t, text, func(r *Reader, p *map[string]struct{}) { Map(r, p, Empty) })
		same(t, text, func(r *Reader, p *map[string][]int) {
			Map(r, p, func(r *Reader, p *[]int) { Slice(r, p, Int) })
		})
	}
}

// TestAgain: a member that comes again is read into what is there.
func TestAgain(t *testing.T) {
	type point struct {
		X, Y int
		Z    *int
	}
	readPoint := func(r *Reader, p *point) {
		if r.Null() {
			return
		}
		for r.Begin('{'); r.More('}'); {
			switch r.Key() {
			case "X":
				Int(r, &p.X)
			case "Y":
				Int(r, &p.Y)
			case "Z":
				Pointer(r, &p.Z, Int)
			default:
				r.Skip()
			}
		}
	}
	type all struct {
		P point
		L []point
		A [2]point
		M map[string]point
		Q *point
	}
	for _, text := range []string{
		`{"P":{"X":1,"Y":2,"Z":3},"P":null,"P":{"Y":5,"Z":null}}`,
		`{"L":[{"X":1},{"X":2},{"X":3}],"L":[{"Y":1}],"L":[{},{},{},{"X":7}]}`,
		`{"L":[{"X":1},{"X":2},{"X":3}],"L":[],"L":[{}]}`, `{"L":[{"X":1}],"L":null,"L":[{}]}`, `{"L":[{"X":1,"Z":4}],"L":[null]}`,
		`{"A":[{"X":1},{"X":2}],"A":[{"Y":3}]}`,
		`{"M":{"a":{"X":1},"b":{"X":1}},"M":{"a":{"Y":1}}}`, `{"M":{"a":{"X":1}},"M":null}`,
		`{"Q":{"X":1},"Q":{"Y":2}}`, `{"Q":{"X":1},"Q":null,"Q":{"Y":2}}`,
	} {
		same(t, text, func(r *Reader, v *all) {
			for r.Begin('{'); r.More('}'); {
				switch r.Key() {
				case "P":
					readPoint(r, &v.P)
				case "L":
					Slice(r, &v.L, readPoint)
				case "A":
					Array(r, v.A[:], readPoint)
				case "M":
					Map(r, &v.M, readPoint)
				case "Q":
					Pointer(r, &v.Q, readPoint)
				}
			}
		})
	}
}

// FuzzSkip: what is skipped without an error is JSON.
func FuzzSkip(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"x",null,true,{}],"b":{"c":[]}}`, `[[[]]]`, `"\u00e9"`, `{"a":1,}`, `[1 2]`, `{1:2}`, `{null:1}`} {
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
