package registry

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Config says where registries really are. The zero value knows none, and
// every registry is then reached by HTTPS under its own name.
type Config struct {
	Registries []Registry `toml:"registry"`

	// CertDirs are searched, first to last, for a directory named after the
	// host and port of a server, as Docker's certs.d: *.crt are authorities
	// that are trusted besides the system's, NAME.cert and NAME.key are a
	// client certificate.
	CertDirs []string `toml:"-"`
}

// Registry is what registries.toml says of the images whose name starts with
// a prefix; of several the longest counts.
type Registry struct {
	Prefix   string   `toml:"prefix"`   // domain[/path]
	Location string   `toml:"location"` // host[:port][/path] in place of the prefix; "": the prefix itself
	Insecure bool     `toml:"insecure"` // any certificate, or plain HTTP
	Blocked  bool     `toml:"blocked"`
	CA       string   `toml:"ca"`   // file of certificates that are trusted besides the system's
	Cert     string   `toml:"cert"` // client certificate
	Key      string   `toml:"key"`
	Mirrors  []Mirror `toml:"mirror"` // tried first, in order
}

// Mirror is another place for the same images.
type Mirror struct {
	Location string `toml:"location"` // host[:port][/path] in place of the prefix
	Insecure bool   `toml:"insecure"`
	CA       string `toml:"ca"`
	Cert     string `toml:"cert"`
	Key      string `toml:"key"`
	// Pull is "all" or "" for every pull, "digest-only" for those by digest,
	// "tag-only" for those by tag.
	Pull string `toml:"pull-from-mirror"`
}

// Endpoint is one server that may have a repository.
type Endpoint struct {
	Host     string // host[:port]
	Path     string // of the repository there
	Insecure bool
	CA       string
	Cert     string
	Key      string
	Mirror   bool
}

// ConfigFiles are the files of the system and of the user, in order.
func ConfigFiles(name string) []string {
	files := []string{"/etc/tare/" + name}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "tare", name))
	}
	return files
}

// LoadConfig reads registries.toml of the system and of the user: what the
// user says of a prefix replaces what the system says of it. TARE_REGISTRIES
// names a file to be read instead.
func LoadConfig() (Config, error) {
	files := ConfigFiles("registries.toml")
	if f := os.Getenv("TARE_REGISTRIES"); f != "" {
		files = []string{f}
	}
	var c Config
	for _, f := range files {
		next, err := readConfig(f)
		if errors.Is(err, fs.ErrNotExist) && len(files) > 1 {
			continue
		}
		if err != nil {
			return Config{}, err
		}
		c.merge(next)
	}
	dirs := []string{"/etc/tare/certs.d", "/etc/docker/certs.d"}
	if dir, err := os.UserConfigDir(); err == nil {
		dirs = append([]string{filepath.Join(dir, "tare/certs.d"), filepath.Join(dir, "docker/certs.d")}, dirs...)
	}
	c.CertDirs = dirs
	return c, nil
}

func readConfig(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	c, err := ParseConfig(data)
	if err != nil {
		return Config{}, fault.New(fault.Invalid, "read %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads the text of a registries.toml. The error is Invalid; an
// unknown key is one, so that a slip of the pen is not a mirror unused.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if err := DecodeTOML(data, &c); err != nil {
		return Config{}, err
	}
	seen := map[string]bool{}
	for i := range c.Registries {
		r := &c.Registries[i]
		if r.Prefix == "" {
			r.Prefix = r.Location
		}
		if r.Prefix == "" {
			return Config{}, fault.New(fault.Invalid, "registry %d has no prefix", i+1)
		}
		if seen[r.Prefix] {
			return Config{}, fault.New(fault.Invalid, "registry %s is there twice", r.Prefix)
		}
		seen[r.Prefix] = true
		for _, m := range r.Mirrors {
			if m.Location == "" {
				return Config{}, fault.New(fault.Invalid, "a mirror of %s has no location", r.Prefix)
			}
			if m.Pull != "" && m.Pull != "all" && m.Pull != "digest-only" && m.Pull != "tag-only" {
				return Config{}, fault.New(fault.Invalid, "mirror %s: pull-from-mirror is all, digest-only or tag-only, not %q", m.Location, m.Pull)
			}
		}
	}
	return c, nil
}

// DecodeTOML refuses unknown keys and says where an error is.
func DecodeTOML(data []byte, to any) error {
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		row, _ := unknown.Errors[0].Position()
		return fault.New(fault.Invalid, "line %d: unknown key %s", row, strings.Join(unknown.Errors[0].Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		row, _ := bad.Position()
		return fault.New(fault.Invalid, "line %d: %s", row, strings.TrimPrefix(bad.Error(), "toml: "))
	}
	return err
}

func (c *Config) merge(over Config) {
	for _, r := range over.Registries {
		replaced := false
		for i := range c.Registries {
			if c.Registries[i].Prefix == r.Prefix {
				c.Registries[i], replaced = r, true
			}
		}
		if !replaced {
			c.Registries = append(c.Registries, r)
		}
	}
}

// dockerHub is where the images of docker.io are.
const dockerHub = "registry-1.docker.io"

// Endpoints returns where to look for a repository, in order: mirrors for a
// pull, then the registry itself. The error is Denied for a blocked one.
func (c *Config) Endpoints(domain, path string, byDigest bool) ([]Endpoint, error) {
	name := domain + "/" + path
	r := c.find(name)
	if r == nil {
		return []Endpoint{plainEndpoint(domain, path)}, nil
	}
	if r.Blocked {
		return nil, fault.New(fault.Denied, "registries.toml blocks %s", r.Prefix)
	}
	rest := strings.TrimPrefix(name, r.Prefix)
	var list []Endpoint
	for _, m := range r.Mirrors {
		if m.Pull == "digest-only" && !byDigest || m.Pull == "tag-only" && byDigest {
			continue
		}
		host, at, _ := strings.Cut(m.Location+rest, "/")
		list = append(list, Endpoint{Host: host, Path: at, Insecure: m.Insecure, CA: m.CA, Cert: m.Cert, Key: m.Key, Mirror: true})
	}
	own := plainEndpoint(domain, path)
	if r.Location != "" {
		own.Host, own.Path, _ = strings.Cut(r.Location+rest, "/")
	}
	own.Insecure, own.CA, own.Cert, own.Key = r.Insecure, r.CA, r.Cert, r.Key
	return append(list, own), nil
}

func plainEndpoint(domain, path string) Endpoint {
	host := domain
	if domain == "docker.io" {
		host = dockerHub
	}
	return Endpoint{Host: host, Path: path}
}

func (c *Config) find(name string) *Registry {
	var best *Registry
	for i := range c.Registries {
		r := &c.Registries[i]
		if hasPrefix(name, r.Prefix) && (best == nil || len(r.Prefix) > len(best.Prefix)) {
			best = r
		}
	}
	return best
}

// hasPrefix reports whether the components of prefix start those of name.
func hasPrefix(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// loopback reports whether host[:port] cannot be another machine. Docker
// treats such registries as insecure, too.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
