package host

import (
	"slices"
	"testing"
)

func TestParseSubIDs(t *testing.T) {
	text := "root:1:2\n# tare:9:9\ntare:100000:65536\ntare:300000:10\ntare:x:1\ntare:4294967295:2\ntare:5\n"
	got := parseSubIDs(text, "tare")
	if want := []IDRange{{100000, 65536}, {300000, 10}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCountList(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,8,10-11": 7, "": 0, "x": 0} {
		if got := countList(list); got != want {
			t.Errorf("countList(%q) = %d, want %d", list, got, want)
		}
	}
}

func TestProbe(t *testing.T) {
	f, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if f.Kernel.Major < 5 || f.LastCap < 38 || f.Release == "" {
		t.Errorf("unlikely facts %+v", f)
	}
}
