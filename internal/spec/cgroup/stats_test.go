package cgroup

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// parseAll reads Stats from the files of a host that has those of texts.
func parseAll(l Layout, texts map[string]string) (Stats, error) {
	var s Stats
	for _, f := range l.StatFiles() {
		before, after, many := strings.Cut(f.Name, "*")
		for name, text := range texts {
			star := ""
			if many {
				if !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
					continue
				}
				star = strings.TrimSuffix(strings.TrimPrefix(name, before), after)
			} else if name != f.Name {
				continue
			}
			if err := f.Parse(&s, star, text); err != nil {
				return s, err
			}
		}
	}
	s.Finish()
	return s, nil
}

// statLayout is a host with every controller under one version.
func statLayout(v2 bool) Layout {
	if v2 {
		return Layout{Hierarchies: []Hierarchy{{Unified: true, Controllers: []string{"cpu", "memory", "pids", "io", "hugetlb", "rdma", "misc"}}}}
	}
	return Layout{Hierarchies: []Hierarchy{{Controllers: []string{"cpu", "cpuacct", "memory", "pids", "blkio", "hugetlb", "rdma"}}}}
}

func TestStats(t *testing.T) {
	for name, v2 := range map[string]bool{"v1": false, "v2": true, "v2-bare": true} {
		t.Run(name, func(t *testing.T) {
			ar, err := txtar.ParseFile("testdata/stats-" + name + ".txtar")
			if err != nil {
				t.Fatal(err)
			}
			texts := map[string]string{}
			for _, f := range ar.Files {
				texts[f.Name] = string(f.Data)
			}
			s, err := parseAll(statLayout(v2), texts)
			if err != nil {
				t.Fatal(err)
			}
			out, err := json.MarshalIndent(s, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/stats-"+name+".golden", string(out)+"\n")
		})
	}
}

// TestStatFiles: each controller's files are looked for where the host has
// it, and pressure on the v2 side.
func TestStatFiles(t *testing.T) {
	hybrid := layout(t, "hybrid")
	for _, f := range hybrid.StatFiles() {
		h := hybrid.Hierarchies[f.Hierarchy]
		controller, _, _ := strings.Cut(f.Name, ".")
		if strings.HasSuffix(f.Name, ".pressure") {
			if !h.Unified {
				t.Errorf("%s is looked for in %s", f.Name, h.Mount)
			}
			continue
		}
		if hybrid.Find(controller) != f.Hierarchy {
			t.Errorf("%s is looked for in %s", f.Name, h.Mount)
		}
	}
}

func FuzzStats(f *testing.F) {
	for _, s := range []string{"max", "18446744073709551615", "8:0 rbytes=1", "some avg10=x", "a b c", "cpu user system\n0 1 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, v2 := range []bool{false, true} {
			var s Stats
			for _, file := range statLayout(v2).StatFiles() {
				_ = file.Parse(&s, "2MB", text) // must not panic
			}
			s.Finish()
			if s.Memory != nil && s.Memory.WorkingSet > s.Memory.Usage {
				t.Errorf("working set %d of %d", s.Memory.WorkingSet, s.Memory.Usage)
			}
		}
	})
}
