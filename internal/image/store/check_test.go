package store

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tare-engine/tare/internal/api"
)

func mustPull(t testing.TB, s *Store, p *pulled, names ...string) Image {
	t.Helper()
	m, _, err := p.pull(context.Background(), s, names...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (r *CheckReport) String() string {
	var b strings.Builder
	for _, p := range r.Problems {
		b.WriteString(p.Object + ": " + p.Text)
		if p.Repair != "" {
			b.WriteString(" (" + p.Repair + ")")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestCheck damages a store in every way and looks whether a check finds it,
// repairs it, and finds nothing then.
func TestCheck(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	base := archive(t, "./", "a/", "a/f=hello", "a/g=x", "b=1")
	for _, tt := range []struct {
		name   string
		damage func(s *Store, m, made Image)
		want   string // with KEY for the bottom layer, ID for the image
		left   int    // images that are still there
		users  map[string]bool
	}{
		{"nothing", func(*Store, Image, Image) {}, "", 2, nil},
		{"content", func(_ *Store, m, _ Image) {
			must(os.WriteFile(m.Lower[1]+"/a/f", []byte("jello"), 0o644))
			must(os.Chtimes(m.Lower[1]+"/a/f", time.Unix(1e9, 5), time.Unix(1e9, 5)))
		}, "layer KEY: a/f: its content is another (unpacked again)\n", 2, nil},
		{"mode", func(_ *Store, m, _ Image) { must(os.Chmod(m.Lower[1]+"/b", 0o600)) }, "layer KEY: b: it has another mode (unpacked again)\n", 2, nil},
		{"file gone", func(_ *Store, m, _ Image) { must(os.Remove(m.Lower[1] + "/b")) }, "layer KEY: .: it has another time (unpacked again)\n", 2, nil},
		{
			"file added", func(_ *Store, m, _ Image) { must(os.WriteFile(m.Lower[1]+"/a/ff", nil, 0o644)) },
			"layer KEY: a: it has another time (unpacked again)\n", 2, nil,
		},
		{"layer gone", func(s *Store, m, _ Image) { must(os.RemoveAll(s.layerDir(m.Layers[0]))) }, "layer KEY: no such file or directory (unpacked again)\n", 2, nil},
		{
			"meta", func(s *Store, m, _ Image) { must(os.WriteFile(s.layerDir(m.Layers[0])+"/meta", []byte("x"), 0o600)) },
			"layer KEY: its meta file is damaged (unpacked again)\n", 2, nil,
		},
		{
			"in use", func(_ *Store, m, _ Image) { must(os.Chmod(m.Lower[1]+"/b", 0o600)) },
			"layer KEY: b: it has another mode; container web stands on it: remove that, and check again\n" +
				"image ID: kept, since container web uses it; remove that, and check again\n", 2,
			map[string]bool{"x": true},
		},
		{
			"blob", func(s *Store, m, _ Image) { must(os.Truncate(s.blobPath(m.blobs[1]), 10)) },
			"blob BLOB: the content has digest SUM (removed)\nimage ID: it cannot be repaired here (removed; pull it again x:latest)\n", 1, nil,
		},
		{
			"blob gone", func(s *Store, m, _ Image) { must(os.Remove(s.blobPath(m.blobs[1]))) },
			"image ID: blob BLOB is missing (removed)\nimage ID: it cannot be repaired here (removed; pull it again x:latest)\n", 1, nil,
		},
		{
			"made here", func(_ *Store, _, made Image) { must(os.Chmod(made.Lower[0]+"/c", 0o600)) },
			"layer MADE: its files have changed (removed)\nimage MADEID: it cannot be repaired here (removed; pull it again made:latest)\n", 1, nil,
		},
		{
			"record", func(s *Store, m, _ Image) { must(os.WriteFile(s.root+"/images/"+m.ID[7:], []byte("x"), 0o600)) },
			"image HEX: read image record ROOT/images/HEX: the record is damaged (removed)\nimage ID: it had names only (recorded again)\n", 2, nil,
		},
		{"name", func(s *Store, m, _ Image) {
			must(os.WriteFile(s.namePath("docker.io/library/x:latest", m.Platform), nil, 0o600))
		}, "name docker.io/library/x:latest@linux+amd64: read image record ROOT/names/docker.io%library%x:latest@linux+amd64: the record is damaged (removed)\n", 2, nil},
		{"orphans", func(s *Store, _, _ Image) {
			must(os.MkdirAll(s.layerDir("aaaaaaaaaaaaaaaaaaaa")+"/fs", 0o700))
			must(os.WriteFile(s.blobPath("sha256:"+strings.Repeat("0", 64)), nil, 0o600))
		}, "blob sha256:0000000000000000000000000000000000000000000000000000000000000000: the content has digest sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 (removed)\n" +
			"layer aaaaaaaaaaaaaaaaaaaa: no image has it (removed)\n" +
			"blob sha256:0000000000000000000000000000000000000000000000000000000000000000: no image has it (removed)\n", 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			m := mustPull(t, s, makePulled(t, zip, base, archive(t, "a/.wh.g", "a/h=2")), "x")
			made := mustImport(t, s, "made", "c=1")
			tt.damage(s, m, made)
			o := CheckOptions{Users: func() func(string) []string {
				return func(id string) []string {
					if tt.users["x"] && id == m.ID {
						return []string{"container web"}
					}
					return nil
				}
			}}
			found, err := s.Check(context.Background(), o)
			must(err)
			o.Repair = true
			report, err := s.Check(context.Background(), o)
			must(err)
			r := strings.NewReplacer(m.Layers[0], "KEY", made.Layers[0], "MADE", m.ID[7:], "HEX", m.ShortID(), "ID", made.ShortID(), "MADEID", m.blobs[1], "BLOB", s.root, "ROOT")
			got := r.Replace(report.String())
			if tt.name == "blob" {
				i := strings.Index(got, "digest sha256:") + 7
				got = got[:i] + "SUM" + got[i+71:]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if (len(found.Problems) == 0) != (tt.want == "") {
				t.Errorf("without repair: %s", found.String())
			}
			if tt.users == nil {
				again, err := s.Check(context.Background(), o)
				if err != nil || len(again.Problems) != 0 {
					t.Errorf("checked again: %s%v", again.String(), err)
				}
			}
			list, err := os.ReadDir(s.root + "/images")
			if err != nil || len(list) != tt.left {
				t.Errorf("%d images left, want %d (%v)", len(list), tt.left, err)
			}
			if left, err := os.ReadDir(s.root + "/staging"); err != nil || len(left) > 0 {
				t.Errorf("staging has %v, %v", left, err)
			}
		})
	}
}

func TestPlanGC(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	ago := func(days int) time.Time { return now.Add(-time.Duration(days) * 24 * time.Hour) }
	images := []GCCandidate{
		{ID: "old", Names: []string{"old:1"}, Added: ago(100), Used: ago(90), Parts: map[string]int64{"base": 100, "l1": 10}},
		{ID: "used", Names: []string{"web:1"}, Added: ago(100), Used: ago(1), Parts: map[string]int64{"base": 100, "l2": 20}},
		{ID: "busy", Names: []string{"db:1"}, Added: ago(100), Used: ago(99), InUse: true, Parts: map[string]int64{"l3": 50}},
		{ID: "none", Added: ago(10), Used: ago(10), Parts: map[string]int64{"l4": 5}},
		{ID: "base", Names: []string{"tare/base:latest"}, Added: ago(100), Used: ago(100), Pinned: true, Parts: map[string]int64{"l5": 4}},
	}
	day := 24 * time.Hour
	for _, tt := range []struct {
		name string
		p    api.GCPolicy
		want string
	}{
		{"nothing", api.GCPolicy{}, ""},
		{"unused", api.GCPolicy{Unused: 30 * day}, "old 10 not used for 90 days"},
		{"age", api.GCPolicy{Age: 50 * day}, "old 10 here for 100 days; used 120 here for 100 days"},
		{"dangling", api.GCPolicy{Dangling: day}, "none 5 no name, not used for 10 days"},
		{"kept", api.GCPolicy{Unused: 30 * day, Keep: []string{"old"}}, ""},
		{"kept by pattern", api.GCPolicy{Age: 50 * day, Keep: []string{"o*:*"}}, "used 20 here for 100 days"},
		{"fresh", api.GCPolicy{Unused: 30 * day, Fresh: 91 * day}, ""},
		{"room enough", api.GCPolicy{MaxBytes: 189}, ""},
		{"no room", api.GCPolicy{MaxBytes: 180, LowBytes: 175}, "old 10 the store is above 180 bytes; none 5 the store is above 180 bytes"},
		{"much too little", api.GCPolicy{MaxBytes: 100}, "old 10 the store is above 100 bytes; none 5 the store is above 100 bytes; used 120 the store is above 100 bytes"},
	} {
		var got []string
		for _, v := range PlanGC(images, tt.p, now) {
			got = append(got, v.ID+" "+strconv.FormatInt(v.Bytes, 10)+" "+v.Reason)
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, s, tt.want)
		}
	}
}

func TestGC(t *testing.T) {
	s := newStore(t)
	var images []Image
	for _, n := range []string{"one", "two", "three"} {
		images = append(images, mustPull(t, s, makePulled(t, zip, archive(t, "./", "base=1"), archive(t, n+"="+noise(10_000))), n))
	}
	old := time.Now().Add(-40 * 24 * time.Hour)
	for _, m := range images {
		for _, p := range []string{s.root + "/images/" + m.ID[7:], s.namePath(m.Name, m.Platform)} {
			if err := os.Chtimes(p, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Touch(images[1].ID)
	partial := s.root + "/partial/" + strings.Repeat("0", 64)
	for _, p := range []string{partial, partial + ".got"} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, old, old); err != nil {
			t.Fatal(err)
		}
	}
	policy := api.GCPolicy{Unused: 30 * 24 * time.Hour}
	inUse := func(id string) []string {
		if id == images[2].ID {
			return []string{"web"}
		}
		return nil
	}
	for _, dry := range []bool{true, false} {
		done, err := s.GC(policy, func() func(string) []string { return inUse }, dry)
		if err != nil || len(done) != 1 || done[0].ID != images[0].ID || done[0].Bytes < 10_000 {
			t.Errorf("removed %+v, %v", done, err)
		}
	}
	wantContents(t, s, "sha256:7 layers:3 images:2 names:2 staging:0")
	if list, err := os.ReadDir(s.root + "/partial"); err != nil || len(list) > 0 {
		t.Errorf("partial has %v, %v", list, err)
	}
	report, err := s.Check(context.Background(), CheckOptions{})
	if err != nil || len(report.Problems) > 0 || report.Images != 2 || report.Layers != 3 || report.Blobs != 7 {
		t.Errorf("%+v, %v", report, err)
	}
}
