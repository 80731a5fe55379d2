package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/storage/layer/deflate"
	"github.com/tare-engine/tare/internal/storage/layer/unzstd"
)

func newStore(t testing.TB) *store.Store {
	t.Helper()
	testkit.Root(t, "owners are set")
	s := store.Open(filepath.Join(t.TempDir(), "data"))
	s.Zstd, s.Gzip = unzstd.New, deflate.New
	return s
}

// entry of a tar: a name that ends in a slash is a directory, one that starts
// with "->" of content a symbolic link.
type entry struct{ name, content string }

func tarOf(t testing.TB, list ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range list {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: 0o644, Size: int64(len(e.content)), ModTime: time.Unix(1e9, 0)}
		if to, ok := strings.CutPrefix(e.content, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, e.content = tar.TypeSymlink, to, 0, ""
		} else if strings.HasSuffix(e.name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// docker makes an archive as docker save did before it wrote OCI layouts: the
// second layer of the second image is a link to that of the first.
func docker(t testing.TB) []byte {
	t.Helper()
	l1 := tarOf(t, entry{"./", ""}, entry{"a", "1"})
	l2 := tarOf(t, entry{"b", "2"})
	config := func(cmd string) string {
		return `{"architecture":"amd64","os":"linux","config":{"Cmd":["` + cmd + `"]},"history":null,"rootfs":{"type":"layers","diff_ids":["sha256:` +
			sum(l1) + `","sha256:` + sum(l2) + `"]}}`
	}
	c1, c2 := config("one"), config("two")
	n1, n2 := sum([]byte(c1))+".json", sum([]byte(c2))+".json"
	return tarOf(t,
		entry{"aa/", ""}, entry{"aa/VERSION", "1.0"}, entry{"aa/json", "{}"}, entry{"aa/layer.tar", string(l1)},
		entry{"bb/layer.tar", string(l2)}, entry{"cc/layer.tar", "->../bb/layer.tar"}, entry{n1, c1}, entry{n2, c2},
		entry{fileManifest, `[{"Config":"` + n1 + `","RepoTags":["one:1","one:latest"],"Layers":["aa/layer.tar","bb/layer.tar"]},
			{"Config":"` + n2 + `","RepoTags":null,"Layers":["aa/layer.tar","cc/layer.tar"]}]`},
		entry{fileRepos, `{"one":{"1":"bb","latest":"bb"}}`})
}

func names(list []Loaded) string {
	var out []string
	for i := range list {
		n := strings.Join(list[i].Names, "+")
		if n == "" {
			n = "none"
		}
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func TestLoadDocker(t *testing.T) {
	for name, data := range map[string][]byte{"plain": docker(t), "gzip": zip(t, docker(t))} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			list, err := Load(context.Background(), s, bytes.NewReader(data), LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := names(list); got != "one:1+one:latest none" {
				t.Errorf("loaded %s", got)
			}
			if list[0].Image.Config.Cmd[0] != "one" || list[1].Image.Config.Cmd[0] != "two" || list[0].Image.Lower[0] != list[1].Image.Lower[0] {
				t.Errorf("got %+v", list)
			}
			if b, err := os.ReadFile(list[1].Image.Lower[0] + "/b"); err != nil || string(b) != "2" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestRoundTrip: what was saved is loaded as it was, and saved again is the
// same archive, byte for byte.
func TestRoundTrip(t *testing.T) {
	from := newStore(t)
	if _, err := Load(context.Background(), from, bytes.NewReader(docker(t)), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Import(context.Background(), store.Source{Reader: bytes.NewReader(tarOf(t, entry{"x", "x"}))}, "imported:1", store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	refs := []string{"one", "imported:1"}
	for _, o := range []SaveOptions{{}, {OCI: true}} {
		var first, second bytes.Buffer
		if err := Save(context.Background(), from, &first, refs, o); err != nil {
			t.Fatal(err)
		}
		to := newStore(t)
		list, err := Load(context.Background(), to, bytes.NewReader(first.Bytes()), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := names(list); got != "one:1 one:latest imported:1" {
			t.Errorf("loaded %s", got)
		}
		if err := Save(context.Background(), to, &second, refs, o); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error("saved again, it differs")
		}
		dir := t.TempDir()
		if err := SaveDir(context.Background(), to, dir, refs, o); err != nil {
			t.Fatal(err)
		}
		third := newStore(t)
		if list, err := LoadDir(context.Background(), third, dir, LoadOptions{}); err != nil || names(list) != "one:1 one:latest imported:1" {
			t.Errorf("loaded %s, %v", names(list), err)
		}
		if err := SaveDir(context.Background(), to, dir, refs, o); fault.KindOf(err) != fault.Exists {
			t.Errorf("saved into what is not empty: %v", err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	good := docker(t)
	var nested func(depth int) []entry
	nested = func(depth int) []entry {
		if depth == 0 {
			return []entry{{fileLayout, layoutVersion}}
		}
		below := nested(depth - 1)
		last := below[len(below)-1].content
		idx, err := json.Marshal(index{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []store.Descriptor{{MediaType: mediaIndex, Digest: "sha256:" + sum([]byte(last)), Size: int64(len(last))}}})
		if err != nil {
			t.Fatal(err)
		}
		return append(below, entry{blobDir + sum(idx), string(idx)})
	}
	deep := nested(7)
	deep[len(deep)-1].name = fileIndex
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "read archive: it has no image"},
		{"text", bytes.Repeat([]byte("text "), 500), "read archive: it is no tar archive"},
		{"cut", good[:len(good)-3000], "read archive: it is cut short"},
		{"cut in a layer", good[:3800], "read archive: it is cut short"},
		{"no image", tarOf(t, entry{"a", "b"}), "read archive: it has no image"},
		{"old", tarOf(t, entry{fileRepos, `{"x":{"y":"z"}}`}), "read archive: Docker before 1.10 wrote it; load and save it with a newer one"},
		{"no config", tarOf(t, entry{fileManifest, `[{"Config":"../../x.json"}]`}), "read archive: the config ../../x.json is missing"},
		{"no layer", tarOf(t, entry{"c.json", "{}"}, entry{fileManifest, `[{"Config":"c.json","Layers":["l"]}]`}), "read archive: the layer l is missing"},
		{"wrong digest", tarOf(t, entry{blobDir + strings.Repeat("0", 64), "{}"}), "add blob sha256:" + strings.Repeat("0", 64) + ": the content has digest sha256:" + sum([]byte("{}"))},
		{"deep", tarOf(t, deep...), "read archive: its indexes are nested more than 4 deep"},
		{"bad layer", bytes.Replace(good, []byte("aa/layer.tar"), []byte("aa/lay\x00r.tar"), 1), "read archive: it is no tar archive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			_, err := Load(context.Background(), s, bytes.NewReader(tt.in), LoadOptions{})
			if err == nil || err.Error() != tt.want || fault.KindOf(err) == fault.Internal {
				t.Errorf("got  %v (%v)\nwant %s", err, fault.KindOf(err), tt.want)
			}
			if list, err := s.List(); err != nil || len(list) > 0 {
				t.Errorf("the store has %v, %v", list, err)
			}
		})
	}
}

// TestLoadLayerWrong: a layer that is not what the config says.
func TestLoadLayerWrong(t *testing.T) {
	s := newStore(t)
	l := tarOf(t, entry{"a", "1"})
	config := `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("1", 64) + `"]}}`
	_, err := Load(context.Background(), s, bytes.NewReader(tarOf(t, entry{"l.tar", string(l)}, entry{"c.json", config},
		entry{fileManifest, `[{"Config":"c.json","Layers":["l.tar"]}]`})), LoadOptions{})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "the diff id is sha256:"+sum(l)) {
		t.Errorf("got %v", err)
	}
}

func TestSaveRefuses(t *testing.T) {
	s := newStore(t)
	if err := Save(context.Background(), s, io.Discard, []string{"none"}, SaveOptions{}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
	if _, err := Load(context.Background(), s, bytes.NewReader(docker(t)), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if err := Save(context.Background(), s, failWriter{full}, []string{"one:1"}, SaveOptions{}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(context.Background(), s, bytes.NewReader(docker(t)), LoadOptions{Platform: store.Platform{OS: "linux", Arch: "s390x"}}); err == nil ||
		err.Error() != "read archive: it has no image for linux/s390x" {
		t.Errorf("got %v", err)
	}
}

type failWriter struct{ err error }

func (f failWriter) Write([]byte) (int, error) { return 0, f.err }

// TestLoadBounds: what an archive has many of does not fill the memory.
func TestLoadBounds(t *testing.T) {
	long := strings.Repeat("n/", 40_000)
	for name, h := range map[string]*tar.Header{
		"links": {Typeflag: tar.TypeSymlink, Linkname: long},
		"files": {Typeflag: tar.TypeReg, Size: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			r, w := io.Pipe()
			go func() {
				tw := tar.NewWriter(w)
				var err error
				for i := 0; i < 2000 && err == nil; i++ {
					h.Name = long + strconv.Itoa(i)
					if err = tw.WriteHeader(h); err == nil && h.Size > 0 {
						_, err = io.WriteString(tw, "{}")
					}
				}
				_ = w.CloseWithError(errors.Join(err, tw.Close()))
			}()
			_, err := Load(context.Background(), s, r, LoadOptions{})
			_ = r.Close()
			if err == nil || err.Error() != "read archive: more than 67108864 bytes of metadata" {
				t.Errorf("got %v", err)
			}
		})
	}
}
