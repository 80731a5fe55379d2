package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// resource names a repository for a keychain.
type resource struct{ registry, path string }

func (r resource) String() string      { return r.registry + "/" + r.path }
func (r resource) RegistryStr() string { return r.registry }

// authKey is what Docker's config.json calls a registry.
func authKey(host string) string {
	if host == dockerHub || host == "docker.io" {
		return "index.docker.io"
	}
	return host
}

// authorizer keeps what one server wants to see for one repository. A request
// goes out with what is known; a 401 says what is missing.
type authorizer struct {
	keys authn.Keychain
	res  resource

	mu     sync.Mutex
	creds  *authn.AuthConfig // nil: not looked for yet
	header string            // of the next request
	scopes []string
}

func (a *authorizer) current() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.header
}

// errDenied says that the server knows the credentials, or that there are
// none, and says no.
var errDenied = errors.New("denied")

// answer reads the challenge of a 401 to a request that was sent with the
// header used, and prepares the header of the next. The error is errDenied
// when there is nothing else to try; again says that this request has had one
// answer already.
func (a *authorizer) answer(ctx context.Context, resp *http.Response, used, scope string, again bool, c *conn) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.header != used {
		return nil // another request was faster
	}
	scheme, params := challenge(resp.Header.Values("WWW-Authenticate"))
	if scheme == "" {
		return errDenied
	}
	if err := a.load(ctx); err != nil {
		return err
	}
	if scheme == "basic" {
		h := basicHeader(a.creds)
		if h == "" || h == used {
			return errDenied
		}
		a.header = h
		return nil
	}
	// A token that the server does not take may be too old or for less than
	// this request; one that was made for it is a no.
	added := false
	for _, s := range append(strings.Fields(params["scope"]), strings.Fields(scope)...) {
		if s != "" && !slices.Contains(a.scopes, s) {
			a.scopes, added = append(a.scopes, s), true
		}
	}
	if again && !added && strings.HasPrefix(used, "Bearer ") {
		return errDenied
	}
	token, err := a.token(ctx, params, c)
	if err != nil {
		return err
	}
	a.header = "Bearer " + token
	return nil
}

func (a *authorizer) load(ctx context.Context) error {
	if a.creds != nil {
		return nil
	}
	auth, err := authn.Resolve(ctx, a.keys, a.res)
	if err != nil {
		return fault.New(fault.Denied, "read credentials of %s: %w", a.res.registry, err)
	}
	a.creds, err = authn.Authorization(ctx, auth)
	if err != nil {
		return fault.New(fault.Denied, "read credentials of %s: %w", a.res.registry, err)
	}
	return nil
}

func basicHeader(c *authn.AuthConfig) string {
	switch {
	case c.RegistryToken != "":
		return "Bearer " + c.RegistryToken
	case c.Username != "" && c.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
	case c.Auth != "":
		return "Basic " + c.Auth
	}
	return ""
}

const maxToken = 1 << 20 // bytes of an answer that has one

// token asks the token server that the challenge names.
func (a *authorizer) token(ctx context.Context, params map[string]string, c *conn) (string, error) {
	if a.creds.RegistryToken != "" {
		return a.creds.RegistryToken, nil
	}
	realm, err := url.Parse(params["realm"])
	if err != nil || realm.Host == "" || realm.Scheme != "https" && realm.Scheme != "http" {
		return "", fault.New(fault.Denied, "log in to %s: it names no token server (%q)", a.res.registry, params["realm"])
	}
	if realm.Scheme == "http" && !c.lenient {
		return "", fault.New(fault.Denied, "log in to %s: its token server %s is not reached by HTTPS", a.res.registry, realm.Host)
	}
	req, err := a.tokenRequest(ctx, realm, params["service"])
	if err != nil {
		return "", err
	}
	resp, err := c.retry(ctx, req, attempts)
	if err == nil && resp.StatusCode == http.StatusNotFound && req.Method == http.MethodPost {
		// Not every token server knows OAuth2.
		drain(resp)
		if req, err = a.tokenGet(ctx, realm, params["service"]); err == nil {
			resp, err = c.retry(ctx, req, attempts)
		}
	}
	if err != nil {
		return "", fault.New(fault.Unavailable, "ask token server %s: %w", realm.Host, plainError(err))
	}
	defer drain(resp)
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return "", errDenied
	}
	if resp.StatusCode != http.StatusOK {
		return "", fault.New(fault.Unavailable, "ask token server %s: %w", realm.Host, statusError(resp))
	}
	body, err := readLimited(resp.Body, maxToken)
	if err != nil {
		return "", fault.New(fault.Unavailable, "ask token server %s: %w", realm.Host, err)
	}
	var t struct {
		Token   string `json:"token"`
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &t); err != nil || t.Token == "" && t.Access == "" {
		return "", fault.New(fault.Unavailable, "ask token server %s: its answer has no token", realm.Host)
	}
	if t.Refresh != "" && a.creds.IdentityToken != "" {
		a.creds.IdentityToken = t.Refresh
	}
	if t.Token == "" {
		t.Token = t.Access
	}
	return t.Token, nil
}

func (a *authorizer) tokenRequest(ctx context.Context, realm *url.URL, service string) (*http.Request, error) {
	if a.creds.IdentityToken == "" {
		return a.tokenGet(ctx, realm, service)
	}
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {a.creds.IdentityToken},
		"service":       {service},
		"client_id":     {"tare"},
		"scope":         {strings.Join(a.scopes, " ")},
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

func (a *authorizer) tokenGet(ctx context.Context, realm *url.URL, service string) (*http.Request, error) {
	u := *realm
	q := u.Query()
	if service != "" {
		q.Set("service", service)
	}
	q["scope"] = a.scopes
	if a.creds.Username != "" && a.creds.IdentityToken == "" {
		q.Set("account", a.creds.Username)
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if h := basicHeader(a.creds); h != "" {
		req.Header.Set("Authorization", h)
	}
	return req, nil
}

// challenge picks the scheme to use, bearer before basic, and its parameters
// (RFC 9110, 11.6.1: a header may have several challenges, with the same commas
// between them that are between parameters).
func challenge(headers []string) (scheme string, params map[string]string) {
	for _, h := range headers {
		for _, c := range challenges(h) {
			if c.scheme == "bearer" && scheme != "bearer" || c.scheme == "basic" && scheme == "" {
				scheme, params = c.scheme, c.params
			}
		}
	}
	return scheme, params
}

type authChallenge struct {
	scheme string
	params map[string]string
}

// challenges reads a header: a word with = behind it is a parameter of the challenge
// before, any other one begins a challenge. What is malformed ends it.
func challenges(s string) (list []authChallenge) {
	for {
		s = strings.TrimLeft(s, " ,\t")
		n := strings.IndexAny(s, " ,\t=\"")
		if n < 0 {
			n = len(s)
		}
		if n == 0 {
			return list
		}
		word := strings.ToLower(s[:n])
		s = strings.TrimLeft(s[n:], " \t")
		if value, is := strings.CutPrefix(s, "="); is && len(list) > 0 {
			list[len(list)-1].params[word], s = paramValue(strings.TrimLeft(value, " \t"))
		} else {
			list = append(list, authChallenge{word, map[string]string{}})
		}
	}
}

// paramValue reads a value, quoted or not, and returns what is behind it.
func paramValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		n := strings.IndexAny(s, ", \t")
		if n < 0 {
			n = len(s)
		}
		return s[:n], s[n:]
	}
	var b strings.Builder
	i := 1
	for ; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), s[min(i+1, len(s)):]
}
