package registry

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

// peer is a program of Debian that the tests work together with.
func peer(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (test/setup.sh)", name)
	}
	return path
}

// passwordFile is a htpasswd file: user, secret.
const passwordFile = "user:$2y$05$PXqaplP3R4HUWKL/5qFGVukNBY0eBLqBzkVY.fxwV3/Jyjy.Pz3HC\n"

// distribution is Debian's docker-registry on loopback.
type distribution struct {
	Host string
	CA   string // file, with TLS
}

func newDistribution(t testing.TB, secure bool) *distribution {
	t.Helper()
	bin := peer(t, "docker-registry")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &distribution{Host: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp:\n  addr: %s\n", dir, d.Host)
	if secure {
		d.CA = filepath.Join(dir, "cert.pem")
		writeCert(t, d.CA, filepath.Join(dir, "key.pem"))
		if err := os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(passwordFile), 0o600); err != nil {
			t.Fatal(err)
		}
		conf += fmt.Sprintf("  tls: {certificate: %s, key: %s/key.pem}\nauth: {htpasswd: {realm: test, path: %s/htpasswd}}\n", d.CA, dir, dir)
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(bin, "serve", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", d.Host)
		if err == nil {
			_ = c.Close()
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("docker-registry does not come up: %v: %s", err, &log)
		}
	}
}

func writeCert(t testing.TB, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{cert, "CERTIFICATE", der}, {key, "EC PRIVATE KEY", kder}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func runPeer(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(peer(t, name), args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// TestDistribution pushes to and pulls from docker-registry with TLS and a
// password, found by certs.d.
func TestDistribution(t *testing.T) {
	d := newDistribution(t, true)
	host := store.HostPlatform()
	f := newFake(t)
	sizes := []int{100, 12 << 20, 3 << 20}
	m := makeImage(t, ociManifest, host, sizes...)
	f.image(t, "a", "latest", m)

	certs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(certs, d.Host), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newClient()
	c.Config.CertDirs = []string{certs}
	c.Keys = keys{Username: "user", Password: "secret"}
	s := newStore(t)
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if _, err := s.Tag(f.Host+"/a", d.Host+"/team/a:v1"); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()

	strict := newClient()
	strict.Config.Registries = []Registry{{Prefix: d.Host, CA: f.writeCA(t)}} // another authority
	if _, err := strict.Push(ctx, s, mustParse(t, d.Host+"/team/a:v1"), PushOptions{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	ca, err := os.ReadFile(d.CA)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(certs, d.Host, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.CheckLogin(ctx, d.Host, "user", "secret"); err != nil {
		t.Error(err)
	}
	if err := c.CheckLogin(ctx, d.Host, "user", "wrong"); fault.KindOf(err) != fault.Denied {
		t.Errorf("wrong password: %v", err)
	}
	sent := mustPush(t, c, s, d.Host+"/team/a:v1", PushOptions{})
	if sent.Digest != digestOf(m.manifest) {
		t.Errorf("sent %+v", sent)
	}
	if _, err := s.Tag(f.Host+"/a", d.Host+"/team/b:v1"); err != nil {
		t.Fatal(err)
	}
	show := &record{}
	mustPush(t, c, s, d.Host+"/team/b:v1", PushOptions{Progress: show})
	if got := show.last(); got != "Mounted Mounted Mounted" {
		t.Errorf("pushed to the second repository: %s", got)
	}
	out := mustPull(t, c, newStore(t), d.Host+"/team/b:v1", PullOptions{})
	checkTree(t, &out.Image, host.Arch, sizes...)

	found, err := c.Search(ctx, d.Host, "team", 10)
	if err != nil || len(found) != 2 || found[0].Name != "team/a" {
		t.Errorf("search: %v, %v", found, err)
	}
	nobody := newClient()
	nobody.Config = c.Config
	if _, err := nobody.Pull(ctx, newStore(t), mustParse(t, d.Host+"/team/a:v1"), PullOptions{}); fault.KindOf(err) != fault.Denied || fault.HintOf(err) != "tare login "+d.Host {
		t.Errorf("without a login: %v", err)
	}
}

func (f *fakeRegistry) writeCA(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	writeCert(t, dir+"/cert.pem", dir+"/key.pem")
	return dir + "/cert.pem"
}

// record is a progress that remembers the last state of each layer.
type record struct {
	api.Quiet
	memory
	order  []string
	states map[string]api.LayerState
}

func (r *record) Layer(digest string, _ int64, s api.LayerState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states == nil {
		r.states = map[string]api.LayerState{}
	}
	if _, ok := r.states[digest]; !ok {
		r.order = append(r.order, digest)
	}
	r.states[digest] = s
}

func (r *record) last() string {
	var list []string
	for _, d := range r.order {
		list = append(list, r.states[d].String())
	}
	return strings.Join(list, " ")
}

// TestSkopeo reads what tare has pushed, and pushes what tare reads.
func TestSkopeo(t *testing.T) {
	peer(t, "skopeo")
	d := newDistribution(t, false)
	host := store.HostPlatform()
	f := newFake(t)
	m := makeImage(t, ociManifest, host, 100, 300<<10, 50)
	f.image(t, "a", "latest", m)
	s, c := newStore(t), newClient()
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if _, err := s.Tag(f.Host+"/a", d.Host+"/a"); err != nil {
		t.Fatal(err)
	}
	mustPush(t, c, s, d.Host+"/a", PushOptions{})

	var seen struct{ Digest string }
	if err := json.Unmarshal([]byte(runPeer(t, "", "skopeo", "inspect", "--tls-verify=false", "docker://"+d.Host+"/a")), &seen); err != nil || seen.Digest != digestOf(m.manifest) {
		t.Errorf("skopeo sees %s, %v", seen.Digest, err)
	}
	dir := t.TempDir()
	runPeer(t, dir, "skopeo", "copy", "--src-tls-verify=false", "docker://"+d.Host+"/a", "oci:layout:a")
	runPeer(t, dir, "skopeo", "copy", "--dest-tls-verify=false", "oci:layout:a", "docker://"+d.Host+"/b:oci")
	out := mustPull(t, c, newStore(t), d.Host+"/b:oci", PullOptions{})
	checkTree(t, &out.Image, host.Arch, 100, 300<<10, 50)

	// As schema 2, which has no zstd.
	f.image(t, "gzip", "latest", makeImage(t, ociManifest, host, 4000))
	runPeer(t, dir, "skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2", "docker://"+f.Host+"/gzip", "docker://"+d.Host+"/b:docker")
	out = mustPull(t, c, newStore(t), d.Host+"/b:docker", PullOptions{})
	checkTree(t, &out.Image, host.Arch, 4000)
}

// TestPodman pulls what tare has pushed, and tare pulls what it has pushed.
func TestPodman(t *testing.T) {
	testkit.Root(t, "kills pulls")
	peer(t, "podman")
	d := newDistribution(t, false)
	host := store.HostPlatform()
	f := newFake(t)
	m := makeImage(t, ociManifest, host, 100, 5000)
	f.image(t, "a", "latest", m)
	s, c := newStore(t), newClient()
	mustPull(t, c, s, f.Host+"/a", PullOptions{})
	if _, err := s.Tag(f.Host+"/a", d.Host+"/a"); err != nil {
		t.Fatal(err)
	}
	mustPush(t, c, s, d.Host+"/a", PushOptions{})

	dir := t.TempDir()
	podman := func(args ...string) string {
		return runPeer(t, dir, "podman", append([]string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}, args...)...)
	}
	id := strings.TrimSpace(podman("pull", "-q", "--tls-verify=false", d.Host+"/a"))
	if "sha256:"+id != digestOf(m.config) {
		t.Errorf("podman has id %s", id)
	}
	podman("push", "-q", "--tls-verify=false", d.Host+"/a", d.Host+"/b")
	out := mustPull(t, c, newStore(t), d.Host+"/b", PullOptions{})
	checkTree(t, &out.Image, host.Arch, 100, 5000)
}
