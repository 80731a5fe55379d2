package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

// TestMain lets the test binary be the process that the crash test kills.
func TestMain(m *testing.M) {
	if root := os.Getenv("TARE_TEST_CHURN"); root != "" {
		churn(Open(root))
	}
	os.Exit(m.Run())
}

// churn imports, pulls, names and removes images until it is killed.
func churn(s *Store) {
	t := &testing.T{}
	for i := 0; ; i++ {
		if i%3 == 2 {
			p := makePulled(t, plainBlob, tarOf("./", "base=1"), tarOf("f="+strings.Repeat("x", 5000), "big="+noise(3<<20)))
			_, _, err := p.pull(context.Background(), s, "pulled", "x")
			if err == nil && i%4 == 1 {
				_, err = s.GC(api.GCPolicy{MaxBytes: 1}, Nobody, false)
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(3)
			}
			continue
		}
		data := tarOf("./", "f="+strings.Repeat("x", 5000), fmt.Sprintf("n=%d", i%3))
		_, err := s.AddImage(context.Background(), "x", Platform{}, api.ImageDefaults{}, bytes.NewReader(tarOf("./", "base=1")), bytes.NewReader(data))
		if err == nil && i%2 == 1 {
			_, err = s.Remove("x", RemoveOptions{})
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
}

// check fails unless every image of the store is whole.
func check(t *testing.T, s *Store) {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		for i, dir := range m.Lower {
			if _, err := os.Lstat(dir); err != nil {
				t.Errorf("image %s: %v", m.ShortID(), err)
			}
			meta, err := os.ReadFile(filepath.Dir(dir) + "/meta")
			if err != nil || !strings.HasSuffix(string(meta), "\nend\n") {
				t.Errorf("image %s, layer %d: meta %q, %v", m.ShortID(), i, meta, err)
			}
		}
		if data, err := os.ReadFile(m.Lower[0] + "/f"); err != nil || len(data) != 5000 {
			t.Errorf("image %s: %d bytes of content, %v", m.ShortID(), len(data), err)
		}
		for _, digest := range m.blobs {
			if data, err := os.ReadFile(s.blobPath(digest)); err != nil || digestOf(data) != digest {
				t.Errorf("image %s: blob %s: %v", m.ShortID(), digest, err)
			}
		}
		if _, err := s.Resolve(m.ID, Platform{}); err != nil {
			t.Errorf("image %s: %v", m.ShortID(), err)
		}
	}
}

// TestKill kills a process that changes the store at many moments. Whatever is
// left works, and goes away.
func TestKill(t *testing.T) {
	s := newStore(t)
	rounds := 20
	if os.Getenv("TARE_SOAK") != "" {
		rounds = 500
	}
	for i := range rounds {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "TARE_TEST_CHURN="+s.root)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+i*7%300) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("churn ended: %v\n%s", err, out.String())
		}
		if err := s.Recover(); err != nil {
			t.Fatal(err)
		}
		check(t, s)
		report, err := s.Check(context.Background(), CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			if p.Text != "no image has it" { // the next removal takes it
				t.Errorf("round %d: %s: %s", i, p.Object, p.Text)
			}
		}
	}
	if report, err := s.Check(context.Background(), CheckOptions{Repair: true}); err != nil {
		t.Errorf("%s%v", report.String(), err)
	}
	if report, err := s.Check(context.Background(), CheckOptions{}); err != nil || len(report.Problems) > 0 {
		t.Errorf("after the repair: %s%v", report.String(), err)
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if _, err := s.Remove(m.ID, RemoveOptions{Force: true}); err != nil && fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
	}
	if err := s.collect(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, empty)
}

func TestTwoAtOnce(t *testing.T) {
	s := newStore(t)
	base := archive(t, "./", "base=1")
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for p := range 4 {
		wg.Go(func() {
			mine := Open(s.root)
			for i := range 8 {
				data := tarOf("./", "f="+strings.Repeat("x", 5000), fmt.Sprintf("n=%d", i%3))
				name := fmt.Sprintf("x%d", i%2)
				_, err := mine.AddImage(context.Background(), name, Platform{}, api.ImageDefaults{}, bytes.NewReader(base), bytes.NewReader(data))
				if err == nil && p == 3 {
					_, err = mine.Remove(name, RemoveOptions{Force: true})
				}
				if err != nil && fault.KindOf(err) != fault.NotFound {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	check(t, s)
	if err := s.collect(); err != nil {
		t.Fatal(err)
	}
	check(t, s)
	if left, err := os.ReadDir(s.root + "/staging"); err != nil || len(left) != 0 {
		t.Errorf("staging holds %v, %v", left, err)
	}
}

// TestDiskFull imports and pulls more than a small file system holds, in a
// process with a mount namespace of its own.
func TestDiskFull(t *testing.T) {
	testkit.Root(t, "owners are set")
	dir := os.Getenv("TARE_TEST_FULL")
	if dir == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestDiskFull$", "-test.v")
		cmd.Env = append(os.Environ(), "TARE_TEST_FULL="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) {
			t.Skipf("needs a mount namespace: %v", err)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	s := Open(dir + "/data")
	big := archive(t, "./", "big="+strings.Repeat("data", 2<<20))
	pulled := makePulled(t, plainBlob, archive(t, "small="+noise(2<<20)), big)
	free := func() uint64 {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		return st.Bfree
	}
	stage, err := s.stage() // makes the store
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Discard(); err != nil {
		t.Fatal(err)
	}
	before := free()
	for _, add := range []func() error{
		func() error {
			_, err := s.Import(context.Background(), Source{Reader: bytes.NewReader(big)}, "x", ImportOptions{})
			return err
		},
		func() error {
			_, err := s.AddImage(context.Background(), "x", Platform{}, api.ImageDefaults{}, bytes.NewReader(big))
			return err
		},
		func() error {
			_, _, err := pulled.pull(context.Background(), s, "x")
			return err
		},
	} {
		err := add()
		if !errors.Is(err, unix.ENOSPC) || fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v (%v)", err, fault.KindOf(err))
		}
		if after := free(); after != before {
			t.Errorf("%d blocks free, before %d", after, before)
		}
		wantContents(t, s, empty)
	}
}

// TestKeyCollision: a layer is never shared because of its short key alone.
func TestKeyCollision(t *testing.T) {
	s := newStore(t)
	m := mustImport(t, s, "x", "x=1")
	meta := s.layerDir(m.Layers[0]) + "/meta"
	if err := fsatomic.WriteFile(meta, []byte("tare-layer 1\nchain sha256:other\nend\n"), 0o600, fsatomic.Volatile); err != nil {
		t.Fatal(err)
	}
	_, err := s.Import(context.Background(), Source{Reader: bytes.NewReader(archive(t, "x=1"))}, "y", ImportOptions{})
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	wantContents(t, s, "sha256:1 layers:1 images:1 names:1 staging:0")
}

// TestDamaged: a record or a layer that is gone is an error, not a panic.
func TestDamaged(t *testing.T) {
	s := newStore(t)
	m := mustImport(t, s, "x", "x=1")
	for _, path := range []string{s.namePath("docker.io/library/x:latest", m.Platform), s.root + "/images/" + m.ID[7:]} {
		if err := os.WriteFile(path, []byte("tare-image 1\nid x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"x", m.ID} {
		if _, err := s.Resolve(ref, Platform{}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v", list, err)
	}
	if err := s.collect(); err == nil {
		t.Error("collected, though it cannot know what is in use")
	}
	if _, err := os.Stat(s.layerDir(m.Layers[0])); err != nil {
		t.Error(err)
	}
}
