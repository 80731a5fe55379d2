package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// memory takes a blob.
type memory struct {
	mu   sync.Mutex
	data []byte
	got  int
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.data[off:], p), nil
}

func randomData(n int) []byte {
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = rng.Read(data)
	return data
}

func repo(t testing.TB, c *Client, domain, path string) *Repo {
	t.Helper()
	r, err := c.Repo(domain, path, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fetch(r *Repo, data []byte, missing ...store.Range) ([]byte, error) {
	m := &memory{data: make([]byte, len(data))}
	if missing == nil {
		missing = []store.Range{{Off: 0, Len: int64(len(data))}}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := r.Fetch(ctx, Fetch{
		Digest: digestOf(data), Size: int64(len(data)), Missing: missing, To: m,
		Got: func(n int) { m.mu.Lock(); m.got += n; m.mu.Unlock() },
	})
	return m.data, err
}

func TestFetch(t *testing.T) {
	f := newFake(t)
	r := repo(t, newClient(), f.Host, "a/b")
	for _, size := range []int{0, 1, 4095, writeSize + 1, partSize, partSize + 1, 5*partSize + 77} {
		data := randomData(size)
		f.blob(t, "a/b", data)
		f.set(nil)
		got, err := fetch(r, data)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v, equal: %t", size, err, bytes.Equal(got, data))
		}
		if want := (size + partSize - 1) / partSize; len(f.requests()) != want {
			t.Errorf("%d bytes: requests %q, want %d", size, f.requests(), want)
		}
	}
}

func TestFetchResumes(t *testing.T) {
	f := newFake(t)
	data := randomData(2*partSize + 100)
	f.blob(t, "a", data)
	f.set(nil)
	got, err := fetch(repo(t, newClient(), f.Host, "a"), data, store.Range{Off: 1 << 20, Len: 1 << 20}, store.Range{Off: partSize + 5, Len: partSize + 95})
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, len(data))
	copy(want[1<<20:2<<20], data[1<<20:])
	copy(want[partSize+5:], data[partSize+5:])
	if !bytes.Equal(got, want) {
		t.Error("it fetched something else than what was missing")
	}
	if n := len(f.requests()); n != 3 {
		t.Errorf("requests %q", f.requests())
	}
}

// TestFetchFaults is a server in trouble that passes.
func TestFetchFaults(t *testing.T) {
	data := randomData(3*partSize + 1234)
	for name, fault := range map[string]func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool{
		"cuts":        func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool { return f.cut(20, 2<<20) },
		"cut at once": func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool { return f.cut(3, 1) },
		"busy": func(*fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool {
			return func(w http.ResponseWriter, _ *http.Request, n int) bool {
				if n%2 == 1 {
					w.Header().Set("Retry-After", "0")
					w.WriteHeader([]int{429, 503, 500, 502, 504}[n/2%5])
				}
				return n%2 == 1
			}
		},
		"no ranges": func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool {
			return func(w http.ResponseWriter, r *http.Request, _ int) bool {
				without("Range", f.inner).ServeHTTP(w, r)
				return true
			}
		},
		"no ranges and cuts": func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool {
			return func(w http.ResponseWriter, r *http.Request, n int) bool {
				if n <= 3 {
					w = &cutWriter{w, n * partSize / 2}
				}
				without("Range", f.inner).ServeHTTP(w, r)
				return true
			}
		},
		"stalls": func(f *fakeRegistry) func(http.ResponseWriter, *http.Request, int) bool {
			return func(w http.ResponseWriter, r *http.Request, n int) bool {
				if n > 2 {
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(partSize))
				w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+fmt.Sprint("/", len(data)))
				w.WriteHeader(http.StatusPartialContent)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.blob(t, "a", data)
			f.set(fault(f))
			c := newClient()
			c.Stall = 100 * time.Millisecond
			got, err := fetch(repo(t, c, f.Host, "a"), data)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v, equal: %t", err, bytes.Equal(got, data))
			}
		})
	}
}

// TestFetchRefuses is what no repetition helps.
func TestFetchRefuses(t *testing.T) {
	data := randomData(10 << 10)
	for _, tt := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request, f *fakeRegistry)
		kind  fault.Kind
		text  string
		most  int // requests
	}{
		{"longer", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) {
			w.Header().Set("Content-Length", "10241")
			_, _ = w.Write(append(data, 'x'))
		}, fault.Invalid, "the registry has another length than the manifest says: 10241 bytes in place of 10240", 1},
		{"longer, chunked", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) {
			_, _ = w.Write(data)
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(data)
		}, fault.Invalid, "the registry has another length than the manifest says: more than 10240 bytes", 1},
		{"shorter", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) {
			w.Header().Set("Content-Length", "10239")
			_, _ = w.Write(data[1:])
		}, fault.Invalid, "the registry has another length than the manifest says: 10239 bytes in place of 10240", 1},
		{"gone", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) { w.WriteHeader(404) }, fault.NotFound, "404 Not Found", 1},
		{"denied", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) { w.WriteHeader(403) }, fault.Denied, "403 Forbidden", 1},
		{"always busy", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) { w.WriteHeader(503) }, fault.Unavailable, "503 Service Unavailable", attempts},
		{"busy for hours", func(w http.ResponseWriter, _ *http.Request, _ *fakeRegistry) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}, fault.Unavailable, "429 Too Many Requests", 1},
		{"always cut", func(w http.ResponseWriter, r *http.Request, f *fakeRegistry) { f.inner.ServeHTTP(&cutWriter{w, 0}, r) }, fault.Unavailable, "EOF", 40},
		{"redirect loop", func(w http.ResponseWriter, r *http.Request, _ *fakeRegistry) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, fault.Unavailable, "redirects without end", maxRedirects},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.blob(t, "a", data)
			f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool { tt.fault(w, r, f); return true })
			_, err := fetch(repo(t, newClient(), f.Host, "a"), data)
			if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v (%s), want %q (%s)", err, fault.KindOf(err), tt.text, tt.kind)
			}
			if n := len(f.requests()); n > tt.most {
				t.Errorf("%d requests, want at most %d", n, tt.most)
			}
		})
	}
}

func TestFetchStopsWhenTheTakerDoes(t *testing.T) {
	f := newFake(t)
	data := randomData(4 * partSize)
	f.blob(t, "a", data)
	f.set(nil)
	no := errors.New("enough")
	err := repo(t, newClient(), f.Host, "a").Fetch(context.Background(), Fetch{
		Digest: digestOf(data), Size: int64(len(data)), Missing: []store.Range{{Off: 0, Len: int64(len(data))}},
		To: refuse{no}, Got: func(int) {},
	})
	if !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
	if n := len(f.requests()); n > partConns {
		t.Errorf("%d requests", n)
	}
}

type refuse struct{ err error }

func (r refuse) WriteAt([]byte, int64) (int, error) { return 0, r.err }

// TestRedirect sends a blob's request to another host, which must not see the
// credentials.
func TestRedirect(t *testing.T) {
	data := randomData(partSize + 10)
	digest := digestOf(data)
	var mu sync.Mutex
	leaked := ""
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		leaked += r.Header.Get("Authorization")
		mu.Unlock()
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	defer cdn.Close()
	f := newFake(t)
	ask := basicAuth("u", "p")
	f.set(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if ask(w, r, n) {
			return true
		}
		http.Redirect(w, r, cdn.URL+"/store/"+digest+"?sig=1", http.StatusTemporaryRedirect)
		return true
	})
	c := newClient()
	c.Keys = keys{Username: "u", Password: "p"}
	got, err := fetch(repo(t, c, f.Host, "a"), data)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%v, equal: %t", err, bytes.Equal(got, data))
	}
	if leaked != "" {
		t.Errorf("the other host was sent %q", leaked)
	}
}

// TestRedirectOnce asks the registry once where a blob is, and again when that
// address is not good any more.
func TestRedirectOnce(t *testing.T) {
	data := randomData(6*partSize + 10)
	var mu sync.Mutex
	asked, good := 0, 100
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		ok := asked <= good
		if !ok {
			good += 100
		}
		mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	defer cdn.Close()
	for name, tt := range map[string]struct{ good, requests int }{"good": {100, 1}, "ends": {3, 2}} {
		t.Run(name, func(t *testing.T) {
			asked, good = 0, tt.good
			f := newFake(t)
			f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				http.Redirect(w, r, cdn.URL+"/blob", http.StatusTemporaryRedirect)
				return true
			})
			got, err := fetch(repo(t, newClient(), f.Host, "a"), data)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%v, equal: %t", err, bytes.Equal(got, data))
			}
			if n := len(f.requests()); n < tt.requests || n > tt.requests+partConns {
				t.Errorf("%d requests to the registry, want %d", n, tt.requests)
			}
		})
	}
}

func TestMirrors(t *testing.T) {
	data := randomData(partSize + 99)
	own, good, empty := newFake(t), newFake(t), newFake(t)
	down := httptest.NewServer(nil)
	down.Close()
	good.blob(t, "hub/a", data)
	own.blob(t, "team/a", data)
	for _, tt := range []struct {
		name    string
		mirrors []Mirror
		own     bool // whether the registry itself is asked
	}{
		{"none", nil, true},
		{"good", []Mirror{{Location: good.Host + "/hub"}}, false},
		{"empty, down, good", []Mirror{{Location: empty.Host}, {Location: strings.TrimPrefix(down.URL, "http://")}, {Location: good.Host + "/hub"}}, false},
		{"empty", []Mirror{{Location: empty.Host + "/x"}}, true},
		{"only for digests", []Mirror{{Location: good.Host + "/hub", Pull: "digest-only"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own.set(nil)
			c := newClient()
			c.Config.Registries = []Registry{{Prefix: "example.test/team", Location: own.Host + "/team", Mirrors: tt.mirrors}}
			got, err := fetch(repo(t, c, "example.test", "team/a"), data)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%v, equal: %t", err, bytes.Equal(got, data))
			}
			if asked := len(own.requests()) > 0; asked != tt.own {
				t.Errorf("the registry itself was asked: %t, want %t", asked, tt.own)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	data := randomData(3 * partSize)
	t.Run("anonymous", func(t *testing.T) {
		ts := newTokenServer(t, "", "", time.Minute)
		f := newFake(t)
		f.blob(t, "a", data)
		f.set(ts.check)
		if _, err := fetch(repo(t, newClient(), f.Host, "a"), data); err != nil {
			t.Error(err)
		}
		if ts.asked != 1 {
			t.Errorf("%d tokens", ts.asked)
		}
	})
	t.Run("user", func(t *testing.T) {
		ts := newTokenServer(t, "u", "p", time.Minute)
		f := newFake(t)
		f.blob(t, "a", data)
		f.set(ts.check)
		c := newClient()
		c.Keys = keys{Username: "u", Password: "p"}
		if _, err := fetch(repo(t, c, f.Host, "a"), data); err != nil {
			t.Error(err)
		}
		c = newClient()
		c.Keys = keys{Username: "u", Password: "wrong"}
		_, err := fetch(repo(t, c, f.Host, "a"), data)
		if fault.KindOf(err) != fault.Denied {
			t.Errorf("wrong password: %v", err)
		}
	})
	t.Run("identity token", func(t *testing.T) {
		ts := newTokenServer(t, "u", "secret", time.Minute)
		f := newFake(t)
		f.blob(t, "a", data)
		f.set(ts.check)
		c := newClient()
		c.Keys = keys{IdentityToken: "secret"}
		if _, err := fetch(repo(t, c, f.Host, "a"), data); err != nil {
			t.Error(err)
		}
	})
	t.Run("none", func(t *testing.T) {
		f := newFake(t)
		f.set(basicAuth("u", "p"))
		_, err := fetch(repo(t, newClient(), f.Host, "a"), data)
		if fault.KindOf(err) != fault.Denied || fault.HintOf(err) == "" {
			t.Errorf("no login: %v", err)
		}
	})
	t.Run("ends meanwhile", func(t *testing.T) {
		ts := newTokenServer(t, "", "", time.Minute)
		f := newFake(t)
		f.blob(t, "a", data)
		f.set(func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 3 {
				ts.mu.Lock()
				clear(ts.given)
				ts.mu.Unlock()
			}
			return ts.check(w, r, n)
		})
		if got, err := fetch(repo(t, newClient(), f.Host, "a"), data); err != nil || !bytes.Equal(got, data) {
			t.Error(err)
		}
	})
}

func TestChallenge(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		scheme  string
		params  string
	}{
		{nil, "", "map[]"},
		{[]string{`Basic realm="x"`}, "basic", "map[realm:x]"},
		{[]string{`Basic realm="x"`, `Bearer realm="https://a/b?c=d,e",service=s, scope="r:a:pull,push"`}, "bearer", "map[realm:https://a/b?c=d,e scope:r:a:pull,push service:s]"},
		{[]string{`Bearer realm="a\"b`}, "bearer", `map[realm:a"b]`},
		{[]string{`Negotiate`}, "", "map[]"},
		{[]string{`Negotiate YII=, Basic realm="log in, please", Bearer realm="t", service="x, y"`}, "bearer", "map[realm:t service:x, y]"},
		{[]string{`Bearer realm=t,scope = "s" , Basic realm="r"`}, "bearer", "map[realm:t scope:s]"},
		{[]string{`realm="x", Basic`, `"`, `=`, `,,`}, "", "map[]"},
	} {
		scheme, params := challenge(tt.headers)
		if scheme != tt.scheme || fmt.Sprint(params) != tt.params {
			t.Errorf("%q: %s %v", tt.headers, scheme, params)
		}
	}
}
