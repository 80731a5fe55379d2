package store

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

// TestRepairKeeps: what only cannot be looked at now is no damage, and a repair
// does not remove it.
func TestRepairKeeps(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(s *Store, m Image) error
		kind fault.Kind
	}{
		{"no room", func(s *Store, _ Image) error {
			f, err := os.Create(s.root + "/ballast")
			if err != nil {
				return err
			}
			for block := make([]byte, 64<<10); err == nil; {
				_, err = f.Write(block)
			}
			return f.Close()
		}, fault.Unavailable},
		{"newer record", func(s *Store, m Image) error {
			return os.WriteFile(s.root+"/images/"+strings.TrimPrefix(m.ID, "sha256:"), []byte("tare-image 99\n"), 0o600)
		}, fault.Unsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			testkit.Root(t, "mounts a tmpfs")
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
			s := Open(dir + "/store")
			m := mustPull(t, s, makePulled(t, plainBlob, archive(t, "./", "a="+noise(1<<20))), "x")
			if err := tt.do(s, m); err != nil {
				t.Fatal(err)
			}
			report, err := s.Check(context.Background(), CheckOptions{Repair: true})
			if err == nil || fault.KindOf(err) != tt.kind {
				t.Errorf("got %v (%v)\n%s", err, fault.KindOf(err), report.String())
			}
			for _, p := range append([]string{s.root + "/images/" + strings.TrimPrefix(m.ID, "sha256:")}, m.Lower...) {
				if _, err := os.Lstat(p); err != nil {
					t.Errorf("it is gone: %v", err)
				}
			}
		})
	}
}

// TestGCTaggedMeanwhile: an image that gets a name between the plan of a
// collection and its end stays.
func TestGCTaggedMeanwhile(t *testing.T) {
	s := newStore(t)
	m := mustPull(t, s, makePulled(t, plainBlob, archive(t, "./", "a=x")))
	list, err := s.candidates(Nobody())
	if err != nil {
		t.Fatal(err)
	}
	plan := PlanGC(list, api.GCPolicy{Dangling: time.Second}, time.Now().Add(time.Hour))
	if len(plan) != 1 {
		t.Fatalf("plan %v", plan)
	}
	if _, err := s.Tag(m.ID, "kept"); err != nil {
		t.Fatal(err)
	}
	if done, err := s.removeVictims(plan, Nobody); err != nil || len(done) > 0 {
		t.Errorf("removed %v, %v", done, err)
	}
	if _, err := s.Resolve("kept", Platform{}); err != nil {
		t.Error(err)
	}
}
