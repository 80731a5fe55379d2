package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// AddImage adds an image of several layers, bottom first, each a tar stream,
// plain or gzip, and names it ref. It keeps the layers as received. The root
// file system part of the config is filled in.
func (s *Store) AddImage(ctx context.Context, ref string, p Platform, cfg api.ImageDefaults, layers ...io.Reader) (Image, error) {
	m, err := s.add(ctx, ref, Image{Platform: p, Config: cfg, Created: time.Unix(0, 0)}, "", func(in *Ingest) (list []*Layer, err error) {
		for i, r := range layers {
			l, err := in.receiveAll(r)
			if err != nil {
				return nil, fmt.Errorf("layer %d: %w", i+1, err)
			}
			list = append(list, l)
		}
		return list, nil
	})
	if err != nil {
		return Image{}, fault.New(fault.KindOf(err), "add image %s: %w", ref, err)
	}
	return m, nil
}

// receiveAll adds a layer of which nothing is known from a stream.
func (in *Ingest) receiveAll(r io.Reader) (*Layer, error) {
	l, err := in.Layer(LayerSpec{Descriptor: Descriptor{Size: -1}})
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(l, r)
	return l, l.Finish(err)
}

// add makes an image of the layers that fill adds, and a config for it. On an
// error the store is as it was.
func (s *Store) add(ctx context.Context, ref string, m Image, comment string, fill func(*Ingest) ([]*Layer, error)) (Image, error) {
	var refs []string
	if ref != "" {
		r, err := reference.Parse(ref)
		if err != nil {
			return Image{}, err
		}
		if r.Digest != "" {
			return Image{}, fault.New(fault.Invalid, "name %s: a digest cannot be chosen", ref)
		}
		refs = []string{ref}
	}
	if m.Platform == (Platform{}) {
		m.Platform = HostPlatform()
	}
	if _, err := ParsePlatform(m.Platform.String()); err != nil {
		return Image{}, err
	}
	m.Created = m.Created.UTC()
	in, err := s.Ingest(ctx)
	if err != nil {
		return Image{}, err
	}
	layers, err := fill(in)
	if err == nil {
		m, err = in.commitLayers(ctx, m, layers, comment, refs)
	}
	if err := errors.Join(err, in.Close()); err != nil {
		return Image{}, err
	}
	return m, nil
}

// commitLayers commits layers with a config that is made for them.
func (in *Ingest) commitLayers(ctx context.Context, m Image, layers []*Layer, comment string, refs []string) (Image, error) {
	list := make([]position, len(layers))
	received := true
	for i, l := range layers {
		list[i] = position{diff: l.diff, layer: l, blob: l.spec.Digest, blobLen: l.size, media: l.mediaType()}
		received = received && l.spec.Digest != ""
	}
	config, err := encodeConfig(&m, list, comment)
	if err != nil {
		return Image{}, err
	}
	if m.ID, err = in.Blob("", config); err != nil {
		return Image{}, err
	}
	if received {
		manifest, err := encodeManifest(m.ID, int64(len(config)), list)
		if err != nil {
			return Image{}, err
		}
		if m.Manifest, err = in.Blob("", manifest); err != nil {
			return Image{}, err
		}
	}
	return in.commit(ctx, m, list, refs)
}

func (s *Store) blobPath(digest string) string {
	return s.root + "/blobs/sha256/" + digest[len("sha256:"):]
}

// writeStaged writes a file that commit makes durable.
func writeStaged(path string, data []byte) error {
	return fsatomic.WriteFile(path, data, 0o600, fsatomic.Volatile)
}
