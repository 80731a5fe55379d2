package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// oneLogin is a keychain of the login that is being tried.
type oneLogin authn.AuthConfig

// Resolve implements authn.Keychain.
func (l oneLogin) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig(l)), nil
}

// CheckLogin asks a registry whether it takes a user's password. The error is
// Denied when it does not.
func (c *Client) CheckLogin(ctx context.Context, domain, user, password string) error {
	list, err := c.Config.Endpoints(domain, "", false)
	if err != nil {
		return err
	}
	try := &Client{
		Config: c.Config, Agent: c.Agent, Pause: c.Pause, Trace: c.Trace,
		Keys: oneLogin{Username: user, Password: password},
	}
	k, err := try.connect(list[len(list)-1])
	if err != nil {
		return err
	}
	resp, err := k.do(ctx, call{method: http.MethodGet, whole: "/v2/"})
	if fault.KindOf(err) == fault.Denied {
		return fault.New(fault.Denied, "%s: the registry does not take the user name or the password", domain)
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "%s: %w", domain, plainError(err))
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Unavailable, "%s: %w", domain, statusError(resp))
	}
	return nil
}

// serverKey is what Docker's config.json calls a registry.
func serverKey(domain string) string {
	if domain == "docker.io" {
		return authn.DefaultAuthKey
	}
	return domain
}

// LoginServer makes a domain of what a user calls a server.
func LoginServer(s string) (string, error) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	s, _, _ = strings.Cut(s, "/")
	switch s {
	case "", "docker.io", "index.docker.io", dockerHub:
		return "docker.io", nil
	}
	if u, err := url.Parse("//" + s); err != nil || u.Host != s || u.Hostname() == "" {
		return "", fault.New(fault.Invalid, "%q is no name of a registry", s)
	}
	return s, nil
}

// SaveLogin keeps a login as Docker does: in the credential helper that its
// config.json names for the registry, or in that file, which is then readable
// by its owner alone.
func SaveLogin(domain, user, password string) error {
	f, err := loadLogins()
	if err != nil {
		return err
	}
	key := serverKey(domain)
	err = f.GetCredentialsStore(key).Store(types.AuthConfig{ServerAddress: key, Username: user, Password: password})
	if err != nil {
		return fault.New(fault.KindOf(err), "keep login of %s: %w", domain, err)
	}
	if f.CredentialHelpers[key] != "" || f.CredentialsStore != "" {
		return nil
	}
	return os.Chmod(f.Filename, 0o600)
}

// RemoveLogin forgets a login. The error is NotFound when there is none.
func RemoveLogin(domain string) error {
	f, err := loadLogins()
	if err != nil {
		return err
	}
	key := serverKey(domain)
	have, err := f.GetAuthConfig(key)
	if err != nil {
		return fault.New(fault.KindOf(err), "forget login of %s: %w", domain, err)
	}
	if have == (types.AuthConfig{}) || have == (types.AuthConfig{ServerAddress: key}) {
		return fault.New(fault.NotFound, "not logged in to %s", domain)
	}
	if err := f.GetCredentialsStore(key).Erase(key); err != nil {
		return fault.New(fault.KindOf(err), "forget login of %s: %w", domain, err)
	}
	return nil
}

func loadLogins() (*configfile.ConfigFile, error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fault.WithHint(fault.New(fault.NotFound, "find Docker's config.json: %w", err), "set DOCKER_CONFIG")
		}
		dir = filepath.Join(home, ".docker")
	}
	f, err := config.Load(dir)
	if err != nil {
		return nil, fault.New(fault.Invalid, "read %s: %w", filepath.Join(dir, "config.json"), err)
	}
	return f, nil
}

// Found is one result of a search, with the fields of Docker's.
type Found struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Stars       int    `json:"star_count"`
	Official    bool   `json:"is_official"`
	Automated   bool   `json:"is_automated"`
}

// shown leaves out of what a registry says what would speak to the terminal.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// maxCatalog bounds how many names of a catalog are looked at.
const maxCatalog = 100_000

// Search asks a registry for repositories with term in their name: by
// Docker's old search API, or, where there is none, by looking through the
// catalog. The error is Unsupported when the registry has neither.
func (c *Client) Search(ctx context.Context, domain, term string, limit int) ([]Found, error) {
	host := domain
	if domain == "docker.io" {
		host = "index.docker.io" // where the search is, in place of the images
	}
	list, err := c.Config.Endpoints(host, "", false)
	if err != nil {
		return nil, err
	}
	k, err := c.connect(list[len(list)-1])
	if err != nil {
		return nil, err
	}
	found, err := k.searchV1(ctx, term, limit)
	if isStatus(err, http.StatusNotFound) && domain != "docker.io" {
		found, err = k.catalog(ctx, term, limit)
	}
	var st *StatusError
	if errors.As(err, &st) && (st.Status == http.StatusNotFound || st.Status == http.StatusMethodNotAllowed || st.Status == http.StatusForbidden) {
		return nil, fault.New(fault.Unsupported, "search %s: the registry has no search and lists no catalog", domain)
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "search %s: %w", domain, plainError(err))
	}
	return found, nil
}

func (k *conn) searchV1(ctx context.Context, term string, limit int) ([]Found, error) {
	resp, err := k.do(ctx, call{method: http.MethodGet, whole: "/v1/search", query: url.Values{"q": {term}, "n": {strconv.Itoa(limit)}}})
	if err != nil {
		return nil, err
	}
	data, err := bodyOf(resp)
	if err != nil {
		return nil, err
	}
	var page struct {
		Results []Found `json:"results"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, fault.New(fault.Invalid, "the answer is no list: %w", err)
	}
	page.Results = page.Results[:min(len(page.Results), limit)]
	for i := range page.Results {
		r := &page.Results[i]
		r.Name, r.Description = shown(r.Name), shown(r.Description)
	}
	return page.Results, nil
}

func (k *conn) catalog(ctx context.Context, term string, limit int) ([]Found, error) {
	k.auth.scopes = []string{"registry:catalog:*"}
	q := call{method: http.MethodGet, whole: "/v2/_catalog", query: url.Values{"n": {"1000"}}}
	var found []Found
	for seen := 0; seen < maxCatalog; {
		resp, err := k.do(ctx, q)
		if err != nil {
			return nil, err
		}
		data, err := bodyOf(resp)
		if err != nil {
			return nil, err
		}
		var page struct {
			Repositories []string `json:"repositories"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, fault.New(fault.Invalid, "the catalog is damaged: %w", err)
		}
		for _, name := range page.Repositories {
			if strings.Contains(name, term) {
				found = append(found, Found{Name: shown(name)})
			}
			if len(found) == limit {
				return found, nil
			}
		}
		seen += max(len(page.Repositories), 1)
		if q.query = nextPage(resp); q.query == nil {
			break
		}
	}
	return found, nil
}
