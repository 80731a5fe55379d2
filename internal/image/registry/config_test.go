package registry

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func TestParseConfig(t *testing.T) {
	for _, tt := range []struct{ in, err string }{
		{"", ""},
		{"[[registry]]\nprefix = \"a.b\"\n[[registry.mirror]]\nlocation = \"c\"", ""},
		{"[[registry]]\nlocation = \"a.b\"", ""},
		{"[[registry]]\ninsecure = true", "registry 1 has no prefix"},
		{"[[registry]]\nprefix = \"a\"\n[[registry]]\nprefix = \"a\"", "registry a is there twice"},
		{"[[registry]]\nprefix = \"a\"\n[[registry.mirror]]\ninsecure = true", "a mirror of a has no location"},
		{"[[registry]]\nprefix = \"a\"\n[[registry.mirror]]\nlocation = \"c\"\npull-from-mirror = \"never\"", `mirror c: pull-from-mirror is all, digest-only or tag-only, not "never"`},
		{"[[registry]]\nprefixx = \"a\"", "line 2: unknown key registry.prefixx"},
		{"[[registry]]\nprefix = 3", "line 2: "},
		{"[[registry", "line 1: "},
	} {
		_, err := ParseConfig([]byte(tt.in))
		if got := fmt.Sprint(err); tt.err == "" && err != nil || tt.err != "" && (len(got) < len(tt.err) || got[:len(tt.err)] != tt.err || fault.KindOf(err) != fault.Invalid) {
			t.Errorf("%q: %v, want %q", tt.in, err, tt.err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	c, err := ParseConfig([]byte(`
[[registry]]
prefix = "docker.io"
[[registry.mirror]]
location = "mirror.test:5000/hub"
insecure = true
[[registry.mirror]]
location = "digests.test"
pull-from-mirror = "digest-only"

[[registry]]
prefix = "docker.io/library/debian"
location = "debian.test/official"
ca = "/ca"

[[registry]]
prefix = "old.test/team"
location = "new.test/x/team"

[[registry]]
prefix = "bad.test"
blocked = true
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		domain, path string
		byDigest     bool
		want         string
	}{
		{"docker.io", "library/busybox", false, "[{mirror.test:5000 hub/library/busybox true    true} {registry-1.docker.io library/busybox false    false}]"},
		{"docker.io", "library/busybox", true, "[{mirror.test:5000 hub/library/busybox true    true} {digests.test library/busybox false    true} {registry-1.docker.io library/busybox false    false}]"},
		{"docker.io", "library/debian", false, "[{debian.test official false /ca   false}]"},
		{"docker.io", "library/debian2", true, "[{mirror.test:5000 hub/library/debian2 true    true} {digests.test library/debian2 false    true} {registry-1.docker.io library/debian2 false    false}]"},
		{"old.test", "team/a/b", false, "[{new.test x/team/a/b false    false}]"},
		{"old.test", "teams/a", false, "[{old.test teams/a false    false}]"},
		{"other.test:1", "a", false, "[{other.test:1 a false    false}]"},
	} {
		list, err := c.Endpoints(tt.domain, tt.path, tt.byDigest)
		if got := fmt.Sprint(list); err != nil || got != tt.want {
			t.Errorf("%s/%s: %s, %v, want %s", tt.domain, tt.path, got, err, tt.want)
		}
	}
	if _, err := c.Endpoints("bad.test", "x", false); fault.KindOf(err) != fault.Denied {
		t.Errorf("blocked: %v", err)
	}
}

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if err := os.MkdirAll(dir+"/tare", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/tare/registries.toml", []byte("[[registry]]\nprefix = \"a.test\"\ninsecure = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig()
	if err != nil || c.find("a.test/x") == nil || len(c.CertDirs) != 4 || c.CertDirs[0] != dir+"/tare/certs.d" {
		t.Errorf("%+v, %v", c, err)
	}
	t.Setenv("TARE_REGISTRIES", dir+"/none")
	if _, err := LoadConfig(); err == nil {
		t.Error("a file that is named and missing is no error")
	}
}

// TestTLSConfig: who is believed without proof.
func TestTLSConfig(t *testing.T) {
	certs := t.TempDir()
	writeCert(t, certs+"/cert.pem", certs+"/key.pem")
	with := func(host string) {
		if err := os.MkdirAll(filepath.Join(certs, host), 0o700); err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(certs + "/cert.pem")
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(certs + "/key.pem")
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"ca.crt": pem, "client.cert": pem, "client.key": key} {
			if err := os.WriteFile(filepath.Join(certs, host, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	with("ca.test:5000")
	with("127.0.0.1:5000")
	for _, tt := range []struct {
		e           Endpoint
		lenient, ca bool
		clientCerts int
	}{
		{Endpoint{Host: "a.test"}, false, false, 0},
		{Endpoint{Host: "a.test", Insecure: true}, true, false, 0},
		{Endpoint{Host: "localhost:5000"}, true, false, 0},
		{Endpoint{Host: "[::1]:5000"}, true, false, 0},
		{Endpoint{Host: "10.0.0.1:5000"}, false, false, 0},
		{Endpoint{Host: "ca.test:5000"}, false, true, 1},
		{Endpoint{Host: "127.0.0.1:5000"}, false, true, 1},
		{Endpoint{Host: "b.test", CA: certs + "/cert.pem", Cert: certs + "/cert.pem", Key: certs + "/key.pem"}, false, true, 1},
	} {
		conf, err := tlsConfig(&tt.e, []string{certs + "/none", certs})
		if err != nil {
			t.Errorf("%s: %v", tt.e.Host, err)
			continue
		}
		if conf.InsecureSkipVerify != tt.lenient || (conf.RootCAs != nil) != tt.ca || len(conf.Certificates) != tt.clientCerts {
			t.Errorf("%s: lenient %t, authorities %t, certificates %d", tt.e.Host, conf.InsecureSkipVerify, conf.RootCAs != nil, len(conf.Certificates))
		}
		if tt.ca && conf.RootCAs.Equal(x509.NewCertPool()) {
			t.Errorf("%s: no authority", tt.e.Host)
		}
	}
	if _, err := tlsConfig(&Endpoint{Host: "c.test", CA: certs + "/key.pem"}, nil); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an authority without a certificate: %v", err)
	}
}
