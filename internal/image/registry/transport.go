package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Times after which a server counts as dead. A body that stalls is noticed by
// the download itself.
const (
	dialTimeout   = 15 * time.Second
	tlsTimeout    = 15 * time.Second
	headerTimeout = 60 * time.Second
	idleTimeout   = 60 * time.Second
	maxConns      = 16 // to one host
)

// newTransport makes the connections of one endpoint.
func newTransport(e *Endpoint, certDirs []string) (*http.Transport, error) {
	conf, err := tlsConfig(e, certDirs)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           d.DialContext,
		TLSClientConfig:       conf,
		TLSHandshakeTimeout:   tlsTimeout,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   maxConns,
		MaxConnsPerHost:       maxConns,
		DisableCompression:    true, // a blob is what it is
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		// Ranges of one blob come over connections of their own: HTTP/2 would
		// put them all on one, which a single lost packet stalls.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}, nil
}

func tlsConfig(e *Endpoint, certDirs []string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	var cas []string
	type pair struct{ cert, key string }
	var pairs []pair
	if e.CA != "" {
		cas = append(cas, e.CA)
	}
	if e.Cert != "" {
		pairs = append(pairs, pair{e.Cert, e.Key})
	}
	for _, base := range certDirs {
		dir := filepath.Join(base, e.Host)
		files, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "read certificates of %s: %w", e.Host, err)
		}
		for _, f := range files {
			path := filepath.Join(dir, f.Name())
			switch {
			case strings.HasSuffix(path, ".crt"):
				cas = append(cas, path)
			case strings.HasSuffix(path, ".cert"):
				pairs = append(pairs, pair{path, strings.TrimSuffix(path, "cert") + "key"})
			}
		}
		break // the first directory counts
	}
	if len(cas) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		for _, f := range cas {
			pem, err := os.ReadFile(f)
			if err != nil {
				return nil, fault.New(fault.KindOf(err), "read certificates of %s: %w", e.Host, err)
			}
			if !pool.AppendCertsFromPEM(pem) {
				return nil, fault.New(fault.Invalid, "read certificates of %s: %s has none", e.Host, f)
			}
		}
		conf.RootCAs = pool
	}
	// Loopback needs no proof of identity, unless somebody has set one up.
	conf.InsecureSkipVerify = e.Insecure || loopback(e.Host) && len(cas) == 0 //nolint:gosec // asked for
	for _, p := range pairs {
		c, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			return nil, fault.New(fault.Invalid, "read client certificate of %s: %w", e.Host, err)
		}
		conf.Certificates = append(conf.Certificates, c)
	}
	return conf, nil
}
