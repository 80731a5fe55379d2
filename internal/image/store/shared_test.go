package store

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// begun is an ingest that has the one layer of p, finished and not committed.
func begun(t *testing.T, s *Store, p *pulled) *Ingest {
	t.Helper()
	in, err := s.Ingest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	if _, err := fetch(in, p.spec(), p.blobs[0]); err != nil {
		t.Fatal(err)
	}
	return in
}

func (p *pulled) spec() LayerSpec {
	return LayerSpec{Descriptor: p.parsed.Layers[0], DiffID: p.diffs[0], ChainID: ChainIDs(p.diffs)[0]}
}

// TestSharedBlob: two images that are pulled at once have a layer in common.
// What one ingest has verified, another one must not write to: whatever that
// is sent would have the digest of something else.
func TestSharedBlob(t *testing.T) {
	for name, content := range map[string]string{"small": "x", "large": noise(3 << 20)} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			p := makePulled(t, plainBlob, archive(t, "./", "a="+content))
			first := begun(t, s, p)
			_ = os.Remove(s.root + "/partial/" + p.parsed.Layers[0].Digest[len("sha256:"):] + ".got")

			second, err := s.Ingest(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer second.Close()
			l, err := second.Layer(p.spec())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range l.Missing() {
				_, _ = l.WriteAt(bytes.Repeat([]byte("evil"), int(r.Len)/4), r.Off)
			}
			if err := l.Finish(nil); err != nil {
				t.Errorf("the second ingest: %v", err)
			}
			m, err := first.Commit(context.Background(), &CommitSpec{Manifest: p.manifest, Config: p.config, Names: []string{"a"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range m.Blobs() {
				if data, err := os.ReadFile(s.blobPath(d)); err != nil || digestOf(data) != d {
					t.Errorf("blob %s has %d bytes of something else, %v", d, len(data), err)
				}
			}
		})
	}
}

// TestSharedBlobOtherSize: a manifest that gives a blob another size gets
// nothing of it, and takes nothing away.
func TestSharedBlobOtherSize(t *testing.T) {
	s := newStore(t)
	p := makePulled(t, plainBlob, archive(t, "./", "a=x"))
	first := begun(t, s, p)
	second, err := s.Ingest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	spec := p.spec()
	spec.Size /= 2
	if _, err := fetch(second, spec, p.blobs[0][:spec.Size]); fault.KindOf(err) != fault.Invalid {
		t.Errorf("half of the blob: %v", err)
	}
	m, err := first.Commit(context.Background(), &CommitSpec{Manifest: p.manifest, Config: p.config, Names: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(s.blobPath(m.Blobs()[1])); err != nil || digestOf(data) != m.Blobs()[1] {
		t.Errorf("the blob has %d bytes of something else, %v", len(data), err)
	}
}

// TestCommitUnderReader: an image is committed while another ingest unpacks the
// layer that both have.
func TestCommitUnderReader(t *testing.T) {
	s := newStore(t)
	p := makePulled(t, plainBlob, archive(t, "./", "a="+noise(3<<20)))
	first := begun(t, s, p)
	second, err := s.Ingest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for range maxUnpackers { // it waits
		second.slots <- struct{}{}
	}
	l, err := second.Layer(p.spec())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Commit(context.Background(), &CommitSpec{Manifest: p.manifest, Config: p.config, Names: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	for range maxUnpackers {
		<-second.slots
	}
	if err := l.Finish(nil); err != nil {
		t.Error(err)
	}
}
