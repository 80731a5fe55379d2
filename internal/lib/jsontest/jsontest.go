// Package jsontest compares what encodes and decodes JSON with encoding/json.
package jsontest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// Same fails the test unless encode gives encoding/json's bytes for the zero
// value of T, and for many with every field filled at random.
func Same[T any](t *testing.T, encode func([]byte, *T) []byte) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 4000 {
		var v T
		if i > 0 {
			fill(rnd, reflect.ValueOf(&v).Elem())
		}
		want, err := json.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		// What is in front must stay: members overwrite their first comma.
		got, ok := bytes.CutPrefix(encode([]byte("["), &v), []byte("["))
		if !ok || !bytes.Equal(got, want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			from := max(at-40, 0)
			t.Fatalf("value %d, byte %d:\n got …%s\nwant …%s", i, at, got[from:min(len(got), at+40)], want[from:min(len(want), at+40)])
		}
	}
}

// fill sets v and all that it contains. A quarter of everything stays zero.
func fill(rnd *rand.Rand, v reflect.Value) {
	if v.Kind() == reflect.Struct && !v.CanSet() { // embedded: what it has may be exported all the same
		for i := range v.NumField() {
			fill(rnd, v.Field(i))
		}
		return
	}
	if !v.CanSet() || rnd.IntN(4) == 0 {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		zone := time.FixedZone("", 60*(rnd.IntN(2*23*60)-23*60))
		if rnd.IntN(2) == 0 {
			zone = time.UTC
		}
		nsec := []int64{0, 1, 500_000_000, rnd.Int64N(1e9)}[rnd.IntN(4)]
		*p = time.Unix(rnd.Int64N(1<<37), nsec).In(zone) // up to the year 6325
		return
	case *json.RawMessage:
		b, err := json.Marshal(map[string]any{text(rnd): text(rnd), "n": []any{rnd.Int(), nil, true}})
		if err != nil {
			panic(err)
		}
		*p = b
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rnd, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rnd, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rnd.IntN(4), 4)) // empty is not nil
		for i := range v.Len() {
			fill(rnd, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rnd.IntN(5) {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(rnd, key)
			fill(rnd, elem)
			v.SetMapIndex(key, elem)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rnd, v.Elem())
	case reflect.String:
		v.SetString(text(rnd))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rnd.Uint64() >> rnd.IntN(64))) // SetInt cuts it to size
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rnd.Uint64() >> rnd.IntN(64))
	case reflect.Interface: // nobody knows what may be in it
	default:
		panic("jsontest: " + v.Type().String() + " is not known")
	}
}

// text is a string of what is hard to encode, with some that is not.
func text(rnd *rand.Rand) string {
	parts := []string{
		"a", "Z", "0", " ", "/", "=", "ä", "€", "😀", "\x00", "\x1f", "\x7f", "\b", "\f", "\n", "\r", "\t", `"`, `\`,
		"<", ">", "&", "'", "\u2028", "\u2029", "\u2027", "\ufffd", "\xff", "\xc3", "\xe2\x80", "\xed\xa0\x80", "\xf0\x9f\x98",
	}
	var s string
	for range rnd.IntN(8) {
		s += parts[rnd.IntN(len(parts))]
	}
	return s
}
