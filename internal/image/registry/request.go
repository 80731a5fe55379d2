package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// call is one request, to be repeated as often as it takes.
type call struct {
	method string
	path   string // after /v2/NAME
	query  url.Values
	header http.Header
	body   []byte
	stream func() (io.Reader, error) // instead of body, opened for each try
	length int64                     // of stream
	scope  string                    // "pull", "pull,push"
	from   string                    // another repository that is read
	once   bool                      // the caller repeats it
	abs    *url.URL                  // instead of path: an upload's location
	whole  string                    // instead of /v2/NAME/path: a path of the server
}

// attempts bound how often a request is sent to a server that has trouble.
const (
	attempts       = 6
	mirrorAttempts = 2
	maxPause       = 10 * time.Second
	maxRetryAfter  = 2 * time.Minute
	maxRedirects   = 10
)

// do sends a request until there is an answer that repeating will not change.
// The caller closes its body.
func (k *conn) do(ctx context.Context, q call) (*http.Response, error) {
	scope := ""
	if q.scope != "" {
		scope = "repository:" + k.e.Path + ":" + q.scope
	}
	if q.from != "" {
		scope += " repository:" + q.from + ":pull"
	}
	for n := range 4 { // challenges
		header := k.auth.current()
		resp, err := k.try(ctx, &q, header)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized || !sameServer(resp.Request.URL, k.e.Host) {
			return resp, nil // whom the registry redirects to has no say in who sees a password
		}
		drain(resp)
		if err := k.auth.answer(ctx, resp, header, scope, n > 0, k); err != nil {
			if errors.Is(err, errDenied) {
				return nil, k.denied(header)
			}
			return nil, err
		}
	}
	return nil, k.denied("")
}

func (k *conn) denied(used string) error {
	if used == "" {
		return fault.WithHint(fault.New(fault.Denied, "%s wants a login, or has no such repository", k.e.Host), strings.TrimSpace("tare login "+loginName(k.e.Host)))
	}
	return fault.New(fault.Denied, "%s denies access", k.e.Host)
}

func loginName(host string) string {
	if host == dockerHub {
		return ""
	}
	return host
}

// try sends a request with one Authorization header, following redirects.
func (k *conn) try(ctx context.Context, q *call, auth string) (*http.Response, error) {
	for {
		scheme, known := k.schemeNow()
		req, err := k.request(ctx, q, scheme, auth)
		if err != nil {
			return nil, err
		}
		most := attempts
		if q.once {
			most = 1
		}
		resp, err := k.retry(ctx, req, most)
		if err == nil || known || !k.lenient || ctx.Err() != nil {
			if err != nil {
				return nil, k.explained(err)
			}
			k.setScheme(scheme)
			return resp, nil
		}
		k.setScheme("http") // and once more
	}
}

func (k *conn) schemeNow() (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.scheme == "" {
		return "https", false
	}
	return k.scheme, true
}

func (k *conn) setScheme(s string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.scheme == "" {
		k.scheme = s
	}
}

func (k *conn) request(ctx context.Context, q *call, scheme, auth string) (*http.Request, error) {
	u := url.URL{Scheme: scheme, Host: k.e.Host, Path: "/v2/" + k.e.Path + q.path, RawQuery: q.query.Encode()}
	if q.whole != "" {
		u.Path = q.whole
	}
	if q.abs != nil {
		u = *q.abs
	}
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	if q.stream != nil {
		var err error
		if body, err = q.stream(); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	for key, v := range q.header {
		req.Header[key] = v
	}
	if q.stream != nil {
		req.ContentLength = q.length
		req.GetBody = func() (io.ReadCloser, error) {
			b, err := q.stream()
			return io.NopCloser(b), err
		}
	}
	if auth != "" && sameServer(&u, k.e.Host) {
		req.Header.Set("Authorization", auth)
	}
	return req, nil
}

// retry sends a request and repeats it while the server, or the way to it, has
// trouble that passes.
func (k *conn) retry(ctx context.Context, req *http.Request, most int) (*http.Response, error) {
	if k.e.Mirror {
		most = min(most, mirrorAttempts)
	}
	for n := 1; ; n++ {
		resp, err := k.redirected(req)
		if err == nil && !passing(resp.StatusCode) || err != nil && !passingError(err) || n == most || ctx.Err() != nil {
			return resp, err
		}
		pause := k.pause(n)
		if err == nil {
			if after, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
				if after > maxRetryAfter {
					return resp, nil
				}
				pause = after
			}
			drain(resp)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		} else if req.Body != nil {
			return nil, fault.New(fault.Internal, "a request with a body cannot be repeated")
		}
	}
}

// redirected sends a request and follows redirects of GET and HEAD itself:
// credentials go to the server that they are for and no other.
func (k *conn) redirected(req *http.Request) (*http.Response, error) {
	for range maxRedirects {
		if k.c.Trace != nil {
			k.c.Trace(req.Method, req.URL.Redacted())
		}
		req.Header.Set("User-Agent", k.agent())
		resp, err := k.http.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return resp, nil
		}
		to, err := resp.Location()
		drain(resp)
		if err != nil {
			return nil, fault.New(fault.Unavailable, "%s redirects to nowhere", req.URL.Host)
		}
		if to.Scheme != "https" && (to.Scheme != "http" || req.URL.Scheme == "https" && !k.lenient) {
			return nil, fault.New(fault.Denied, "%s redirects to %s, which is not HTTPS", req.URL.Host, to.Redacted())
		}
		next := req.Clone(req.Context())
		next.URL, next.Host = to, ""
		if to.Host != req.URL.Host || to.Scheme != req.URL.Scheme {
			next.Header.Del("Authorization")
		}
		req = next
	}
	return nil, fault.New(fault.Unavailable, "%s redirects without end", req.URL.Host)
}

func (k *conn) agent() string {
	if k.c.Agent != "" {
		return k.c.Agent
	}
	return "tare"
}

func sameServer(u *url.URL, host string) bool { return u.Host == host }

func (k *conn) pause(n int) time.Duration {
	d := k.c.Pause
	if d == 0 {
		d = 250 * time.Millisecond
	}
	d = min(d<<(n-1), maxPause)
	return d*3/4 + rand.N(d/2+1)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain lets the connection be used again, if that costs little.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

// bodyOf reads the body of an answer that must be 200 and small, and has done with
// the answer. The error is that of the status, or of the reading.
func bodyOf(resp *http.Response) ([]byte, error) {
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp)
	}
	return readLimited(resp.Body, maxManifest)
}

// readLimited reads a body that must be small.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fault.New(fault.Invalid, "larger than %s", bytesText(limit))
	}
	return data, nil
}

func bytesText(n int64) string {
	if n%(1<<20) == 0 {
		return strconv.FormatInt(n>>20, 10) + " MiB"
	}
	return fmt.Sprintf("%d bytes", n)
}
