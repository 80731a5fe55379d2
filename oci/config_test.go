package oci

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// fill sets everything that v contains.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() { //nolint:exhaustive // what the types have
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString([]string{"x", "a\"b\\c\n\u2028\U0001f600\x01", "", "/path"}[r.IntN(4)])
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(r.Uint64N(100)) - 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64N(1<<v.Type().Bits()-1) + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), r)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, k := range []string{"k", "ключ"} {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(e, r)
			v.SetMapIndex(reflect.ValueOf(k), e)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if on := f.Tag.Get("platform"); on != "" && !strings.Contains(on, "linux") && f.Type.Kind() == reflect.Pointer {
				continue // only noticed
			}
			if fv := v.Field(i); fv.CanSet() {
				fill(fv, r)
			} else if f.Anonymous {
				for j := range fv.NumField() {
					fill(v.FieldByName(f.Type.Field(j).Name), r)
				}
			}
		}
	}
}

// TestReadSpec: what encoding/json has written is read as it was.
func TestReadSpec(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	exporter := cmp.Exporter(func(reflect.Type) bool { return true })
	for range 20 {
		var want, got specs.Spec
		fill(reflect.ValueOf(&want).Elem(), r)
		text, err := json.MarshalIndent(want, "", "\t")
		must(t, err)
		must(t, json.Unmarshal(text, &want)) // what it leaves out
		must(t, parseJSON(text, &got, readSpec))
		if d := cmp.Diff(want, got, exporter); d != "" {
			t.Fatal(d)
		}
	}
	var s specs.Spec
	must(t, parseJSON([]byte(`{"windows": {"x": [1, {}]}, "vm": null, "unknown": {"a": [null, 1.5e3, "x"]}, "mounts": null, "hostname": null}`), &s, readSpec))
	if s.Windows == nil || s.VM != nil || s.Mounts != nil {
		t.Errorf("%+v", s)
	}
}

// TestReadRecord: a record is read as it was written.
func TestReadRecord(t *testing.T) {
	var want, got Record
	fill(reflect.ValueOf(&want).Elem(), rand.New(rand.NewPCG(5, 6)))
	want.Created = time.Now().UTC()
	must(t, parseJSON(appendRecord(nil, &want), &got, readRecord))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestReadErrors: malformed texts, and where they are so.
func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                                    "the end where an object should be",
		`[]`:                                  `'[' where an object should be`,
		`{"hostname": 5}`:                     `'5' where a string should be`,
		`{"hostname": "a}`:                    "a string without end",
		`{"hostname": "\x"}`:                  "unknown escape",
		`{"hostname": "a" "x"}`:               "a comma or the end",
		`{"hostname": "a",}`:                  "a member",
		`{"hostname" "a"}`:                    "a colon",
		`{} {}`:                               "more than one value",
		`{"process": {"user": {"uid": -1}}}`:  "-1 is not an unsigned integer of 32 bits",
		`{"process": {"user": {"uid": 1.5}}}`: "1.5 is not an unsigned integer of 32 bits",
		`{"process": {"user": {"uid": 01}}}`:  "where a number should be",
		`{"process": {"terminal": 1}}`:        "true or false",
		"{\"hostname\": \"\xff\"}":            "not UTF-8",
		"{\"hostname\": \"\n\"}":              "control character",
		strings.Repeat(`{"x":`, 2000):         "more than 1000 values inside each other",
		`{"process": tru}`:                    "an object",
	} {
		var s specs.Spec
		if err := parseJSON([]byte(text), &s, readSpec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

// FuzzRead: what is accepted is JSON, and means what encoding/json says.
func FuzzRead(f *testing.F) {
	var full specs.Spec
	fill(reflect.ValueOf(&full).Elem(), rand.New(rand.NewPCG(3, 4)))
	for _, s := range []*specs.Spec{&full, rich()} {
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"hostname":"\ud83d\ude00\ud83dx\u0000","annotations":{"":""},"x":[-0,0.1E+5,true,null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got specs.Spec
		if parseJSON(text, &got, readSpec) != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("accepted %q", text)
		}
		again, err := json.Marshal(&got)
		must(t, err)
		var back specs.Spec
		must(t, parseJSON(again, &back, readSpec))
		if b, err := json.Marshal(&back); err != nil || string(b) != string(again) {
			t.Fatalf("%s is read as %s", again, b)
		}
	})
}

func BenchmarkReadSpec(b *testing.B) {
	text, err := json.Marshal(testSpec([]string{"true"}))
	must(b, err)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var s specs.Spec
		must(b, parseJSON(text, &s, readSpec))
	}
}
