package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/storage/layer/deflate"
	"github.com/tare-engine/tare/internal/storage/layer/unzstd"
)

// testImage is an image to be pulled.
type testImage struct {
	manifest, config []byte
	layers           [][]byte
	mediaType        string
}

const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// tarOf packs files of the given sizes.
func tarOf(t testing.TB, name string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(size), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(randomData(size))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// makeImage makes an image for a platform, with layers that are gzip, zstd and
// plain in turns.
func makeImage(t testing.TB, mediaType string, p store.Platform, sizes ...int) *testImage {
	t.Helper()
	m := &testImage{mediaType: mediaType}
	var diffs []string
	var descs []map[string]any
	for i, n := range sizes {
		plain := tarOf(t, fmt.Sprintf("%s-%d", p.Arch, i), n)
		diffs = append(diffs, digestOf(plain))
		blob, kind := plain, ""
		switch i % 3 {
		case 0:
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(plain)
			_ = z.Close()
			blob, kind = b.Bytes(), "+gzip"
		case 1:
			z, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			blob, kind = z.EncodeAll(plain, nil), "+zstd"
		}
		m.layers = append(m.layers, blob)
		descs = append(descs, map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar" + kind, "digest": digestOf(blob), "size": len(blob)})
	}
	m.config = mustJSON(t, map[string]any{
		"architecture": p.Arch, "os": p.OS, "variant": p.Variant, "config": map[string]any{"Cmd": []string{"/bin/" + p.Arch}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	m.manifest = mustJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": mediaType, "layers": descs,
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digestOf(m.config), "size": len(m.config)},
	})
	return m
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fakeRegistry) image(t testing.TB, repo, tag string, m *testImage) {
	t.Helper()
	for _, l := range m.layers {
		f.blob(t, repo, l)
	}
	f.blob(t, repo, m.config)
	f.put(t, "/v2/"+repo+"/manifests/"+tag, m.mediaType, m.manifest)
}

// index stores an index of images and returns it.
func (f *fakeRegistry) index(t testing.TB, repo, tag, mediaType string, platforms map[store.Platform]*testImage) []byte {
	t.Helper()
	var list []map[string]any
	for p, m := range platforms {
		f.image(t, repo, digestOf(m.manifest), m)
		list = append(list, map[string]any{
			"mediaType": m.mediaType, "digest": digestOf(m.manifest), "size": len(m.manifest),
			"platform": map[string]any{"os": p.OS, "architecture": p.Arch, "variant": p.Variant},
		})
	}
	data := mustJSON(t, map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": list})
	f.put(t, "/v2/"+repo+"/manifests/"+tag, mediaType, data)
	return data
}

func newStore(t testing.TB) *store.Store {
	t.Helper()
	testkit.Root(t, "kills pulls") // layers have owners
	s := store.Open(filepath.Join(t.TempDir(), "root"))
	s.Zstd, s.Gzip = unzstd.New, deflate.New
	return s
}

func mustPull(t testing.TB, c *Client, s *store.Store, name string, o PullOptions) Pulled {
	t.Helper()
	out, err := c.Pull(context.Background(), s, mustParse(t, name), o)
	if err != nil {
		t.Fatalf("pull %s: %v", name, err)
	}
	return out
}

func mustParse(t testing.TB, name string) reference.Ref {
	t.Helper()
	r, err := reference.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkTree compares what was unpacked with what was packed.
func checkTree(t testing.TB, m *store.Image, arch string, sizes ...int) {
	t.Helper()
	for i, n := range sizes {
		got, err := os.ReadFile(filepath.Join(m.Lower[len(sizes)-1-i], fmt.Sprintf("%s-%d", arch, i)))
		if err != nil || !bytes.Equal(got, randomData(n)) {
			t.Errorf("layer %d: %v, equal: %t", i, err, bytes.Equal(got, randomData(n)))
		}
	}
}

func TestPull(t *testing.T) {
	host := store.HostPlatform()
	other := store.Platform{OS: "linux", Arch: "s390x"}
	for _, tt := range []struct{ manifest, index string }{{ociManifest, ociIndex}, {dockerManifest, dockerList}} {
		t.Run(tt.manifest, func(t *testing.T) {
			f := newFake(t)
			one := makeImage(t, tt.manifest, host, 100, 200<<10, 3<<20, 5)
			f.image(t, "team/app", "v1", one)
			index := f.index(t, "team/app", "multi", tt.index, map[store.Platform]*testImage{host: makeImage(t, tt.manifest, host, 7), other: makeImage(t, tt.manifest, other, 8)})
			s, c := newStore(t), newClient()

			f.set(nil)
			out := mustPull(t, c, s, f.Host+"/team/app:v1", PullOptions{})
			if !out.Fresh || out.Digest != digestOf(one.manifest) || out.Image.ID != digestOf(one.config) {
				t.Errorf("pulled %+v", out)
			}
			checkTree(t, &out.Image, host.Arch, 100, 200<<10, 3<<20, 5)

			// The same again: one round trip.
			f.set(nil)
			out = mustPull(t, c, s, f.Host+"/team/app:v1", PullOptions{})
			if got := f.requests(); out.Fresh || len(got) != 1 || got[0] != "HEAD /v2/team/app/manifests/v1" {
				t.Errorf("again: fresh %t, requests %q", out.Fresh, got)
			}
			// By digest: none.
			f.set(nil)
			out = mustPull(t, c, s, f.Host+"/team/app@"+digestOf(one.manifest), PullOptions{})
			if got := f.requests(); len(got) != 0 {
				t.Errorf("by digest: requests %q", got)
			}

			out = mustPull(t, c, s, f.Host+"/team/app:multi", PullOptions{})
			if out.Digest != digestOf(index) || out.Image.Platform != host {
				t.Errorf("index: %+v", out)
			}
			f.set(nil)
			out = mustPull(t, c, s, f.Host+"/team/app:multi", PullOptions{})
			if got := f.requests(); out.Fresh || len(got) != 1 {
				t.Errorf("index again: fresh %t, requests %q", out.Fresh, got)
			}
			// From a registry that does not know HEAD, or says no digest.
			for _, status := range []int{http.StatusMethodNotAllowed, http.StatusOK} {
				f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
					if r.Method == http.MethodHead {
						w.WriteHeader(status)
					}
					return r.Method == http.MethodHead
				})
				if out = mustPull(t, c, s, f.Host+"/team/app:multi", PullOptions{}); out.Fresh || len(f.requests()) != 2 {
					t.Errorf("HEAD is %d: fresh %t, requests %q", status, out.Fresh, f.requests())
				}
			}
			f.set(nil)
			// By the digest of the index, and with a tag that says nothing.
			out = mustPull(t, c, s, f.Host+"/team/app:x@"+digestOf(index), PullOptions{})
			if got := f.requests(); out.Fresh || len(got) != 0 {
				t.Errorf("index by digest: fresh %t, requests %q", out.Fresh, got)
			}
			out = mustPull(t, c, s, f.Host+"/team/app:multi", PullOptions{Platform: other})
			if out.Image.Platform != other || !out.Fresh {
				t.Errorf("other platform: %+v", out)
			}
			checkTree(t, &out.Image, other.Arch, 8)
		})
	}
}

// TestPullBesideOthers pulls the host's image where two others are here.
func TestPullBesideOthers(t *testing.T) {
	f := newFake(t)
	all := map[store.Platform]*testImage{}
	platforms := []store.Platform{{OS: "linux", Arch: "s390x"}, {OS: "linux", Arch: "ppc64le"}, store.HostPlatform()}
	for i, p := range platforms {
		all[p] = makeImage(t, ociManifest, p, 10+i)
	}
	f.index(t, "a", "latest", ociIndex, all)
	s, c := newStore(t), newClient()
	for _, p := range platforms[:2] {
		mustPull(t, c, s, f.Host+"/a", PullOptions{Platform: p})
	}
	if out := mustPull(t, c, s, f.Host+"/a", PullOptions{}); out.Image.Platform != store.HostPlatform() {
		t.Errorf("pulled %+v", out)
	}
}

// TestPullMoved follows a tag that has moved to another image.
func TestPullMoved(t *testing.T) {
	f := newFake(t)
	s, c := newStore(t), newClient()
	f.image(t, "a", "latest", makeImage(t, ociManifest, store.HostPlatform(), 1000))
	first := mustPull(t, c, s, f.Host+"/a", PullOptions{})
	f.image(t, "a", "latest", makeImage(t, ociManifest, store.HostPlatform(), 1000, 2000))
	f.set(nil)
	second := mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if second.Image.ID == first.Image.ID || !second.Fresh {
		t.Errorf("pulled %s after %s", second.Image.ID, first.Image.ID)
	}
	blobs := 0
	for _, r := range f.requests() {
		if strings.Contains(r, "/blobs/") {
			blobs++
		}
	}
	if blobs != 2 { // the config and the new layer
		t.Errorf("requests %q", f.requests())
	}
}

func TestPullRefuses(t *testing.T) {
	host := store.HostPlatform()
	f := newFake(t)
	f.image(t, "a", "ok", makeImage(t, ociManifest, host, 100))
	f.image(t, "a", "arm", makeImage(t, ociManifest, store.Platform{OS: "linux", Arch: "mips64le"}, 100))
	f.index(t, "a", "noarch", ociIndex, map[store.Platform]*testImage{{OS: "linux", Arch: "mips64le"}: makeImage(t, ociManifest, store.Platform{OS: "linux", Arch: "mips64le"}, 1)})
	f.put(t, "/v2/a/manifests/one", "application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1,"name":"a","tag":"one","fsLayers":[]}`))
	bad := makeImage(t, ociManifest, host, 100)
	bad.manifest = bytes.Replace(bad.manifest, []byte(digestOf(bad.config)), []byte(digestOf([]byte("gone"))), 1)
	f.image(t, "a", "noconfig", bad)
	short := makeImage(t, ociManifest, host, 100, 200)
	short.manifest = mustJSON(t, map[string]any{
		"schemaVersion": 2, "config": map[string]any{"digest": digestOf(short.config), "size": len(short.config)},
		"layers": []map[string]any{{"digest": digestOf(short.layers[0]), "size": len(short.layers[0])}},
	})
	f.image(t, "a", "short", short)

	for _, tt := range []struct {
		name string
		o    PullOptions
		kind fault.Kind
		text string
	}{
		{"a:none", PullOptions{}, fault.NotFound, "manifest for HOST/a:none not found: manifest unknown"},
		{"none", PullOptions{}, fault.NotFound, "404 Not Found"},
		{"a:one", PullOptions{}, fault.Unsupported, "HOST/a:one: the image has a manifest of schema version 1, which is not supported"},
		{"a:noarch", PullOptions{}, fault.NotFound, "the image is for linux/mips64le"},
		{"a:arm", PullOptions{Platform: host}, fault.NotFound, "the image is for linux/mips64le, not " + host.String()},
		{"a:noconfig", PullOptions{}, fault.NotFound, "404"},
		{"a:short", PullOptions{}, fault.Invalid, "the manifest has 1 layers, the config 2"},
		{"a@" + digestOf([]byte("x")), PullOptions{}, fault.NotFound, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			_, err := newClient().Pull(context.Background(), s, mustParse(t, f.Host+"/"+tt.name), tt.o)
			if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), strings.ReplaceAll(tt.text, "HOST", f.Host)) {
				t.Errorf("%v (%s), want %q (%s)", err, fault.KindOf(err), tt.text, tt.kind)
			}
			if list, err := s.List(); err != nil || len(list) != 0 {
				t.Errorf("left %v, %v", list, err)
			}
		})
	}
}

// TestPullFaults pulls through a registry in trouble.
func TestPullFaults(t *testing.T) {
	host := store.HostPlatform()
	sizes := []int{9 << 20, 100, 17 << 20, 2 << 20}
	for name, fault := range map[string]func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool{
		"cuts": func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool { return f.cut(6, 4<<20) },
		"busy": func(*fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, n int) bool {
				if n == 1 {
					w.Header().Set("Retry-After", "0")
					w.WriteHeader(http.StatusTooManyRequests)
				}
				return n == 1
			}
		},
		"damaged once": func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool {
			return func(w http.ResponseWriter, r *http.Request, n int) bool {
				if !isBlobGet(r) || n > 1 {
					return false
				}
				f.inner.ServeHTTP(&bodyWriter{w, func(p []byte) []byte { p[len(p)/2] ^= 1; return p }}, r)
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.image(t, "a", "latest", makeImage(t, ociManifest, host, sizes...))
			f.set(fault(f))
			out := mustPull(t, newClient(), newStore(t), f.Host+"/a", PullOptions{})
			checkTree(t, &out.Image, host.Arch, sizes...)
		})
	}
	t.Run("damaged for ever", func(t *testing.T) {
		f := newFake(t)
		m := makeImage(t, ociManifest, host, sizes...)
		f.image(t, "a", "latest", m)
		f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if !isBlobGet(r) || !strings.HasSuffix(r.URL.Path, digestOf(m.layers[2])) {
				return false
			}
			f.inner.ServeHTTP(&bodyWriter{w, func(p []byte) []byte { p[len(p)/2] ^= 1; return p }}, r)
			return true
		})
		s := newStore(t)
		_, err := newClient().Pull(context.Background(), s, mustParse(t, f.Host+"/a"), PullOptions{})
		if err == nil || !strings.Contains(err.Error(), "the content has digest") {
			t.Errorf("error %v", err)
		}
		f.set(nil) // and repaired: only what was wrong comes again
		out := mustPull(t, newClient(), s, f.Host+"/a", PullOptions{})
		checkTree(t, &out.Image, host.Arch, sizes...)
	})
	t.Run("damaged on a mirror", func(t *testing.T) {
		own, mirror := newFake(t), newFake(t)
		m := makeImage(t, ociManifest, host, sizes...)
		own.image(t, "a", "latest", m)
		mirror.image(t, "a", "latest", m)
		mirror.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if isBlobGet(r) {
				mirror.inner.ServeHTTP(&bodyWriter{w, func(p []byte) []byte { p[0] ^= 1; return p }}, r)
			}
			return isBlobGet(r)
		})
		c := newClient()
		c.Config.Registries = []Registry{{Prefix: "example.test", Location: own.Host, Mirrors: []Mirror{{Location: mirror.Host}}}}
		out := mustPull(t, c, newStore(t), "example.test/a", PullOptions{})
		checkTree(t, &out.Image, host.Arch, sizes...)
	})
}

// TestPullTogether has several clients pull one image: each blob comes once.
func TestPullTogether(t *testing.T) {
	f := newFake(t)
	host := store.HostPlatform()
	f.image(t, "a", "latest", makeImage(t, ociManifest, host, 1<<20, 2<<20, 300, 4<<20))
	f.set(nil)
	s := newStore(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine := *s // flocks are of the open file: one process is as good as four
			out, err := newClient().Pull(context.Background(), &mine, mustParse(t, f.Host+"/a"), PullOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			checkTree(t, &out.Image, host.Arch, 1<<20, 2<<20, 300, 4<<20)
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, r := range f.requests() {
		if strings.Contains(r, "/blobs/") {
			count[r]++
		}
	}
	if len(count) != 5 {
		t.Errorf("requests %v", count)
	}
	for r, n := range count {
		if n != 1 {
			t.Errorf("%s: %d times", r, n)
		}
	}
}

func TestTags(t *testing.T) {
	f := newFake(t)
	m := makeImage(t, ociManifest, store.HostPlatform(), 10)
	for i := range 25 {
		f.image(t, "a", fmt.Sprintf("t%02d", i), m)
	}
	tags, err := repo(t, newClient(), f.Host, "a").Tags(context.Background())
	if err != nil || len(tags) != 25 {
		t.Errorf("%d tags, %v", len(tags), err)
	}
	// In pages.
	f.set(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n < 3 {
			w.Header().Set("Link", fmt.Sprintf(`</v2/a/tags/list?n=1000&last=p%d>; rel="next"`, n))
		}
		_, _ = fmt.Fprintf(w, `{"name":"a","tags":["p%d%s"]}`, n, r.URL.Query().Get("last"))
		return true
	})
	tags, err = repo(t, newClient(), f.Host, "a").Tags(context.Background())
	if err != nil || fmt.Sprint(tags) != "[p1 p2p1 p3p2]" {
		t.Errorf("%v, %v", tags, err)
	}
}
