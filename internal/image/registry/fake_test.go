package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	fake "github.com/google/go-containerregistry/pkg/registry"
)

// fakeRegistry is go-containerregistry's, with faults in front of it.
type fakeRegistry struct {
	*httptest.Server
	Host string

	inner http.Handler
	mu    sync.Mutex
	seen  []string // "GET /v2/…" with the range, as they come
	// fault may answer a request itself and return true. n counts the requests
	// of that method and path from 1.
	fault func(w http.ResponseWriter, r *http.Request, n int) bool
	count map[string]int
}

func newFake(t testing.TB) *fakeRegistry {
	t.Helper()
	f := &fakeRegistry{inner: fake.New(fake.Logger(log.New(io.Discard, "", 0)), fake.WithReferrersSupport(true)), count: map[string]int{}}
	f.Server = httptest.NewServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(f.Close)
	f.Host = strings.TrimPrefix(f.URL, "http://")
	return f
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	key := r.Method + " " + r.URL.Path
	f.count[key]++
	n := f.count[key]
	line := key
	if rg := r.Header.Get("Range"); rg != "" {
		line += " " + rg
	}
	f.seen = append(f.seen, line)
	fault := f.fault
	f.mu.Unlock()
	if fault != nil && fault(w, r, n) {
		return
	}
	f.inner.ServeHTTP(w, r)
}

func (f *fakeRegistry) set(fault func(w http.ResponseWriter, r *http.Request, n int) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.seen, f.count = fault, nil, map[string]int{}
}

// requests returns what came in since the last call of set.
func (f *fakeRegistry) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// put stores a blob or a manifest behind the faults' back.
func (f *fakeRegistry) put(t testing.TB, path, mediaType string, data []byte) {
	t.Helper()
	method := http.MethodPut
	if strings.Contains(path, "/blobs/") {
		method = http.MethodPost
		path = strings.Replace(path, "/blobs/", "/blobs/uploads/?digest=", 1)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(data))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	f.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("put %s: %d %s", path, w.Code, w.Body)
	}
}

func (f *fakeRegistry) blob(t testing.TB, repo string, data []byte) string {
	t.Helper()
	d := digestOf(data)
	f.put(t, "/v2/"+repo+"/blobs/"+d, "application/octet-stream", data)
	return d
}

func isBlobGet(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
}

// cutWriter lets n bytes of a body through and then breaks the connection.
type cutWriter struct {
	http.ResponseWriter
	n int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) >= c.n {
		_, _ = c.ResponseWriter.Write(p[:c.n])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.n -= len(p)
	return c.ResponseWriter.Write(p)
}

// cut breaks each of the first times answers to a blob's request at a random
// place.
func (f *fakeRegistry) cut(times, most int) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, r *http.Request, n int) bool {
		if !isBlobGet(r) || n > times {
			return false
		}
		f.inner.ServeHTTP(&cutWriter{w, rand.IntN(most)}, r)
		return true
	}
}

// bodyWriter changes the body that the registry sends.
type bodyWriter struct {
	http.ResponseWriter
	change func([]byte) []byte
}

func (b *bodyWriter) Write(p []byte) (int, error) {
	_, err := b.ResponseWriter.Write(b.change(bytes.Clone(p)))
	return len(p), err
}

// without hides a header of the request.
func without(header string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(header)
		h.ServeHTTP(w, r)
	})
}

// basicAuth wants a user and a password.
func basicAuth(user, password string) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, r *http.Request, _ int) bool {
		u, p, ok := r.BasicAuth()
		if ok && u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// tokenServer gives tokens to a user, for one scope each, and makes a registry
// want them.
type tokenServer struct {
	*httptest.Server
	user, password string
	life           time.Duration
	mu             sync.Mutex
	given          map[string]tokenInfo
	asked          int
}

type tokenInfo struct {
	scopes []string
	until  time.Time
}

func newTokenServer(t testing.TB, user, password string, life time.Duration) *tokenServer {
	ts := &tokenServer{user: user, password: password, life: life, given: map[string]tokenInfo{}}
	ts.Server = httptest.NewServer(ts)
	t.Cleanup(ts.Close)
	return ts
}

func (ts *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.asked++
	if r.Method == http.MethodPost {
		if r.FormValue("grant_type") != "refresh_token" || r.FormValue("refresh_token") != ts.password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	} else if u, p, _ := r.BasicAuth(); ts.user != "" && (u != ts.user || p != ts.password) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var scopes []string
	for _, s := range r.Form["scope"] {
		scopes = append(scopes, strings.Fields(s)...)
	}
	for _, s := range r.URL.Query()["scope"] {
		scopes = append(scopes, strings.Fields(s)...)
	}
	token := "t" + strconv.Itoa(ts.asked)
	ts.given[token] = tokenInfo{scopes, time.Now().Add(ts.life)}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": int(ts.life.Seconds())})
}

func (ts *tokenServer) check(w http.ResponseWriter, r *http.Request, _ int) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, cut := range []string{"/manifests/", "/blobs/", "/tags/"} {
		path, _, _ = strings.Cut(path, cut)
	}
	action := "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		action = "push"
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if info, ok := ts.given[token]; ok && time.Now().Before(info.until) {
		for _, s := range info.scopes {
			if name, actions, _ := strings.Cut(strings.TrimPrefix(s, "repository:"), ":"); name == path && strings.Contains(actions, action) {
				return false
			}
		}
		if r.URL.Path == "/v2/" {
			return false
		}
	}
	scope := "repository:" + path + ":" + map[string]string{"pull": "pull", "push": "pull,push"}[action]
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="fake",scope="%s"`, ts.URL, scope))
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// keys is a keychain of one login for every registry.
type keys authn.AuthConfig

func (k keys) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig(k)), nil
}

type noKeys struct{}

func (noKeys) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

func newClient() *Client {
	return &Client{Keys: noKeys{}, Pause: time.Millisecond, Stall: 5 * time.Second}
}
