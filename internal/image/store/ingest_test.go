package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer/deflate"
	"github.com/tare-engine/tare/internal/storage/layer/unzstd"
)

// pulled is an image as a registry would serve it.
type pulled struct {
	manifest, config []byte
	parsed           Manifest
	diffs            []string
	blobs            [][]byte
}

func zipZstd(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(data, nil)
}

// makePulled makes an image with Docker's media types, layers given as tars.
func makePulled(t testing.TB, pack func(testing.TB, []byte) []byte, tars ...[]byte) *pulled {
	t.Helper()
	p := &pulled{}
	m := imageManifest{SchemaVersion: 2, MediaType: mediaDocker}
	cfg := configFile{Architecture: HostPlatform().Arch, OS: "linux", RootFS: rootFS{Type: "layers"}, Config: runConfig{Cmd: []string{"/x"}}}
	for _, tar := range tars {
		blob := pack(t, tar)
		p.blobs = append(p.blobs, blob)
		p.diffs = append(p.diffs, digestOf(tar))
		m.Layers = append(m.Layers, Descriptor{MediaType: mediaLayerGzip, Digest: digestOf(blob), Size: int64(len(blob))})
	}
	cfg.RootFS.DiffIDs = p.diffs
	var err error
	if p.config, err = json.Marshal(cfg); err != nil {
		t.Fatal(err)
	}
	m.Config = Descriptor{MediaType: mediaDockerConfig, Digest: digestOf(p.config), Size: int64(len(p.config))}
	if p.manifest, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if p.parsed, err = ParseManifest("", p.manifest, Limits{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func plainBlob(_ testing.TB, data []byte) []byte { return data }

// pull ingests p as a registry client would, each layer in pieces that come
// out of order. It returns how many bytes had to be fetched.
func (p *pulled) pull(ctx context.Context, s *Store, names ...string) (m Image, fetched int64, err error) {
	in, err := s.Ingest(ctx)
	if err != nil {
		return Image{}, 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := in.Lock(digestOf(p.manifest)); err != nil {
		return Image{}, 0, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	chains := ChainIDs(p.diffs)
	for i, d := range p.parsed.Layers {
		wg.Go(func() {
			n, lerr := fetch(in, LayerSpec{Descriptor: d, DiffID: p.diffs[i], ChainID: chains[i]}, p.blobs[i])
			mu.Lock()
			defer mu.Unlock()
			fetched += n
			if err == nil {
				err = lerr
			}
		})
	}
	wg.Wait()
	if err != nil {
		return Image{}, fetched, err
	}
	m, err = in.Commit(ctx, &CommitSpec{Manifest: p.manifest, Config: p.config, Names: names})
	return m, fetched, err
}

func fetch(in *Ingest, spec LayerSpec, blob []byte) (int64, error) {
	l, err := in.Layer(spec)
	if err != nil {
		return 0, err
	}
	type piece struct{ from, to int64 }
	var pieces []piece
	n := int64(0)
	for _, r := range l.Missing() {
		n += r.Len
		for at := r.Off; at < r.Off+r.Len; at += 300_000 {
			pieces = append(pieces, piece{at, min(at+300_000, r.Off+r.Len)})
		}
	}
	rand.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	var wg sync.WaitGroup
	work := make(chan piece)
	errs := make(chan error, len(pieces))
	for range 3 {
		wg.Go(func() {
			for p := range work {
				_, err := l.WriteAt(blob[p.from:p.to], p.from)
				errs <- err
			}
		})
	}
	for _, p := range pieces {
		work <- p
	}
	close(work)
	wg.Wait()
	close(errs)
	for e := range errs {
		if err == nil {
			err = e
		}
	}
	return n, l.Finish(err)
}

func noise(n int) string {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(b)
	return string(b)
}

func TestIngest(t *testing.T) {
	big := archive(t, "./", "a/", "a/big="+noise(5<<20), "a/zero="+strings.Repeat("\x00", 1<<20))
	small := archive(t, "a/.wh.zero", "b=1")
	for name, pack := range map[string]func(testing.TB, []byte) []byte{"gzip": zip, "zstd": zipZstd, "plain": plainBlob} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.Zstd, s.Gzip = unzstd.New, deflate.New
			p := makePulled(t, pack, big, small, small, small)
			m, n, err := p.pull(context.Background(), s, "x", "y:1", "y@"+digestOf(p.manifest))
			if err != nil {
				t.Fatal(err)
			}
			if want := len(p.blobs[0]) + len(p.blobs[1]); n != int64(want) {
				t.Errorf("fetched %d, want %d: the small layer once", n, want)
			}
			if m.ID != digestOf(p.config) || m.Manifest != digestOf(p.manifest) || m.Config.Cmd[0] != "/x" || m.Name != "docker.io/library/x:latest" {
				t.Errorf("got %+v", m)
			}
			for _, ref := range []string{"x", "y:1", "y@" + digestOf(p.manifest), m.ShortID()} {
				if got, err := s.Resolve(ref, Platform{}); err != nil || got.ID != m.ID {
					t.Errorf("%s: %v, %v", ref, got.ID, err)
				}
			}
			for _, d := range []string{m.Manifest, m.ID, p.parsed.Layers[0].Digest} {
				data, err := os.ReadFile(s.blobPath(d))
				if err != nil || digestOf(data) != d {
					t.Errorf("blob %s: %v", d, err)
				}
			}
			wantContents(t, s, "sha256:4 layers:4 images:1 names:3 staging:0")
			if list, err := os.ReadDir(s.root + "/partial"); err != nil || len(list) != 0 {
				t.Errorf("partial has %v, %v", list, err)
			}
			if _, n, err := p.pull(context.Background(), s, "x"); err != nil || n != 0 {
				t.Errorf("again: fetched %d, %v", n, err)
			}
			checkTrees(t, m)
		})
	}
}

func checkTrees(t *testing.T, m Image) {
	t.Helper()
	for _, dir := range m.Lower {
		if _, err := os.Stat(dir + "/a"); err != nil {
			t.Error(err)
		}
	}
}

// TestResume: what a broken transfer leaves is used by the next one.
func TestResume(t *testing.T) {
	s := newStore(t)
	p := makePulled(t, zip, archive(t, "./", "a/", "a/f="+noise(6<<20)))
	spec := LayerSpec{Descriptor: p.parsed.Layers[0], DiffID: p.diffs[0]}
	begin := func() (*Ingest, *Layer) {
		in, err := s.Ingest(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		l, err := in.Layer(spec)
		if err != nil {
			t.Fatal(err)
		}
		return in, l
	}
	cut := errors.New("connection reset")
	in, l := begin()
	for _, r := range []Range{{0, 1<<20 + 5}, {4 << 20, 1 << 20}} {
		if _, err := l.WriteAt(p.blobs[0][r.Off:r.Off+r.Len], r.Off); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Finish(cut); !errors.Is(err, cut) {
		t.Fatalf("got %v", err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, empty)

	in, l = begin() // as if killed: closed without Finish
	if got, want := fmt.Sprint(l.Missing()), fmt.Sprintf("[{1048576 3145728} {5242880 %d}]", len(p.blobs[0])-5<<20); got != want {
		t.Errorf("missing %s, want %s", got, want)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}

	// Damage on the disk is found by the digest, and the next try is clean.
	path := s.root + "/partial/" + spec.Digest[7:]
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), 4<<20+100); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, n, err := p.pull(context.Background(), s, "x"); fault.KindOf(err) != fault.Invalid || n != int64(len(p.blobs[0])-2<<20) {
		t.Errorf("fetched %d, %v", n, err)
	}
	if _, n, err := p.pull(context.Background(), s, "x"); err != nil || n != int64(len(p.blobs[0])) {
		t.Errorf("fetched %d, %v", n, err)
	}
	wantContents(t, s, "sha256:3 layers:1 images:1 names:1 staging:0")
}

func TestIngestRefuses(t *testing.T) {
	s := newStore(t)
	data := archive(t, "a=1")
	good := makePulled(t, zip, data)
	for name, tt := range map[string]struct {
		change func(*pulled)
		want   string
	}{
		"content":  {func(p *pulled) { p.blobs[0][20] ^= 1 }, "the content has digest"},
		"diff id":  {func(p *pulled) { p.diffs = []string{digestOf(nil)} }, "the diff id is"},
		"layers":   {func(p *pulled) { p.config = []byte(`{"rootfs":{"type":"layers","diff_ids":[]}}`) }, "the manifest has 1 layers, the config 0"},
		"no image": {func(p *pulled) { p.config = []byte(`{}`) }, "it is no container image"},
		"short": {func(p *pulled) {
			p.parsed.Layers[0].Size++
			p.blobs[0] = append(p.blobs[0], 0)
		}, "the content has digest"},
	} {
		t.Run(name, func(t *testing.T) {
			p := makePulled(t, zip, data)
			tt.change(p)
			_, _, err := p.pull(context.Background(), s, "x")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			wantContents(t, s, empty)
		})
	}
	if _, _, err := good.pull(context.Background(), s, "x"); err != nil {
		t.Error(err)
	}
}

func TestIngestBounds(t *testing.T) {
	bomb := archive(t, "zero="+strings.Repeat("\x00", 300<<20))
	for name, tt := range map[string]struct {
		limits Limits
		want   string
	}{
		"ratio":   {Limits{}, "far too much for its size"},
		"bytes":   {Limits{Ratio: 2000, Bytes: 1 << 20}, "unpack layer: the images have more than 1048576 bytes together"},
		"allowed": {Limits{Ratio: 2000}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.Limits = tt.limits
			p := makePulled(t, zip, bomb)
			_, _, err := p.pull(context.Background(), s, "x")
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != fault.Invalid):
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if tt.want != "" {
				wantContents(t, s, empty)
			}
		})
	}
}

// TestBlobOfAnotherTree: a blob does not come to belong to the tree of a layer
// that it does not have.
func TestBlobOfAnotherTree(t *testing.T) {
	for _, known := range []bool{false, true} {
		s := newStore(t)
		good := makePulled(t, zip, archive(t, "./", "good=1"))
		if _, _, err := good.pull(context.Background(), s, "good"); err != nil {
			t.Fatal(err)
		}
		bad := makePulled(t, zip, archive(t, "./", "bad=1"))
		if known { // the blob is in the store as well
			if _, _, err := bad.pull(context.Background(), s, "bad"); err != nil {
				t.Fatal(err)
			}
		}
		bad.config, bad.diffs = good.config, good.diffs
		_, _, err := bad.pull(context.Background(), s, "evil")
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "the diff id is") {
			t.Errorf("known %v: got %v", known, err)
		}
	}
}

// TestPullAtOnce: processes that pull one image fetch each blob once.
func TestPullAtOnce(t *testing.T) {
	s := newStore(t)
	var tars [][]byte
	for i := range 5 {
		tars = append(tars, archive(t, "./", fmt.Sprintf("f%d=%s", i, noise(2<<20))))
	}
	p := makePulled(t, zip, tars...)
	want := int64(0)
	for _, b := range p.blobs {
		want += int64(len(b))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := int64(0)
	for i := range 4 {
		wg.Go(func() {
			_, n, err := p.pull(context.Background(), Open(s.root), fmt.Sprintf("x:%d", i))
			mu.Lock()
			defer mu.Unlock()
			total += n
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if total != want {
		t.Errorf("fetched %d bytes, the image has %d", total, want)
	}
	wantContents(t, s, "sha256:7 layers:5 images:1 names:4 staging:0")
}

func TestParseManifest(t *testing.T) {
	digest := digestOf(nil)
	for _, tt := range []struct {
		in, want string
		kind     fault.Kind
	}{
		{`{"schemaVersion":1}`, "parse manifest: schema version 1 is not supported", fault.Unsupported},
		{`{"schemaVersion":2,"config":{"digest":"` + digest + `"},"manifests":[{"digest":"` + digest + `"}]}`, "parse manifest: it is a manifest and an index at once", fault.Invalid},
		{`{"schemaVersion":2}`, "parse manifest: it names no config", fault.Invalid},
		{`{"schemaVersion":2,"config":{"digest":"sha256:../../x"}}`, `parse manifest: digest "sha256:../../x" is not supported`, fault.Unsupported},
		{`{"schemaVersion":2,"config":{"digest":"` + digest + `","size":-1}}`, "parse manifest: " + digest + " has -1 bytes, the limit is 1099511627776", fault.Invalid},
		{`{"schemaVersion":2,"config":{"digest":"` + digest + `","size":100000000}}`, "parse manifest: the config has 100000000 bytes, the limit is 8388608", fault.Invalid},
		{strings.Repeat(" ", 9<<20), "parse manifest: larger than 8388608 bytes", fault.Invalid},
		{`{"layers":[` + strings.TrimSuffix(strings.Repeat("{},", 500), ",") + `],"config":{"digest":"` + digest + `"}}`, "parse manifest: 500 layers, the limit is 499", fault.Invalid},
	} {
		_, err := ParseManifest("", []byte(tt.in), Limits{})
		if err == nil || err.Error() != tt.want || fault.KindOf(err) != tt.kind {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
	m, err := ParseManifest(mediaDockerIndex, []byte(`{"schemaVersion":2,"manifests":[{"digest":"`+digest+`","platform":{"os":"linux","architecture":"arm64","variant":"v8"}},
		{"digest":"`+digestOf([]byte("x"))+`","platform":{"os":"linux","architecture":"amd64"}}]}`), Limits{})
	if err != nil || !m.IsIndex() {
		t.Fatal(err)
	}
	if d, err := m.Select(Platform{"linux", "arm64", ""}); err != nil || d.Digest != digest {
		t.Errorf("got %v, %v", d, err)
	}
	if _, err := m.Select(Platform{"linux", "s390x", ""}); err == nil || err.Error() != "choose platform linux/s390x: the image is for linux/arm64/v8, linux/amd64" {
		t.Errorf("got %v", err)
	}
}
