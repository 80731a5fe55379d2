package registry

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// secure is a server with TLS whose authority the client knows.
func secure(t *testing.T, h http.HandlerFunc) (host string, c *Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	host = strings.TrimPrefix(s.URL, "https://")
	c = newClient()
	c.Keys = keys{Username: "u", Password: "p"}
	c.Config.Registries = []Registry{{Prefix: host, CA: ca}}
	return host, c
}

// TestNoDowngrade: nothing that began with HTTPS goes on without it.
func TestNoDowngrade(t *testing.T) {
	var leaked []string
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"token":"x"}`))
	}))
	defer plain.Close()
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, plain.URL+"/blob", http.StatusTemporaryRedirect)
		},
		"token server": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+plain.URL+`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, c := secure(t, h)
			_, err := fetch(repo(t, c, host, "a"), []byte("x"))
			if fault.KindOf(err) != fault.Denied || len(leaked) > 0 {
				t.Errorf("%v; the plain server was sent %q", err, leaked)
			}
		})
	}
	t.Run("plain server", func(t *testing.T) { // where HTTPS was set up
		_, c := secure(t, nil)
		host := strings.TrimPrefix(plain.URL, "http://")
		c.Config.Registries[0].Prefix = host
		_, err := fetch(repo(t, c, host, "a"), []byte("x"))
		if fault.KindOf(err) != fault.Denied || !strings.HasSuffix(err.Error(), host+" does not speak HTTPS") || len(leaked) > 0 {
			t.Errorf("%v; the plain server was sent %q", err, leaked)
		}
	})
}

// TestForeignChallenge: a server that a registry redirects to, or has uploads
// sent to, gets no credentials by asking for them (CVE-2020-15157 was alike).
func TestForeignChallenge(t *testing.T) {
	var leaked []string
	var foreign *httptest.Server
	foreign = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			leaked = append(leaked, r.URL.Path+" "+a)
		}
		if r.URL.Path == "/token" {
			_, _ = w.Write([]byte(`{"token":"x"}`))
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+foreign.URL+`/token",service="s"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer foreign.Close()
	f := newFake(t)
	f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		http.Redirect(w, r, foreign.URL+"/blob", http.StatusTemporaryRedirect)
		return true
	})
	c := newClient()
	c.Keys = keys{Username: "u", Password: "p"}
	_, err := fetch(repo(t, c, f.Host, "a"), []byte("x"))
	if fault.KindOf(err) != fault.Denied || len(leaked) > 0 {
		t.Errorf("%v (%v); the other server was sent %q", err, fault.KindOf(err), leaked)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]string{
		"": "0s false", "0": "0s true", "17": "17s true", "-1": "0s false", "soon": "0s false",
		now.Add(90 * time.Second).Format(http.TimeFormat): "1m30s true",
		now.Add(-time.Hour).Format(http.TimeFormat):       "0s true",
	} {
		d, ok := retryAfter(in, now)
		if got := fmt.Sprint(d, ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// TestWaitsAsLongAsAsked is Retry-After on a manifest.
func TestWaitsAsLongAsAsked(t *testing.T) {
	f := newFake(t)
	f.image(t, "a", "latest", makeImage(t, ociManifest, store.HostPlatform(), 10))
	f.set(func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return n == 1
	})
	begin := time.Now()
	if _, err := repo(t, newClient(), f.Host, "a").Manifest(context.Background(), "latest"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("it waited %v", took)
	}
}

// TestReferrersByTag finds them where the registry does not have the API.
func TestReferrersByTag(t *testing.T) {
	f := newFake(t)
	digest, first, second := digestOf([]byte("image")), []byte(`{"schemaVersion":2}`), []byte(`{"schemaVersion":2,"x":1}`)
	for _, m := range [][]byte{first, second} {
		f.put(t, "/v2/a/manifests/"+digestOf(m), ociManifest, m)
	}
	f.put(t, "/v2/a/manifests/"+strings.Replace(digest, ":", "-", 1), ociIndex, mustJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{
			map[string]any{"mediaType": ociManifest, "digest": digestOf(first), "size": 1, "artifactType": "x/y"},
			map[string]any{"mediaType": ociManifest, "digest": digestOf(second), "size": 1, "artifactType": "z"},
		},
	}))
	f.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, "/referrers/") {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	})
	r := repo(t, newClient(), f.Host, "a")
	list, err := r.Referrers(context.Background(), digest, "x/y")
	if err != nil || len(list) != 1 || list[0].Digest != digestOf(first) {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := r.Referrers(context.Background(), digestOf([]byte("none")), ""); err != nil || len(list) != 0 {
		t.Errorf("none: %+v, %v", list, err)
	}
}

func TestManifestLimits(t *testing.T) {
	f := newFake(t)
	f.set(func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		for range maxManifest>>20 + 1 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
		return true
	})
	r := repo(t, newClient(), f.Host, "a")
	if _, err := r.Manifest(context.Background(), "latest"); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("manifest: %v", err)
	}
	if _, err := r.Small(context.Background(), digestOf(nil)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("config: %v", err)
	}
	if _, err := r.Tags(context.Background()); fault.KindOf(err) != fault.Invalid {
		t.Errorf("tags: %v", err)
	}
}

// TestNothingForTheTerminal: what a registry has found is shown as text.
func TestNothingForTheTerminal(t *testing.T) {
	f := newFake(t)
	f.set(func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_, _ = io.WriteString(w, `{"results":[{"name":"a\u001b[2Jb","description":"c\u009b31m\nd"}]}`)
		return true
	})
	found, err := newClient().Search(context.Background(), f.Host, "a", 10)
	if err != nil || len(found) != 1 || found[0].Name != "a [2Jb" || found[0].Description != "c 31m d" {
		t.Errorf("got %+v, %v", found, err)
	}
}
