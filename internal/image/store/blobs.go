package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// Digest is what the image's name means in a registry: the digest of the index
// or of the manifest, or "" where it was never there.
func (m *Image) Digest() string {
	if m.Index != "" {
		return m.Index
	}
	return m.Manifest
}

// LayerSize returns the bytes of the regular files of a layer.
func (s *Store) LayerSize(key string) (int64, error) {
	meta, err := readSmall(s.layerDir(key) + "/meta")
	if err != nil {
		return 0, fmt.Errorf("read layer %s: %w", key, err)
	}
	return strconv.ParseInt(metaField(meta, "size"), 10, 64)
}

// Blobs returns the digests of all blobs that belong to the image.
func (m *Image) Blobs() []string { return m.blobs }

// HasBlob reports whether the store has a blob.
func (s *Store) HasBlob(digest string) bool {
	return validID(digest) && unix.Access(s.blobPath(digest), unix.F_OK) == nil
}

// OpenBlob opens a blob. The error wraps ENOENT when it is not there.
func (s *Store) OpenBlob(digest string) (*os.File, error) {
	if !validID(digest) {
		return nil, fault.New(fault.Invalid, "open blob: %.80q is no digest", digest)
	}
	f, err := os.Open(s.blobPath(digest))
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", digest, plainError(err))
	}
	return f, nil
}

// ReadBlob returns a small blob: a manifest, an index, a config.
func (s *Store) ReadBlob(digest string) ([]byte, error) {
	if !validID(digest) {
		return nil, fault.New(fault.Invalid, "read blob: %.80q is no digest", digest)
	}
	text, err := readSmall(s.blobPath(digest))
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", digest, err)
	}
	return []byte(text), nil
}

// Complete gives an image that was made here, and has trees only, the blobs
// and the manifest that others want to see: the trees are packed and
// compressed. The image keeps its id and its names.
func (s *Store) Complete(ctx context.Context, m Image) (_ Image, err error) {
	if m.Manifest != "" {
		return m, nil
	}
	config, err := s.ReadBlob(m.ID)
	if err != nil {
		return Image{}, err
	}
	parsed, err := ParseConfig(config)
	if err != nil {
		return Image{}, err
	}
	if len(parsed.DiffIDs) != len(m.Layers) {
		return Image{}, fault.New(fault.Internal, "complete image %s: it has %d layers, its config %d", m.ShortID(), len(m.Layers), len(parsed.DiffIDs))
	}
	names, err := s.named()
	if err != nil {
		return Image{}, err
	}
	in, err := s.Ingest(ctx)
	if err != nil {
		return Image{}, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	chains := ChainIDs(parsed.DiffIDs)
	layers := make([]position, len(m.Layers))
	known, err := in.knownBlobs(m.Layers)
	if err != nil {
		return Image{}, err
	}
	for i, diff := range parsed.DiffIDs {
		if d, ok := known[m.Layers[i]]; ok {
			layers[i] = position{diff: diff, blob: d.Digest, blobLen: d.Size, media: d.MediaType}
			continue
		}
		l, err := in.packLayer(ctx, m.Lower[len(m.Lower)-1-i], LayerSpec{Descriptor: Descriptor{Size: -1}, DiffID: diff, ChainID: chains[i]})
		if err != nil {
			return Image{}, fault.New(fault.KindOf(err), "complete image %s: layer %d: %w", m.ShortID(), i+1, err)
		}
		layers[i] = position{diff: diff, layer: l, blob: l.spec.Digest, blobLen: l.size, media: mediaLayerGzip}
	}
	manifest, err := encodeManifest(m.ID, int64(len(config)), layers)
	if err != nil {
		return Image{}, err
	}
	if m.Manifest, err = in.Blob("", manifest); err != nil {
		return Image{}, err
	}
	if _, err := in.Blob(m.ID, config); err != nil {
		return Image{}, err
	}
	refs := []string{}
	for _, n := range names {
		if n.ID == m.ID {
			refs = append(refs, n.Name)
		}
	}
	name := m.Name
	if m, err = in.commit(ctx, m, layers, refs); err == nil {
		m.Name = name
	}
	return m, err
}

// knownBlobs finds the blobs of layers, by their keys, that came from
// elsewhere: those are to be given on, rather than what packing would make.
func (in *Ingest) knownBlobs(keys []string) (map[string]Descriptor, error) {
	want := map[string]bool{}
	for _, k := range keys {
		want[k] = true
	}
	all, err := in.s.records("images")
	if err != nil {
		return nil, err
	}
	known := map[string]Descriptor{}
	for i := range all {
		m := &all[i]
		if m.Manifest == "" || len(m.Layers) == 0 || !want[m.Layers[0]] {
			continue
		}
		raw, err := in.s.ReadBlob(m.Manifest)
		if err != nil {
			continue // being removed
		}
		manifest, err := ParseManifest("", raw, in.limits)
		if err != nil || len(manifest.Layers) != len(m.Layers) {
			continue
		}
		for i, key := range m.Layers {
			if _, found := known[key]; found || !want[key] {
				continue
			}
			if size, err := in.hold(manifest.Layers[i].Digest); err == nil && size == manifest.Layers[i].Size {
				known[key] = manifest.Layers[i]
			}
		}
	}
	return known, nil
}

// packLayer packs and compresses the tree at dir. Packing it again gives the
// same stream, which the diff id proves.
func (in *Ingest) packLayer(ctx context.Context, dir string, spec LayerSpec) (*Layer, error) {
	if in.s.Gzip == nil {
		return nil, fault.New(fault.Unsupported, "compress layer: not in this program")
	}
	want := spec.DiffID
	l, err := in.Layer(spec)
	if err != nil {
		return nil, err
	}
	tree, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, l.Finish(err))
	}
	defer func() { _ = tree.Close() }() // read only
	sum := sha256.New()
	z := in.s.Gzip(l)
	err = layer.Pack(ctx, int(tree.Fd()), io.MultiWriter(z, sum), layer.PackOptions{Whiteouts: true, UserXattr: in.s.UserXattr})
	err = errors.Join(err, z.Close())
	if err == nil && hexSum(sum) != want {
		err = fault.New(fault.Conflict, "its files have changed")
	}
	if ferr := l.Finish(err); err == nil {
		err = ferr
	}
	return l, err
}
