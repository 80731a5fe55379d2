package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	testkit.Root(t, "owners are set")
	return Open(filepath.Join(t.TempDir(), "data"))
}

// archive makes a tar stream: a name that ends in a slash is a directory,
// "name=content" a file.
func archive(t testing.TB, entries ...string) []byte {
	t.Helper()
	return tarOf(entries...)
}

func tarOf(entries ...string) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range entries {
		name, content, _ := strings.Cut(e, "=")
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1e9, 5), Format: tar.FormatPAX}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			panic(err)
		}
	}
	if err := tw.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func mustImport(t testing.TB, s *Store, ref string, entries ...string) Image {
	t.Helper()
	m, err := s.Import(context.Background(), Source{Reader: bytes.NewReader(archive(t, entries...))}, ref, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// contents lists the store, without what every store has.
func contents(t testing.TB, s *Store) string {
	t.Helper()
	var out []string
	for _, dir := range []string{"blobs/sha256", "layers", "images", "names", "staging"} {
		list, err := os.ReadDir(s.root + "/" + dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s:%d", filepath.Base(dir), len(list)))
	}
	return strings.Join(out, " ")
}

func wantContents(t testing.TB, s *Store, want string) {
	t.Helper()
	if got := contents(t, s); got != want {
		t.Errorf("the store has %s, want %s", got, want)
	}
}

const empty = "sha256:0 layers:0 images:0 names:0 staging:0"

func TestImport(t *testing.T) {
	s := newStore(t)
	work := t.TempDir()
	plain := archive(t, "./", "a/", "a/f=hello")
	if err := os.WriteFile(work+"/p.tar", plain, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(work+"/z.tgz", zip(t, plain), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := ImportOptions{Changes: []string{"CMD /bin/x", "ENV A=1"}, Message: "why"}
	var layers []string
	for i, src := range []Source{{Path: work + "/p.tar"}, {Path: work + "/z.tgz"}, {Reader: bytes.NewReader(plain)}} {
		m, err := s.Import(context.Background(), src, fmt.Sprintf("x:%d", i), opt)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, m.Layers...)
		if got, err := os.ReadFile(m.Lower[0] + "/a/f"); err != nil || string(got) != "hello" {
			t.Errorf("content %q, %v", got, err)
		}
		if m.Size != 5 || m.Root != (RootAttr{Mode: 0o755}) || m.Platform != HostPlatform() {
			t.Errorf("got %+v", m)
		}
	}
	// A tree that was unpacked from the same archive is the same layer.
	m, err := s.Import(context.Background(), Source{Path: s.layerDir(layers[0]) + "/fs"}, "x:dir", opt)
	if err != nil {
		t.Fatal(err)
	}
	layers = append(layers, m.Layers...)
	for _, l := range layers[1:] {
		if l != layers[0] {
			t.Errorf("layers %v differ", layers)
		}
	}
	wantContents(t, s, "sha256:4 layers:1 images:4 names:4 staging:0")
	data, err := os.ReadFile(s.blobPath(m.ID))
	if err != nil || digestOf(data) != m.ID || !strings.Contains(string(data), `"comment":"why"`) {
		t.Errorf("config blob %s, %v", data, err)
	}
}

func TestImportFails(t *testing.T) {
	s := newStore(t)
	work := t.TempDir()
	for name, data := range map[string][]byte{
		"text": bytes.Repeat([]byte("text "), 500), "cut.tar": archive(t, "a=1", "b=2")[:1030],
		"x.zst": []byte("\x28\xb5\x2f\xfd......"), "zero": nil, "bad.tgz": zip(t, archive(t, "a=1"))[:40],
	} {
		if err := os.WriteFile(work+"/"+name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		src, ref string
		changes  string
		want     string
		kind     fault.Kind
	}{
		{"none", "x", "", "import DIR/none: no such file or directory", fault.NotFound},
		{"zero", "x", "", "import DIR/zero: the archive is empty", fault.Invalid},
		{"text", "x", "", "import DIR/text: unpack layer: no valid tar archive", fault.Invalid},
		{"cut.tar", "x", "", "import DIR/cut.tar: unpack layer: the archive is cut short", fault.Invalid},
		{"bad.tgz", "x", "", "import DIR/bad.tgz: decompress layer: it is cut short", fault.Invalid},
		{"x.zst", "x", "", "import DIR/x.zst: decompress layer: zstd is not supported", fault.Unsupported},
		{"empty.tar", "X", "", `import DIR/empty.tar: parse image name "X": repository name must be lower case`, fault.Invalid},
		{"empty.tar", "x", "RUN x", `apply change "RUN x": unknown instruction RUN`, fault.Invalid},
		{"..", "x", "", "import DIR/..: the directory contains the image store STORE", fault.Invalid},
	} {
		var opt ImportOptions
		if tt.changes != "" {
			opt.Changes = []string{tt.changes}
		}
		_, err := s.Import(context.Background(), Source{Path: work + "/" + tt.src}, tt.ref, opt)
		got := ""
		if err != nil {
			got = strings.ReplaceAll(strings.ReplaceAll(err.Error(), s.root, "STORE"), work, "DIR")
		}
		if got != tt.want || fault.KindOf(err) != tt.kind {
			t.Errorf("got  %s (%v)\nwant %s (%v)", got, fault.KindOf(err), tt.want, tt.kind)
		}
		wantContents(t, s, empty)
	}
}

func TestImportCanceled(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, src := range []Source{{Reader: bytes.NewReader(archive(t, "a=1"))}, {Path: "/etc"}} {
		if _, err := s.Import(ctx, src, "x", ImportOptions{}); err == nil {
			t.Error("imported after it was canceled")
		}
		wantContents(t, s, empty)
	}
}

func TestAddImage(t *testing.T) {
	s := newStore(t)
	const n = 70
	var layers []io.Reader
	for i := range n {
		entries := []string{"./", fmt.Sprintf("own%d=x", i), fmt.Sprintf("top=%d", i)}
		data := archive(t, entries...)
		if i%2 == 1 {
			data = zip(t, data)
		}
		layers = append(layers, bytes.NewReader(data))
	}
	cfg := api.ImageDefaults{
		User: "u", Env: []string{"A=b\nc"}, Cmd: []string{"", "x\ty"}, Entrypoint: []string{"/e"}, WorkingDir: "/w", Volumes: []string{"/v"},
		ExposedPorts: []string{"80/tcp"}, Labels: map[string]string{"k=\t": "v\\\n"}, StopSignal: "SIGINT",
		Healthcheck: []byte(`{"Test":["NONE"]}`), Shell: []string{"/sh"}, OnBuild: []string{"RUN x"},
	}
	m, err := s.AddImage(context.Background(), "many:70", Platform{}, cfg, layers...)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Lower) != n || len(m.Layers) != n {
		t.Fatalf("%d layers", len(m.Lower))
	}
	for i, dir := range m.Lower {
		if got, err := os.ReadFile(dir + "/top"); err != nil || string(got) != fmt.Sprint(n-1-i) {
			t.Errorf("layer %d from the top: %q, %v", i, got, err)
		}
	}
	if diff := cmp.Diff(cfg, m.Config); diff != "" {
		t.Error(diff)
	}
	wantContents(t, s, "sha256:72 layers:70 images:1 names:1 staging:0")
	for _, ref := range []string{"many:70", "many@" + m.Manifest, "many:other@" + m.ID, m.ID, m.ShortID()} {
		got, err := s.Resolve(ref, Platform{})
		if diff := cmp.Diff(m, got, cmpopts.IgnoreFields(Image{}, "Name"), cmp.AllowUnexported(Image{})); err != nil || diff != "" {
			t.Errorf("%s: %v %s", ref, err, diff)
		}
	}
}

// TestImplied: a directory that a layer needs but does not describe keeps what
// it has below.
func TestImplied(t *testing.T) {
	s := newStore(t)
	var low bytes.Buffer
	tw := tar.NewWriter(&low)
	for _, h := range []tar.Header{{Name: "./", Mode: 0o750, Uid: 5}, {Name: "home/", Mode: 0o711}, {Name: "home/u/", Mode: 0o700, Uid: 1000, Gid: 1001}} {
		h.Typeflag, h.ModTime = tar.TypeDir, time.Unix(1e9, 0)
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := s.AddImage(context.Background(), "x", Platform{}, api.ImageDefaults{}, &low, bytes.NewReader(archive(t, "home/u/f=1", "new/g=2")))
	if err != nil {
		t.Fatal(err)
	}
	if m.Root != (RootAttr{Mode: 0o750, UID: 5}) {
		t.Errorf("root %+v", m.Root)
	}
	for name, want := range map[string]string{"": "750 5:0 1000000000", "home": "711 0:0 1000000000", "home/u": "700 1000:1001 1000000000", "new": "755 0:0 0"} {
		if got := stat(t, m.Lower[0]+"/"+name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}

// TestImpliedLink: a directory that a layer implies replaces a link below, as with
// containerd and Docker, and has the attributes of what the link leads to, be it in
// another layer.
func TestImpliedLink(t *testing.T) {
	s := newStore(t)
	tarOf := func(headers ...tar.Header) *bytes.Buffer {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		for _, h := range headers {
			h.ModTime = time.Unix(1e9, 0)
			if err := tw.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	m, err := s.AddImage(context.Background(), "x", Platform{}, api.ImageDefaults{},
		tarOf(tar.Header{Typeflag: tar.TypeDir, Name: "run/", Mode: 0o750, Uid: 7}),
		tarOf(tar.Header{Typeflag: tar.TypeSymlink, Name: "var/run", Linkname: "/run"}, tar.Header{Typeflag: tar.TypeSymlink, Name: "var/out", Linkname: "/none"}),
		bytes.NewReader(archive(t, "var/run/x=1", "var/out/y=1")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"var/run": "750 7:0 1000000000", "var/out": "755 0:0 0"} {
		if got := stat(t, m.Lower[0]+"/"+name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	s := newStore(t)
	if _, err := s.Resolve("x", Platform{}); fault.KindOf(err) != fault.NotFound || err.Error() != "find image x: no such image" {
		t.Errorf("empty store: %v", err)
	}
	a := mustImport(t, s, "x", "a=1")
	b := mustImport(t, s, "localhost:5000/y/z:1.0", "a=2")
	long := strings.Repeat("n", 120) + "/" + strings.Repeat("m", 120)
	c := mustImport(t, s, long, "a=3")
	arm, err := s.Import(context.Background(), Source{Reader: bytes.NewReader(archive(t, "a=4"))}, "only/arm", ImportOptions{Platform: Platform{"linux", "arm64", "v8"}})
	if err != nil {
		t.Fatal(err)
	}
	none := mustImport(t, s, "", "a=5")
	for _, tt := range []struct {
		ref  string
		p    Platform
		want string
		err  string
	}{
		{"x", Platform{}, a.ID, ""},
		{"x:latest", HostPlatform(), a.ID, ""},
		{"docker.io/library/x", Platform{}, a.ID, ""},
		{"localhost:5000/y/z:1.0", Platform{}, b.ID, ""},
		{long, Platform{}, c.ID, ""},
		{a.ID, Platform{}, a.ID, ""},
		{a.ID[7:], Platform{}, a.ID, ""},
		{a.ID[:30], Platform{}, a.ID, ""},
		{none.ShortID(), Platform{}, none.ID, ""},
		{"only/arm", Platform{}, arm.ID, ""},
		{"only/arm", Platform{"linux", "arm64", ""}, arm.ID, ""},
		{"only/arm", Platform{"linux", "riscv64", ""}, "", "find image only/arm: no such image"},
		{arm.ID, Platform{"linux", "riscv64", ""}, "", "find image " + arm.ID + ": it is for linux/arm64/v8, not linux/riscv64"},
		{"x:other", Platform{}, "", "find image x:other: no such image"},
		{"x@" + a.ID, Platform{}, a.ID, ""},
		{"x@" + b.ID, Platform{}, "", "find image x@" + b.ID + ": no such image"},
		{"sha256:zz", Platform{}, "", "find image sha256:zz: no such image"},
		{"", Platform{}, "", "parse image name: it is empty"},
		{"../../etc/passwd", Platform{}, "", `parse image name "../../etc/passwd": invalid reference format`},
		{strings.Repeat("0", 64), Platform{}, "", "find image " + strings.Repeat("0", 64) + ": no such image"},
	} {
		m, err := s.Resolve(tt.ref, tt.p)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: %v, want %s", tt.ref, err, tt.err)
			}
			continue
		}
		if err != nil || m.ID != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.ref, m.ID, err, tt.want)
		}
	}
	for i := range 17 { // by then two ids share a digit
		mustImport(t, s, "", fmt.Sprintf("n=%d", i))
	}
	ambiguous := false
	for _, digit := range "0123456789abcdef" {
		_, err := s.Resolve("sha256:"+string(digit), Platform{})
		ambiguous = ambiguous || fault.KindOf(err) == fault.Invalid && strings.Contains(err.Error(), "ambiguous")
	}
	if !ambiguous {
		t.Error("no id was ambiguous")
	}
}

func TestResolveTwoPlatforms(t *testing.T) {
	s := newStore(t)
	for _, arch := range []string{"mips", "s390x"} {
		_, err := s.Import(context.Background(), Source{Reader: bytes.NewReader(archive(t, "a="+arch))}, "x", ImportOptions{Platform: Platform{"linux", arch, ""}})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Resolve("x", Platform{})
	if want := "find image x: it is here for linux/mips and linux/s390x; choose a platform"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if m, err := s.Resolve("x", Platform{"linux", "s390x", ""}); err != nil || m.Platform.Arch != "s390x" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func BenchmarkResolve(b *testing.B) {
	s := newStore(b)
	mustImport(b, s, "debian:12", "a=1")
	for b.Loop() {
		if _, err := s.Resolve("debian:12", Platform{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList500(b *testing.B) {
	s := newStore(b)
	m := mustImport(b, s, "debian:12", "a=1")
	for i := range 500 {
		m.Name = fmt.Sprintf("docker.io/library/debian:%d", i)
		if err := os.WriteFile(s.namePath(m.Name, m.Platform), encodeRecord(&m), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if list, err := s.List(); err != nil || len(list) != 500 {
			b.Fatal(len(list), err)
		}
	}
}

// TestListMany: 500 images are listed within 30 ms, which a command that lists
// them has.
func TestListMany(t *testing.T) {
	s := newStore(t)
	m := mustImport(t, s, "x:0", "f=1")
	for i := range 500 {
		n := m
		n.ID = digestOf([]byte{byte(i), byte(i >> 8)})
		for _, name := range []string{"", fmt.Sprintf("docker.io/library/x:%d", i)} {
			n.Name = name
			p := s.root + "/images/" + n.ID[len("sha256:"):]
			if name != "" {
				p = s.namePath(name, n.Platform)
			}
			if err := os.WriteFile(p, encodeRecord(&n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	best := time.Hour
	for range 10 {
		begin := time.Now()
		list, err := s.List()
		if err != nil || len(list) < 500 {
			t.Fatalf("%d images, %v", len(list), err)
		}
		best = min(best, time.Since(begin))
	}
	if best > 30*time.Millisecond {
		t.Errorf("took %v", best)
	}
}

// TestListDamaged: one damaged record hides no other image, and nothing is removed
// that it may refer to.
func TestListDamaged(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"one", "two"} {
		mustImport(t, s, name, name+"=1")
	}
	m, err := s.Resolve("one", Platform{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.root + "/images/" + strings.TrimPrefix(m.ID, "sha256:"), s.namePath(m.Name, m.Platform)} {
		if err := os.Truncate(path, 40); err != nil {
			t.Fatal(err)
		}
	}
	var warned []string
	s.Warn = func(text string) { warned = append(warned, text) }
	list, err := s.List()
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Name, "two") || len(warned) != 2 {
		t.Errorf("%v, %v, warned %q", list, err, warned)
	}
	if _, err := s.Resolve("three", Platform{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.usage(); err == nil {
		t.Error("what a damaged record refers to is not used")
	}
}
