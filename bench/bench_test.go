package main

import (
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(100-i))
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0, 1}, {0.5, 51}, {0.99, 100}, {1, 100}} {
		if got := quantile(d, tt.q); got != tt.want {
			t.Errorf("quantile %v = %d, want %d", tt.q, got, tt.want)
		}
	}
	if got := quantile[time.Duration](nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing = %d", got)
	}
}

func TestEngines(t *testing.T) {
	all, err := parseEngines(table)
	if err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(all); strings.Join(rows, " ") != "container oci lifecycle exec sandbox start process" {
		t.Errorf("rows %v", rows)
	}
	if _, err := parseEngines("a | b"); err == nil {
		t.Error("a short line is accepted")
	}
}

func TestReport(t *testing.T) {
	ms := func(n ...int) (out []sample) {
		for _, n := range n {
			out = append(out, sample{wall: time.Duration(n) * time.Millisecond, cpu: time.Millisecond, rss: 1024, faults: int64(100 * n)})
		}
		return out
	}
	got := report("row", 3, []*engine{
		{name: "ours", samples: ms(2, 1, 3)}, {name: "slow", samples: ms(8, 8, 9)}, {name: "gone", missing: "not installed"},
	})
	for _, want := range []string{
		"| ours | 2.00 | 3.00 | 1.00 | 200 | 1.0 |  |\n| slow | 8.00 | 9.00 | 1.00 | 800 | 1.0 | 0.250 × |\n",
		"| gone | – | – | – | – | – | not installed |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestDifferences(t *testing.T) {
	at := func(n int) []sample {
		return []sample{{wall: time.Duration(n) * time.Millisecond, cpu: time.Duration(n) * time.Millisecond / 2, faults: int64(n)}}
	}
	got := differences([]*engine{{name: "empty", samples: at(2)}, {name: "more", samples: at(5)}, {name: "gone", missing: "not installed"}})
	if want := "| more | +3.00 | +1.50 | +3 |\n"; !strings.HasSuffix(got, want) {
		t.Errorf("no %q at the end of\n%s", want, got)
	}
}
