package registry

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Client reaches registries. Its fields are set before the first use.
type Client struct {
	Config Config
	Keys   authn.Keychain // nil: Docker's config.json and its helpers
	Agent  string         // User-Agent

	// Pause is the first wait before a request is repeated, each next one is
	// twice as long; 0 is 250 ms.
	Pause time.Duration
	// Stall is how long a body may bring nothing; 0 is 30 s.
	Stall time.Duration
	// Trace is called before each request, for --debug. May be nil.
	Trace func(method, url string)

	mu         sync.Mutex
	transports map[Endpoint]*endpoint
}

// endpoint is a server with its connections.
type endpoint struct {
	http    *http.Transport
	lenient bool // any certificate, or plain HTTP

	mu     sync.Mutex
	scheme string // "": not found out yet
}

// Repo is a repository of a registry, with its mirrors.
type Repo struct {
	c            *Client
	Domain, Path string
	conns        []*conn // the registry itself is the last

	mu  sync.Mutex
	bad map[*conn]bool // mirrors that this pull has given up
}

// conn is a repository on one server.
type conn struct {
	*endpoint
	c    *Client
	e    Endpoint
	auth *authorizer
}

// Repo returns the repository domain/path. byDigest chooses the mirrors.
func (c *Client) Repo(domain, path string, byDigest bool) (*Repo, error) {
	list, err := c.Config.Endpoints(domain, path, byDigest)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "reach %s/%s: %w", domain, path, err)
	}
	r := &Repo{c: c, Domain: domain, Path: path}
	for _, e := range list {
		k, err := c.connect(e)
		if err != nil {
			return nil, err
		}
		r.conns = append(r.conns, k)
	}
	return r, nil
}

// connect shares the connections of all repositories of one server.
func (c *Client) connect(e Endpoint) (*conn, error) {
	keys := c.Keys
	if keys == nil {
		keys = authn.DefaultKeychain
	}
	k := &conn{c: c, e: e, auth: &authorizer{keys: keys, res: resource{authKey(e.Host), e.Path}}}
	id := e
	id.Path, id.Mirror = "", false
	c.mu.Lock()
	defer c.mu.Unlock()
	k.endpoint = c.transports[id]
	if k.endpoint == nil {
		t, err := newTransport(&id, c.Config.CertDirs)
		if err != nil {
			return nil, err
		}
		k.endpoint = &endpoint{http: t, lenient: t.TLSClientConfig.InsecureSkipVerify}
		if c.transports == nil {
			c.transports = map[Endpoint]*endpoint{}
		}
		c.transports[id] = k.endpoint
	}
	return k, nil
}

// own is the registry itself, which a push goes to.
func (r *Repo) own() *conn { return r.conns[len(r.conns)-1] }

// pull asks one server after the other until one has an answer. Mirrors are
// left for the next server on any trouble.
func (r *Repo) pull(ctx context.Context, q call) (*http.Response, *conn, error) {
	q.scope = "pull"
	for _, k := range r.conns {
		if r.distrusted(k) {
			continue
		}
		resp, err := k.do(ctx, q)
		if err == nil && (resp.StatusCode < 300 || !k.e.Mirror) {
			return resp, k, nil
		}
		if err == nil {
			err = statusError(resp)
			drain(resp)
		}
		if !k.e.Mirror || ctx.Err() != nil {
			return nil, k, err
		}
		r.distrust(k)
	}
	return nil, nil, fault.New(fault.Internal, "reach %s/%s: no server is left", r.Domain, r.Path)
}

// distrust leaves a mirror out for the rest of this pull.
func (r *Repo) distrust(k *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad == nil {
		r.bad = map[*conn]bool{}
	}
	r.bad[k] = k.e.Mirror
}

// distrustMirrors leaves all mirrors out.
func (r *Repo) distrustMirrors() {
	for _, k := range r.conns {
		r.distrust(k)
	}
}

func (r *Repo) distrusted(k *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad[k]
}
