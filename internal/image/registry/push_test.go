package registry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

func mustPush(t testing.TB, c *Client, s *store.Store, name string, o PushOptions) Sent {
	t.Helper()
	out, err := c.Push(context.Background(), s, mustParse(t, name), o)
	if err != nil {
		t.Fatalf("push %s: %v", name, err)
	}
	return out
}

// stored returns what the registry has under a path.
func (f *fakeRegistry) stored(t testing.TB, path string) (string, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	f.inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		t.Errorf("%s: %d", path, w.Code)
	}
	return w.Header().Get("Content-Type"), w.Body.Bytes()
}

func TestPush(t *testing.T) {
	host := store.HostPlatform()
	from, to := newFake(t), newFake(t)
	m := makeImage(t, dockerManifest, host, 100, 300<<10, 2<<20)
	from.image(t, "a", "latest", m)
	s, c := newStore(t), newClient()
	mustPull(t, c, s, from.Host+"/a", PullOptions{})
	if _, err := s.Tag(from.Host+"/a", to.Host+"/team/b:v1"); err != nil {
		t.Fatal(err)
	}
	to.set(nil)
	sent := mustPush(t, c, s, to.Host+"/team/b:v1", PushOptions{})
	if sent.Digest != digestOf(m.manifest) || sent.Size != int64(len(m.manifest)) {
		t.Errorf("sent %+v", sent)
	}
	if typ, data := to.stored(t, "/v2/team/b/manifests/v1"); typ != dockerManifest || string(data) != string(m.manifest) {
		t.Errorf("manifest of type %s: %s", typ, data)
	}
	// Again: nothing but questions and the manifest.
	to.set(nil)
	mustPush(t, c, s, to.Host+"/team/b:v1", PushOptions{})
	for _, r := range to.requests() {
		if strings.HasPrefix(r, "POST") || strings.HasPrefix(r, "PUT") && !strings.Contains(r, "/manifests/") {
			t.Errorf("sent again: %s", r)
		}
	}
	out := mustPull(t, c, newStore(t), to.Host+"/team/b:v1", PullOptions{})
	checkTree(t, &out.Image, host.Arch, 100, 300<<10, 2<<20)
}

// TestPushMounts takes blobs from another repository of the registry.
func TestPushMounts(t *testing.T) {
	f := newFake(t)
	m := makeImage(t, ociManifest, store.HostPlatform(), 100, 300)
	f.image(t, "a", "latest", m)
	s, c := newStore(t), newClient()
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if _, err := s.Tag(f.Host+"/a", f.Host+"/b"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		status int // of the answer to a mount
		puts   int
	}{{"mounted", http.StatusCreated, 0}, {"not known", http.StatusAccepted, 3}, {"not allowed", http.StatusForbidden, 3}, {"not implemented", http.StatusMethodNotAllowed, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				switch {
				case r.Method == http.MethodHead: // there is one store behind all repositories
					w.WriteHeader(http.StatusNotFound)
					return true
				case r.Method == http.MethodPost && r.URL.Query().Get("from") != "":
					if r.URL.Query().Get("from") != "a" {
						t.Errorf("mount %s", r.URL)
					}
					if tt.status == http.StatusAccepted {
						r.URL.RawQuery = ""
						return false
					}
					w.WriteHeader(tt.status)
					return true
				}
				return false
			})
			mustPush(t, c, s, f.Host+"/b", PushOptions{})
			puts := 0
			for _, r := range f.requests() {
				if strings.HasPrefix(r, "PUT") && !strings.Contains(r, "/manifests/") {
					puts++
				}
			}
			if puts != tt.puts {
				t.Errorf("%d uploads, want %d: %q", puts, tt.puts, f.requests())
			}
		})
	}
}

func TestPushIndex(t *testing.T) {
	host, other := store.HostPlatform(), store.Platform{OS: "linux", Arch: "s390x"}
	f, to := newFake(t), newFake(t)
	index := f.index(t, "a", "latest", ociIndex, map[store.Platform]*testImage{host: makeImage(t, ociManifest, host, 7), other: makeImage(t, ociManifest, other, 8)})
	s, c := newStore(t), newClient()
	pulled := mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if _, err := s.Tag(f.Host+"/a", to.Host+"/a"); err != nil {
		t.Fatal(err)
	}
	if sent := mustPush(t, c, s, to.Host+"/a", PushOptions{}); sent.Digest != pulled.Image.Manifest {
		t.Errorf("one platform: sent %+v", sent)
	}
	mustPull(t, c, s, f.Host+"/a", PullOptions{Platform: other})
	if sent := mustPush(t, c, s, to.Host+"/a", PushOptions{}); sent.Digest != digestOf(index) {
		t.Errorf("all platforms: sent %+v", sent)
	}
	if sent := mustPush(t, c, s, to.Host+"/a", PushOptions{Platform: host}); sent.Digest != pulled.Image.Manifest {
		t.Errorf("--platform: sent %+v", sent)
	}
}

// TestPushFaults pushes to a registry in trouble.
func TestPushFaults(t *testing.T) {
	host := store.HostPlatform()
	f := newFake(t)
	sizes := []int{3 << 20, 100, 200}
	f.image(t, "a", "latest", makeImage(t, ociManifest, host, sizes...))
	s, c := newStore(t), newClient()
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request, n int) bool{
		"busy": func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 || r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/") { // each upload has a path of its own
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		},
		"uploads are lost": func() func(w http.ResponseWriter, r *http.Request, n int) bool {
			lost := 0
			return func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method != http.MethodPut || strings.Contains(r.URL.Path, "/manifests/") || lost > 2 {
					return false
				}
				lost++
				_, _ = http.MaxBytesReader(w, r.Body, 1<<20).Read(make([]byte, 1<<20))
				panic(http.ErrAbortHandler)
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			to := newFake(t)
			if _, err := s.Tag(f.Host+"/a", to.Host+"/a"); err != nil {
				t.Fatal(err)
			}
			to.set(fault)
			mustPush(t, c, s, to.Host+"/a", PushOptions{Layers: 1})
			to.set(nil)
			out := mustPull(t, c, newStore(t), to.Host+"/a", PullOptions{})
			checkTree(t, &out.Image, host.Arch, sizes...)
		})
	}
}

func TestPushToken(t *testing.T) {
	host := store.HostPlatform()
	ts := newTokenServer(t, "u", "p", time.Minute)
	f := newFake(t)
	f.image(t, "a", "latest", makeImage(t, ociManifest, host, 100))
	f.set(ts.check)
	s, c := newStore(t), newClient()
	c.Keys = keys{Username: "u", Password: "p"}
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if _, err := s.Tag(f.Host+"/a", f.Host+"/b"); err != nil {
		t.Fatal(err)
	}
	mustPush(t, c, s, f.Host+"/b", PushOptions{})
	c = newClient()
	c.Keys = keys{Username: "u", Password: "x"}
	_, err := c.Push(context.Background(), s, mustParse(t, f.Host+"/b"), PushOptions{})
	if fault.KindOf(err) != fault.Denied {
		t.Errorf("wrong password: %v", err)
	}
}

// TestPushImported packs what was never a blob.
func TestPushImported(t *testing.T) {
	f := newFake(t)
	s, c := newStore(t), newClient()
	m, err := s.Import(context.Background(), store.Source{Reader: strings.NewReader(string(tarOf(t, "file", 5000)))}, f.Host+"/imported", store.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Manifest != "" {
		t.Fatalf("an import has a manifest: %s", m.Manifest)
	}
	sent := mustPush(t, c, s, f.Host+"/imported", PushOptions{})
	again, err := s.Resolve(f.Host+"/imported", store.Platform{})
	if err != nil || again.ID != m.ID || again.Manifest != sent.Digest {
		t.Errorf("%v: id %s, manifest %s", err, again.ID, again.Manifest)
	}
	out := mustPull(t, c, newStore(t), f.Host+"/imported", PullOptions{})
	if out.Image.ID != m.ID {
		t.Errorf("pulled id %s, imported %s", out.Image.ID, m.ID)
	}
}
