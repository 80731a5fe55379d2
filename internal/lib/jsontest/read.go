package jsontest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tare-engine/tare/internal/lib/jsonread"
)

// Reads fails the test unless read reads values as encoding/json does: many
// with every field filled at random, and texts of them that have been damaged.
// prepare, where it is not nil, changes a value before it is encoded.
func Reads[T any](t *testing.T, read func(*jsonread.Reader, *T), prepare func(*T)) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 400 {
		var v T
		if i > 0 {
			fill(rnd, reflect.ValueOf(&v).Elem())
		}
		if prepare != nil {
			prepare(&v)
		}
		text, err := json.Marshal(&v)
		if err == nil && i%4 == 1 {
			text, err = json.MarshalIndent(&v, "", "\t")
		}
		if err != nil {
			t.Fatal(err)
		}
		compare(t, text, read)
		for range 10 {
			Agree(t, damage(rnd, text), read)
		}
	}
	for _, text := range []string{"", "null", "{}", "[]", "0", `""`, "{", `{"":null}`, `{"a":1} x`} {
		Agree(t, []byte(text), read)
	}
}

// Agree fails the test unless read and encoding/json read the same from a
// text, or both refuse it. It says nothing of a text of which package jsonread
// takes another view: with names in another case, values nested deeply, or
// bytes that are not UTF-8, nor of one in which unread occurs, the name of a
// member that read passes over.
func Agree[T any](t testing.TB, text []byte, read func(*jsonread.Reader, *T), unread ...string) {
	t.Helper()
	if !utf8.Valid(text) || apart(text, reflect.TypeFor[T](), unread) {
		return
	}
	compare(t, text, read)
}

func compare[T any](t testing.TB, text []byte, read func(*jsonread.Reader, *T)) {
	t.Helper()
	var got, want T
	err, werr := jsonread.Decode(text, &got, read), json.Unmarshal(text, &want)
	if (err == nil) != (werr == nil) {
		t.Fatalf("%s: %v; encoding/json: %v", text, err, werr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", text, got, want)
	}
}

// view walks a text along the type that it is read into.
type view struct {
	d      *json.Decoder
	unread []string
	apart  bool // encoding/json takes another view of it
	begun  int  // objects and arrays
}

// apart says whether encoding/json takes another view of a text that is read
// into a t.
func apart(text []byte, t reflect.Type, unread []string) bool {
	w := view{d: json.NewDecoder(bytes.NewReader(text)), unread: unread}
	w.value(t)
	return w.apart
}

// value walks one value of a type, nil for any, and reports whether it was
// there to its end: where it is not, both give up.
func (w *view) value(t reflect.Type) bool {
	token, err := w.d.Token()
	if err != nil {
		return false
	}
	open, ok := token.(json.Delim)
	if !ok {
		return true
	}
	if w.begun++; w.begun > 900 {
		w.apart = true
		return false
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var elem reflect.Type
	var members map[string]reflect.StructField // by what fold makes of their names
	switch {
	case t == nil || t == reflect.TypeFor[json.RawMessage]():
	case t.Kind() == reflect.Struct:
		members = map[string]reflect.StructField{}
		membersOf(t, members)
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map:
		elem = t.Elem()
	}
	for w.d.More() && !w.apart {
		of := elem
		if open == '{' {
			key, err := w.d.Token()
			if err != nil {
				return false
			}
			name := key.(string)
			if f, ok := members[fold(name)]; ok {
				of = f.Type
				w.apart = w.apart || memberName(&f) != name || slices.Contains(w.unread, name)
			}
		}
		if !w.value(of) {
			return false
		}
	}
	_, err = w.d.Token()
	return err == nil
}

// fold makes one text of those that encoding/json takes for the same name.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

func memberName(f *reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return f.Name
}

func membersOf(t reflect.Type, to map[string]reflect.StructField) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			membersOf(f.Type, to)
		} else if f.IsExported() {
			to[fold(memberName(&f))] = f
		}
	}
}

// damage changes a few bytes of a text: into others that JSON knows, or by
// taking a part out, or by putting one in twice.
func damage(rnd *rand.Rand, text []byte) []byte {
	b := bytes.Clone(text)
	for range 1 + rnd.IntN(3) {
		if len(b) == 0 {
			break
		}
		from := rnd.IntN(len(b))
		to := from + rnd.IntN(min(len(b)-from, 40)+1)
		switch rnd.IntN(4) {
		case 0:
			b[from] = `{}[],:"\0123456789-+.eE nulltrfas/`[rnd.IntN(34)]
		case 1:
			b = append(b[:from:from], b[to:]...)
		case 2:
			b = append(b[:to:to], b[from:]...)
		case 3: // a value becomes another
			if i := bytes.IndexByte(b[from:], ':'); i >= 0 {
				word := []string{"null", "1", "-1", "1e3", "99999999999", "true", `"x"`, "{}", "[]", "[null]", `{"a":null}`}[rnd.IntN(11)]
				i += from + 1
				end := i
				for end < len(b) && b[end] != ',' && b[end] != '}' {
					end++
				}
				b = append(append(b[:i:i], word...), b[end:]...)
			}
		}
	}
	return b
}
