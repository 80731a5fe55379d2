package conf

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/storage/layer"
)

func TestParse(t *testing.T) {
	got, err := Parse([]byte(`
[limits]
bytes = "2TiB"
ratio = 500
layer-bytes = "10GB"
depth = 100

[gc]
after-pull = true
unused = "30d"
dangling = "12h"
max-bytes = "20GB"
low-bytes = "1.5GiB"
keep = ["debian:*", "web"]
`))
	want := Config{
		AfterPull: true,
		Limits:    store.Limits{Bytes: 2 << 40, Ratio: 500, Layer: layer.Limits{Bytes: 10e9, Depth: 100}},
		GC:        api.GCPolicy{Unused: 30 * 24 * time.Hour, Dangling: 12 * time.Hour, MaxBytes: 20e9, LowBytes: 3 << 29, Keep: []string{"debian:*", "web"}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for in, want := range map[string]string{
		"[gc]\nunusd = \"1d\"":                           "line 2: unknown key gc.unusd",
		"[gc]\nunused = \"1x\"":                          `line 2: "1x" is no length of time such as 30d or 12h`,
		"[gc]\nmax-bytes = \"lots\"":                     `line 2: "lots" is no size such as 20GB`,
		"[limits]\nratio = -1":                           "limits: -1 is negative",
		"[gc]\nmax-bytes = \"1GB\"\nlow-bytes = \"2GB\"": "gc: low-bytes is more than max-bytes",
	} {
		if _, err := Parse([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", in, err, want)
		}
	}
	for in, want := range map[string]int64{"0": 0, "4096": 4096, "20GB": 20e9, "20 gb": 20e9, "1.5GiB": 3 << 29, "-1": -1, "": -1, "GB": -1, "1e400GB": -1, "9999999TB": -1} {
		got, err := api.ParseStoreSize(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}
