package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func stat(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%o %d:%d %d", st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec)
}

func TestRemove(t *testing.T) {
	s := newStore(t)
	if _, err := s.Remove("x", RemoveOptions{}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("empty store: %v", err)
	}
	layer := archive(t, "./", "shared=1")
	add := func(ref, own string) Image {
		t.Helper()
		m, err := s.AddImage(context.Background(), ref, Platform{}, api.ImageDefaults{}, bytes.NewReader(layer), bytes.NewReader(archive(t, "./", own)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := add("a", "own=a"), add("b:1", "own=b")
	if _, err := s.Tag("b:1", "b:2"); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, "sha256:7 layers:3 images:2 names:3 staging:0")
	used := func(id string) RemoveOptions {
		return RemoveOptions{InUse: func(image string) []string {
			if image == id {
				return []string{"container web"}
			}
			return nil
		}}
	}
	forced := used(a.ID)
	forced.Force = true
	for _, tt := range []struct {
		ref  string
		opt  RemoveOptions
		want string
		left string
	}{
		{"none", RemoveOptions{}, "find image none: no such image", "sha256:7 layers:3 images:2 names:3 staging:0"},
		{b.ID, RemoveOptions{}, "remove image " + b.ID + ": it has several names (b:1, b:2)", "sha256:7 layers:3 images:2 names:3 staging:0"},
		{"b:1", used(b.ID), "untagged [b:1] deleted []", "sha256:7 layers:3 images:2 names:2 staging:0"},
		{"b:2", used(b.ID), "remove image b:2: container web uses it", "sha256:7 layers:3 images:2 names:2 staging:0"},
		{b.ShortID(), used(b.ID), "remove image " + b.ShortID() + ": container web uses it", "sha256:7 layers:3 images:2 names:2 staging:0"},
		{"b:2", used(a.ID), "untagged [b:2] deleted [" + b.ID + "]", "sha256:4 layers:2 images:1 names:1 staging:0"},
		{"a", forced, "untagged [a:latest] deleted []", "sha256:4 layers:2 images:1 names:0 staging:0"},
		{a.ID, forced, "remove image " + a.ID + ": container web uses it", "sha256:4 layers:2 images:1 names:0 staging:0"},
		{a.ShortID(), RemoveOptions{}, "untagged [] deleted [" + a.ID + "]", empty},
	} {
		r, err := s.Remove(tt.ref, tt.opt)
		got := fmt.Sprintf("untagged %v deleted %v", r.Untagged, r.Deleted)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.ref, got, tt.want)
		}
		wantContents(t, s, tt.left)
	}
}

func TestRemoveByIDForce(t *testing.T) {
	s := newStore(t)
	m := mustImport(t, s, "a", "x=1")
	if _, err := s.Tag("a", "b"); err != nil {
		t.Fatal(err)
	}
	r, err := s.Remove(m.ID, RemoveOptions{Force: true})
	if err != nil || strings.Join(r.Untagged, " ") != "a:latest b:latest" || len(r.Deleted) != 1 {
		t.Errorf("removed %+v, %v", r, err)
	}
	wantContents(t, s, empty)
}

// TestRename: a name that moves on leaves its old image without one.
func TestRename(t *testing.T) {
	s := newStore(t)
	a := mustImport(t, s, "x", "x=1")
	b := mustImport(t, s, "x", "x=2")
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].ID != b.ID || list[0].Familiar() != "x:latest" || list[1].ID != a.ID || list[1].Familiar() != "" {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestRecoverStaging(t *testing.T) {
	s := newStore(t)
	if err := s.Recover(); err != nil {
		t.Errorf("no store: %v", err)
	}
	m := mustImport(t, s, "x", "x=1")
	if err := os.MkdirAll(s.root+"/staging/.new-dead/layer0/fs/a", 0o700); err != nil {
		t.Fatal(err)
	}
	live, err := s.stage()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, "sha256:1 layers:1 images:1 names:1 staging:1")
	if err := live.Discard(); err != nil {
		t.Fatal(err)
	}
	// A layer that a crash left without an image goes with the next removal.
	if err := os.MkdirAll(s.layerDir(strings.Repeat("a", keyLen))+"/fs", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(m.ID, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, empty)
}

func TestLeaseHoldsRemove(t *testing.T) {
	s := newStore(t)
	mustImport(t, s, "x", "x=1")
	lease, err := s.Lease()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.lock(unix.LOCK_EX | unix.LOCK_NB); err == nil {
		t.Fatal("locked beside a lease")
	}
	mustImport(t, s, "y", "x=2") // leases do not hold imports up
	lease.Release()
	lease.Release()
	if _, err := s.Remove("x", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureBase(t *testing.T) {
	s := newStore(t)
	bin := t.TempDir() + "/tare-base"
	asked := 0
	list := func(context.Context, string) ([]string, error) {
		asked++
		return []string{"sh", "ls", "tare-base"}, nil
	}
	ctx := context.Background()
	if _, err := s.EnsureBase(ctx, bin, list); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("no binary: %v", err)
	}
	write := func(data string) {
		t.Helper()
		if err := os.WriteFile(bin, []byte(data), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	planned, err := s.PlanBase(ctx, bin, list)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(s.root); err == nil && len(entries) > 0 {
		t.Errorf("a plan has made %v", entries)
	}
	asked = 0
	if planned.ID != "" || len(planned.Lower) != 1 {
		t.Errorf("planned %+v", planned)
	}
	first, err := s.EnsureBase(ctx, bin, list)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(planned.Config, first.Config) || planned.Root != first.Root {
		t.Errorf("planned %+v, made %+v", planned, first)
	}
	for name, text := range planned.Unmade {
		if b, err := os.ReadFile(first.Lower[0] + "/" + name); err != nil || string(b) != text {
			t.Errorf("%s: planned %q, made %q, %v", name, text, b, err)
		}
	}
	if there, err := s.PlanBase(ctx, bin, list); err != nil || !reflect.DeepEqual(there, first) || asked != 1 {
		t.Errorf("planned again: %+v, %v, asked %d times", there, err, asked)
	}
	for name, want := range map[string]string{"": "755", "tmp": "1777", "bin/tare-base": "755", "root": "700", "etc/passwd": "644", "proc": "555"} {
		if got, _, _ := strings.Cut(stat(t, first.Lower[0]+"/"+name), " "); got != want {
			t.Errorf("%s has mode %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{"bin/sh": "tare-base", "bin/ls": "tare-base", "usr/bin": "../bin", "sbin": "bin"} {
		if got, err := os.Readlink(first.Lower[0] + "/" + name); err != nil || got != want {
			t.Errorf("%s -> %s, %v, want %s", name, got, err, want)
		}
	}
	again, err := s.EnsureBase(ctx, bin, list)
	if err != nil || again.ID != first.ID || asked != 1 || again.Familiar() != "tare/base:latest" {
		t.Errorf("again: %+v, %v, asked %d times", again, err, asked)
	}
	write("second")
	second, err := s.EnsureBase(ctx, bin, list)
	if err != nil || second.ID == first.ID || asked != 2 {
		t.Errorf("changed: %+v, %v, asked %d times", second, err, asked)
	}
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	if got, err := s.EnsureBase(ctx, bin, list); err != nil || got.ID != second.ID {
		t.Errorf("binary gone: %+v, %v", got, err)
	}
	own := mustImport(t, s, "tare/base", "own=1")
	write("third")
	if got, err := s.EnsureBase(ctx, bin, list); err != nil || got.ID != own.ID {
		t.Errorf("a user's own: %+v, %v", got, err)
	}
}
