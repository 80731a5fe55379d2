package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/storage/layer/deflate"
	"github.com/tare-engine/tare/internal/storage/layer/unzstd"
)

// TestMain is also the program that the tests below start and kill: it pulls
// the image of TARE_TEST_PULL into the store of TARE_TEST_ROOT, which with
// TARE_TEST_SPACE is a tmpfs of that many bytes.
func TestMain(m *testing.M) {
	if name := os.Getenv("TARE_TEST_PULL"); name != "" {
		if err := pullHere(name, os.Getenv("TARE_TEST_ROOT"), os.Getenv("TARE_TEST_SPACE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func pullHere(name, root, space string) error {
	if space != "" {
		if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", root, "tmpfs", 0, "size="+space)); err != nil {
			return err
		}
	}
	ref, err := reference.Parse(name)
	if err != nil {
		return err
	}
	s := store.Open(root)
	s.Zstd, s.Gzip = unzstd.New, deflate.New
	_, err = newClient().Pull(context.Background(), s, ref, PullOptions{})
	if space != "" {
		var st unix.Statfs_t
		if err := unix.Statfs(root, &st); err != nil {
			return err
		}
		fmt.Println("left:", (int64(st.Blocks)-int64(st.Bfree))*st.Bsize)
	}
	return err
}

// child starts the program above.
func child(t testing.TB, name, root string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "TARE_TEST_PULL="+name, "TARE_TEST_ROOT="+root), env...)
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// TestKilled kills pulls at random moments. The store works after each, has
// all of an image or nothing, and a pull goes on where the last one ended.
func TestKilled(t *testing.T) {
	testkit.Root(t, "kills pulls")
	f := newFake(t)
	host := store.HostPlatform()
	sizes := []int{6 << 20, 100, 20 << 20, 3 << 20}
	m := makeImage(t, ociManifest, host, sizes...)
	f.image(t, "a", "latest", m)
	name := f.Host + "/a"

	// How long a pull takes when it is left alone.
	begin := time.Now()
	cmd, out := child(t, name, t.TempDir())
	if err := cmd.Run(); err != nil {
		t.Fatal(err, out)
	}
	full := time.Since(begin)

	root := t.TempDir()
	s := store.Open(root)
	s.Zstd, s.Gzip = unzstd.New, deflate.New
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	finished := 0
	for i := range rounds {
		cmd, out := child(t, name, root)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(rand.N(full), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && (!ok || !st.Signaled()) {
			t.Fatalf("round %d: %v: %s", i, err, out)
		}
		mustBeWell(t, s)
		img, rerr := s.Resolve(name, store.Platform{})
		if rerr == nil {
			finished++
			checkTree(t, &img, host.Arch, sizes...)
			if _, err := s.Remove(name, store.RemoveOptions{}); err != nil {
				t.Fatal(err)
			}
		} else if err == nil {
			t.Fatalf("round %d: done, but %v", i, rerr)
		}
	}
	t.Logf("%d rounds of at most %v, %d of them finished", rounds, full, finished)
	img := mustPull(t, newClient(), s, name, PullOptions{})
	mustBeWell(t, s)
	for _, dir := range []string{"/staging", "/partial"} {
		if left, err := os.ReadDir(root + dir); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
	checkTree(t, &img.Image, host.Arch, sizes...)
}

// mustBeWell checks every digest of a store. What nobody names is no damage:
// the next removal takes it.
func mustBeWell(t *testing.T, s *store.Store) {
	t.Helper()
	r, err := s.Check(context.Background(), store.CheckOptions{})
	if err != nil {
		t.Error(err)
	}
	for _, p := range r.Problems {
		if p.Text != "no image has it" {
			t.Errorf("check: %s: %s", p.Object, p.Text)
		}
	}
}

// TestKilledResumes kills a pull in the middle of a layer: the next one asks
// for the rest.
func TestKilledResumes(t *testing.T) {
	testkit.Root(t, "kills pulls")
	f := newFake(t)
	m := makeImage(t, ociManifest, store.HostPlatform(), 30<<20)
	f.image(t, "a", "latest", m)
	name, root := f.Host+"/a", t.TempDir()
	size := len(m.layers[0])

	// Each range of the first round ends in a body that does not go on.
	var once sync.Once
	half := make(chan struct{})
	f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if !isBlobGet(r) || !strings.HasSuffix(r.URL.Path, digestOf(m.layers[0])) {
			return false
		}
		f.inner.ServeHTTP(&haltWriter{ResponseWriter: w, n: 5 << 20, done: r.Context().Done(), halted: func() { once.Do(func() { close(half) }) }}, r)
		return true
	})
	cmd, out := child(t, name, root)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	if got := waitForBytes(t, filepath.Join(root, "partial", strings.TrimPrefix(digestOf(m.layers[0]), "sha256:")), 4<<20); got == 0 {
		t.Error("nothing has come", out)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	// What the dead one asked for may still be on its way: only the second
	// client counts.
	var mu sync.Mutex
	asked := int64(0)
	f.set(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		var a, b int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b); err == nil && r.UserAgent() == "second" {
			mu.Lock()
			asked += b - a + 1
			mu.Unlock()
		}
		return false
	})
	s := store.Open(root)
	c := newClient()
	c.Agent = "second"
	img := mustPull(t, c, s, name, PullOptions{})
	checkTree(t, &img.Image, store.HostPlatform().Arch, 30<<20)
	if asked == 0 || asked > int64(size)-(3<<20) {
		t.Errorf("asked for %d of %d bytes: %q", asked, size, f.requests())
	}
}

// waitForBytes waits until the file has that much data.
func waitForBytes(t testing.TB, path string, n int64) int64 {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err == nil && st.Blocks*512 >= n {
			return st.Blocks * 512
		}
	}
	return 0
}

// haltWriter lets n bytes through and then waits until the client goes away.
type haltWriter struct {
	http.ResponseWriter
	n      int
	done   <-chan struct{}
	halted func()
}

func (h *haltWriter) Write(p []byte) (int, error) {
	if len(p) >= h.n {
		_, _ = h.ResponseWriter.Write(p[:h.n])
		_ = http.NewResponseController(h.ResponseWriter).Flush()
		h.halted()
		<-h.done
		panic(http.ErrAbortHandler)
	}
	h.n -= len(p)
	return h.ResponseWriter.Write(p)
}

// TestProcesses has four processes pull one image into one store.
func TestProcesses(t *testing.T) {
	testkit.Root(t, "kills pulls")
	f := newFake(t)
	sizes := []int{4 << 20, 9 << 20, 100}
	f.image(t, "a", "latest", makeImage(t, ociManifest, store.HostPlatform(), sizes...))
	f.set(nil)
	root := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cmd, out := child(t, f.Host+"/a", root)
			if err := cmd.Run(); err != nil {
				t.Error(err, out)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, r := range f.requests() {
		if strings.Contains(r, "/blobs/") {
			seen[r]++
		}
	}
	for r, n := range seen {
		if n > 1 {
			t.Errorf("%s: %d times", r, n)
		}
	}
	img, err := store.Open(root).Resolve(f.Host+"/a", store.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	checkTree(t, &img, store.HostPlatform().Arch, sizes...)
}

// TestDiskFull pulls into a store that is too small: it says so, and gives
// back what it took.
func TestDiskFull(t *testing.T) {
	testkit.Root(t, "kills pulls")
	f := newFake(t)
	f.image(t, "a", "latest", makeImage(t, ociManifest, store.HostPlatform(), 4<<20, 30<<20, 2<<20))
	cmd, out := child(t, f.Host+"/a", t.TempDir(), "TARE_TEST_SPACE=16m")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	err := cmd.Run()
	text := out.String()
	if err == nil || !strings.Contains(text, "no space left on device") {
		t.Errorf("%v: %s", err, text)
	}
	var left int64
	if _, err := fmt.Sscanf(text, "left: %d", &left); err != nil || left > 1<<20 {
		t.Errorf("%d bytes are left: %s", left, text)
	}
	t.Log(text)
}
