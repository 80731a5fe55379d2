package runc

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"github.com/tare-engine/tare/internal/lib/jsontest"
)

// elsewhere are the members for other systems, of which is noticed only that
// they are there.
var elsewhere = []string{"solaris", "windows", "vm", "zos", "freebsd"}

// TestReadSpec: a configuration is read as encoding/json reads it.
func TestReadSpec(t *testing.T) {
	jsontest.Reads(t, readSpec, func(s *specs.Spec) { s.Solaris, s.Windows, s.VM, s.ZOS, s.FreeBSD = nil, nil, nil, nil, nil })
	var s specs.Spec
	must(t, jsonread.Decode([]byte(`{"windows": {"x": [1, {}]}, "vm": null, "unknown": {"a": [null, 1.5e3, "x"]}, "mounts": null, "hostname": null}`), &s, readSpec))
	if s.Windows == nil || s.VM != nil || s.Mounts != nil {
		t.Errorf("%+v", s)
	}
}

func TestRecordJSON(t *testing.T) {
	jsontest.Same(t, appendRecord)
	jsontest.Reads(t, readRecord, nil)
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
		if err := jsonread.Decode([]byte(text), &s, readSpec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

// FuzzRead: a configuration is read as encoding/json reads it, or refused by
// both.
func FuzzRead(f *testing.F) {
	for _, s := range []*specs.Spec{rich(), testSpec([]string{"true"})} {
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"hostname":"\ud83d\ude00\ud83dx\u0000","annotations":{"":""},"x":[-0,0.1E+5,true,null]}`))
	f.Add([]byte(`{"mounts":[{"source":"a","options":["b","c"]},{}],"mounts":[{"options":["d"]}],"process":{"user":{"uid":1}},"process":{"user":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) { jsontest.Agree(t, text, readSpec, elsewhere...) })
}

// FuzzReadRecord does so for records.
func FuzzReadRecord(f *testing.F) {
	f.Add(appendRecord(nil, &Record{Schema: schema, ID: "x", Created: time.Unix(1, 2).UTC(), Annotations: map[string]string{"a": "b"}, Pid: 5}))
	f.Fuzz(func(t *testing.T, text []byte) { jsontest.Agree(t, text, readRecord) })
}

func BenchmarkReadSpec(b *testing.B) {
	text, err := json.Marshal(testSpec([]string{"true"}))
	must(b, err)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var s specs.Spec
		must(b, jsonread.Decode(text, &s, readSpec))
	}
}
