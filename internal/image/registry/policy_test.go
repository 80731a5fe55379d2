package registry

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

func TestParsePolicy(t *testing.T) {
	key := pemOf(t, newKey(t, "ecdsa").Public())
	read := func(name string) ([]byte, error) {
		if name == "key" {
			return key, nil
		}
		return nil, os.ErrNotExist
	}
	for _, tt := range []struct{ in, err string }{
		{"", ""},
		{`default = "reject"`, ""},
		{"[[rule]]\nprefix = \"a.b\"\nrequire = \"sigstore\"\nkeys = [\"key\"]", ""},
		{"[[rule]]\nprefix = \"a.b\"\nrequire = \"digest\"\ndigests = [\"" + digestOf(nil) + "\"]", ""},
		{"[[rule]]\nprefix = \"a.b\"\nrequired = \"none\"", "line 3: unknown key rule.required"},
		{"[[rule]]\nprefix = \"a.b\"", `rule a.b: require is none, sigstore, digest or reject, not ""`},
		{"[[rule]]\nprefix = \"a.b\"\nrequire = \"sigstore\"", "rule a.b: it names no keys"},
		{"[[rule]]\nprefix = \"a.b\"\nrequire = \"sigstore\"\nkeys = [\"other\"]", "rule a.b: file does not exist"},
		{"[[rule]]\nprefix = \"a.b\"\nrequire = \"none\"\nkeys = [\"key\"]", "rule a.b: keys and identity belong to sigstore"},
		{"[[rule]]\nprefix = \"a.b\"\nrequire = \"digest\"\ndigests = [\"x\"]", `rule a.b: "x" is no digest`},
		{"default = \"none\"\n[[rule]]\nrequire = \"reject\"", "two rules are for default"},
		{"default = \"sometimes\"", `rule default: require is none, sigstore, digest or reject, not "sometimes"`},
		{"default = 3", "line 1: "},
	} {
		_, err := parsePolicy([]byte(tt.in), "policy.toml", read)
		if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasPrefix(got, tt.err) && tt.err != "" {
			t.Errorf("%s: %v, want %q", tt.in, err, tt.err)
		}
	}
}

func TestRule(t *testing.T) {
	p := Policy{Rules: []Rule{
		{Require: RequireReject, file: "policy.toml"},
		{Prefix: "docker.io/library", Require: RequireNone},
		{Prefix: "docker.io/library/debian", Require: RequireDigest, file: "policy.toml"},
		{Prefix: "example.test", Require: RequireDigest, Digests: []string{digestOf(nil)}},
	}}
	for name, want := range map[string]string{
		"busybox": "", "debian@" + digestOf(nil): "", "example.test/x": "",
		"debian":       "debian: refused by rule docker.io/library/debian (digest) of policy.toml: it wants a name with a digest",
		"user/x":       "user/x: refused by rule default (reject) of policy.toml: it lets no image pass",
		"libraryx/x":   "libraryx/x: refused by rule default (reject) of policy.toml: it lets no image pass",
		"quay.test/x":  "quay.test/x: refused by rule default (reject) of policy.toml: it lets no image pass",
		"debian-x:lat": "",
	} {
		_, err := p.Rule(mustParse(t, name))
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func sign(t testing.TB, key crypto.Signer, data []byte) []byte {
	t.Helper()
	var sig []byte
	var err error
	if _, ok := key.(ed25519.PrivateKey); ok {
		sig, err = key.Sign(rand.Reader, data, crypto.Hash(0))
	} else {
		sum := sha256.Sum256(data)
		sig, err = key.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// cosign signs an image as cosign does: attach is "tag" or "referrer".
func cosign(t testing.TB, f *fakeRegistry, repo, digest, identity, attach string, key crypto.Signer) {
	t.Helper()
	payload := mustJSON(t, map[string]any{"critical": map[string]any{
		"identity": map[string]any{"docker-reference": identity},
		"image":    map[string]any{"docker-manifest-digest": digest},
		"type":     "cosign container image signature",
	}, "optional": nil})
	attachSignature(t, f, repo, digest, attach, typeCosignArtifact, map[string]any{
		"mediaType": typeSimpleSigning, "digest": f.blob(t, repo, payload), "size": len(payload),
		"annotations": map[string]string{cosignSignature: base64.StdEncoding.EncodeToString(sign(t, key, payload))},
	})
}

func bundle(t testing.TB, f *fakeRegistry, repo, digest, predicate string, key crypto.Signer) {
	t.Helper()
	payload := mustJSON(t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
		"subject": []any{map[string]any{"digest": map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}}},
	})
	data := mustJSON(t, map[string]any{"mediaType": typeBundle + ".v0.3+json", "dsseEnvelope": map[string]any{
		"payload": payload, "payloadType": typeInToto,
		"signatures": []any{map[string]any{"sig": sign(t, key, preAuth(typeInToto, payload))}},
	}})
	attachSignature(t, f, repo, digest, "referrer", typeBundle+".v0.3+json", map[string]any{
		"mediaType": typeBundle + ".v0.3+json", "digest": f.blob(t, repo, data), "size": len(data),
	})
}

func attachSignature(t testing.TB, f *fakeRegistry, repo, digest, attach, artifact string, layer map[string]any) {
	t.Helper()
	config := []byte("{}")
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest, "layers": []any{layer},
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f.blob(t, repo, config), "size": len(config)},
	}
	name := strings.Replace(digest, ":", "-", 1) + ".sig"
	if attach == "referrer" {
		m["artifactType"] = artifact
		m["config"].(map[string]any)["mediaType"] = artifact // what the fake looks at
		m["subject"] = map[string]any{"mediaType": ociManifest, "digest": digest, "size": 1}
		name = digestOf(mustJSON(t, m))
	}
	f.put(t, "/v2/"+repo+"/manifests/"+name, ociManifest, mustJSON(t, m))
}

func TestSignatures(t *testing.T) {
	host := store.HostPlatform()
	good := map[string]crypto.Signer{"ecdsa": newKey(t, "ecdsa"), "p384": newKey(t, "p384"), "ed25519": newKey(t, "ed25519"), "rsa": newKey(t, "rsa")}
	other := newKey(t, "ecdsa")
	const signed = "https://sigstore.dev/cosign/sign/v1"
	for _, tt := range []struct {
		name string
		sign func(f *fakeRegistry, digest string)
		keys []string
		want string // of the error; "" when the image passes
	}{
		{"ecdsa", func(f *fakeRegistry, d string) { cosign(t, f, "a", d, f.Host+"/a", "tag", good["ecdsa"]) }, []string{"ecdsa"}, ""},
		{"p384", func(f *fakeRegistry, d string) { cosign(t, f, "a", d, f.Host+"/a", "tag", good["p384"]) }, []string{"p384"}, ""},
		{"ed25519, second key", func(f *fakeRegistry, d string) { cosign(t, f, "a", d, f.Host+"/a:latest", "tag", good["ed25519"]) }, []string{"ecdsa", "ed25519"}, ""},
		{"rsa, referrer", func(f *fakeRegistry, d string) { cosign(t, f, "a", d, f.Host+"/a", "referrer", good["rsa"]) }, []string{"rsa"}, ""},
		{"bundle", func(f *fakeRegistry, d string) { bundle(t, f, "a", d, signed, good["ecdsa"]) }, []string{"ecdsa"}, ""},
		{"none", func(*fakeRegistry, string) {}, []string{"ecdsa"}, "there is no signature"},
		{"other key", func(f *fakeRegistry, d string) { cosign(t, f, "a", d, f.Host+"/a", "tag", other) }, []string{"ecdsa"}, "no signature is by one of its keys"},
		{"bundle, other key", func(f *fakeRegistry, d string) { bundle(t, f, "a", d, signed, other) }, []string{"ecdsa"}, "no signature is by one of its keys"},
		{"attestation", func(f *fakeRegistry, d string) { bundle(t, f, "a", d, "https://slsa.dev/provenance/v1", good["ecdsa"]) }, []string{"ecdsa"}, "it is an attestation"},
		{"other name", func(f *fakeRegistry, d string) { cosign(t, f, "a", d, f.Host+"/b", "tag", good["ecdsa"]) }, []string{"ecdsa"}, "the signature is for the name"},
		{"other image", func(f *fakeRegistry, d string) {
			attachOther(t, f, d, good["ecdsa"])
		}, []string{"ecdsa"}, "the signature is for another image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			m := makeImage(t, ociManifest, host, 100)
			f.image(t, "a", "latest", m)
			tt.sign(f, digestOf(m.manifest))
			rule := Rule{Prefix: f.Host, Require: RequireSigstore, file: "policy.toml"}
			for _, k := range tt.keys {
				key, err := publicKey(pemOf(t, good[k].Public()))
				if err != nil {
					t.Fatal(err)
				}
				rule.keys = append(rule.keys, key)
			}
			s := newStore(t)
			f.set(nil)
			_, err := newClient().Pull(context.Background(), s, mustParse(t, f.Host+"/a"), PullOptions{Policy: Policy{Rules: []Rule{rule}}})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := f.Host + "/a:latest: refused by rule " + f.Host + " (sigstore) of policy.toml: " + tt.want
			if fault.KindOf(err) != fault.Denied || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			for _, r := range f.requests() {
				if strings.HasSuffix(r, digestOf(m.layers[0])) {
					t.Errorf("a layer was fetched before the signature was there: %s", r)
				}
			}
			if list, err := s.List(); err != nil || len(list) > 0 {
				t.Errorf("it is there: %v, %v", list, err)
			}
		})
	}
}

// attachOther puts a good signature of one image where another's belongs.
func attachOther(t testing.TB, f *fakeRegistry, digest string, key crypto.Signer) {
	t.Helper()
	payload := mustJSON(t, map[string]any{"critical": map[string]any{
		"identity": map[string]any{"docker-reference": f.Host + "/a"},
		"image":    map[string]any{"docker-manifest-digest": digestOf([]byte("other"))},
		"type":     "cosign container image signature",
	}})
	attachSignature(t, f, "a", digest, "tag", "", map[string]any{
		"mediaType": typeSimpleSigning, "digest": f.blob(t, "a", payload), "size": len(payload),
		"annotations": map[string]string{cosignSignature: base64.StdEncoding.EncodeToString(sign(t, key, payload))},
	})
}

// TestPolicyOfUnchanged refuses an image that is here and may not be any more.
func TestPolicyOfUnchanged(t *testing.T) {
	f := newFake(t)
	f.image(t, "a", "latest", makeImage(t, ociManifest, store.HostPlatform(), 100))
	s, c := newStore(t), newClient()
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	_, err := c.Pull(context.Background(), s, mustParse(t, f.Host+"/a"), PullOptions{Policy: Policy{Rules: []Rule{{Prefix: f.Host, Require: RequireDigest, Digests: []string{digestOf(nil)}}}}})
	if fault.KindOf(err) != fault.Denied {
		t.Errorf("error %v", err)
	}
}

func TestLoadPolicy(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key.pub")
	if err := os.WriteFile(key, pemOf(t, newKey(t, "ecdsa").Public()), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "policy.toml")
	if err := os.WriteFile(file, []byte("default = \"none\"\n[[rule]]\nprefix = \"a.test\"\nrequire = \"sigstore\"\nkeys = [\""+key+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TARE_POLICY", file)
	p, err := LoadPolicy()
	if err != nil || len(p.Rules) != 2 || len(p.Rules[0].keys) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	t.Setenv("TARE_POLICY", filepath.Join(dir, "none"))
	if _, err := LoadPolicy(); err == nil {
		t.Error("a file that is named and missing is no error")
	}
}

// TestPolicyPrefix: a prefix that starts no image's name is refused, rather
// than never heard.
func TestPolicyPrefix(t *testing.T) {
	for prefix, good := range map[string]bool{
		"docker.io": true, "docker.io/library": true, "docker.io/library/debian": true, "localhost:5000": true, "localhost": true,
		"registry.example:443/a/b": true, "127.0.0.1:5000/a": true,
		"debian": false, "library/debian": false, "registry.example/": false, "registry.example/a/": false, "*.example": false,
		"registry.example/a:1": false, "Registry.example/A": false, "https://registry.example": false, " docker.io": false,
		"index.docker.io/library": false, "registry.example/a@sha256:" + strings.Repeat("0", 64): false,
	} {
		_, err := parsePolicy([]byte("[[rule]]\nprefix = \""+prefix+"\"\nrequire = \"reject\"\n"), "f", os.ReadFile)
		if (err == nil) != good || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
