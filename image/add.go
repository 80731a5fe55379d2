package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/reference"
)

// addition is an image on its way into the store.
type addition struct {
	s      *Store
	stage  *fsatomic.Staging
	layers []newLayer
	blobs  []string // digests, staged under their hex digits
	image  Image
}

// AddImage adds an image of several layers, bottom first, each a tar stream,
// plain or gzip, and names it ref. It keeps the layers as received. The root
// file system part of the config is filled in.
func (s *Store) AddImage(ctx context.Context, ref string, p Platform, cfg Config, layers ...io.Reader) (Image, error) {
	m, err := s.add(ref, Image{Platform: p, Config: cfg, Created: time.Unix(0, 0)}, "", func(a *addition) error {
		for i, r := range layers {
			if err := a.unpackLayer(ctx, r); err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
		}
		return nil
	})
	if err != nil {
		return Image{}, fault.New(fault.KindOf(err), "add image %s: %w", ref, err)
	}
	return m, nil
}

// add stages an image, whose layers fill makes, and commits it. On an error
// the store is as it was.
func (s *Store) add(ref string, m Image, comment string, fill func(*addition) error) (Image, error) {
	if ref != "" {
		r, err := reference.Parse(ref)
		if err != nil {
			return Image{}, err
		}
		if r.Digest != "" {
			return Image{}, fault.New(fault.Invalid, "name %s: a digest cannot be chosen", ref)
		}
		m.Name = r.Tagged().String()
	}
	if m.Platform == (Platform{}) {
		m.Platform = HostPlatform()
	}
	if _, err := ParsePlatform(m.Platform.String()); err != nil {
		return Image{}, err
	}
	m.Created = m.Created.UTC()
	stage, err := s.stage()
	if err != nil {
		return Image{}, err
	}
	a := &addition{s: s, stage: stage, image: m}
	err = fill(a)
	if err == nil {
		err = a.describe(comment)
	}
	if err == nil {
		err = a.commit()
	}
	if err := errors.Join(err, stage.Discard()); err != nil {
		return Image{}, err
	}
	s.setLower(&a.image)
	return a.image, nil
}

// describe writes all that is said of the layers into staging.
func (a *addition) describe(comment string) error {
	if len(a.layers) == 0 {
		return fault.New(fault.Invalid, "the image has no layers")
	}
	if err := a.chainLayers(); err != nil {
		return err
	}
	m := &a.image
	top := a.layers[len(a.layers)-1]
	var st unix.Stat_t
	if err := unix.Lstat(a.stage.Path+"/"+top.name+"/fs", &st); err != nil {
		return err
	}
	m.Root = RootAttr{Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	received := true
	for _, l := range a.layers {
		m.Size += l.size
		m.Layers = append(m.Layers, l.key)
		received = received && l.blob != ""
	}
	config, err := encodeConfig(m, a.layers, comment)
	if err != nil {
		return err
	}
	if m.ID, err = a.stageBlob(config); err != nil {
		return err
	}
	if received {
		manifest, err := encodeManifest(m.ID, int64(len(config)), a.layers)
		if err != nil {
			return err
		}
		if m.Manifest, err = a.stageBlob(manifest); err != nil {
			return err
		}
	}
	m.blobs = a.blobs
	if m.Name != "" {
		if err := writeStaged(a.stage.Path+"/name", encodeRecord(m)); err != nil {
			return err
		}
	}
	nameless := *m
	nameless.Name = ""
	return writeStaged(a.stage.Path+"/image", encodeRecord(&nameless))
}

// commit makes the image visible, from the bottom up. One syncfs before it
// makes all content durable, one after it the names.
func (a *addition) commit() error {
	s, m := a.s, &a.image
	if err := fsatomic.SyncFS(a.stage.Path); err != nil {
		return err
	}
	lease, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	err = a.commitBlobs()
	if err == nil {
		err = a.commitLayers()
	}
	if err == nil {
		err = unix.Rename(a.stage.Path+"/image", s.root+"/images/"+m.ID[len("sha256:"):])
	}
	if err == nil && m.Name != "" {
		err = unix.Rename(a.stage.Path+"/name", s.namePath(m.Name, m.Platform))
	}
	lease.Release()
	if err != nil {
		return errors.Join(err, s.collect())
	}
	return fsatomic.SyncFS(s.root)
}

func (a *addition) commitBlobs() error {
	for _, digest := range a.blobs {
		hex := digest[len("sha256:"):]
		err := a.stage.Commit(hex, a.s.blobPath(digest))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func (s *Store) blobPath(digest string) string {
	return s.root + "/blobs/sha256/" + digest[len("sha256:"):]
}

// stageBlob stages a small blob.
func (a *addition) stageBlob(data []byte) (digest string, err error) {
	digest = digestOf(data)
	a.addBlob(digest)
	return digest, writeStaged(a.stage.Path+"/"+digest[len("sha256:"):], data)
}

func (a *addition) addBlob(digest string) {
	if !slices.Contains(a.blobs, digest) {
		a.blobs = append(a.blobs, digest)
	}
}

// writeStaged writes a file that commit makes durable.
func writeStaged(path string, data []byte) error {
	return fsatomic.WriteFile(path, data, 0o600, fsatomic.Volatile)
}

// blobWriter stages a blob whose digest is not known before its end.
type blobWriter struct {
	a *addition
	f *os.File
	h hash.Hash
	n int64
}

func (a *addition) newBlob() (*blobWriter, error) {
	f, err := os.OpenFile(a.stage.Path+"/blob"+strconv.Itoa(len(a.layers)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &blobWriter{a: a, f: f, h: sha256.New()}, nil
}

func (b *blobWriter) Write(p []byte) (int, error) {
	b.h.Write(p) // never fails, says package hash
	n, err := b.f.Write(p)
	b.n += int64(n)
	return n, err
}

// finish closes the blob and gives it its name, unless err says that it is not
// whole.
func (b *blobWriter) finish(err error) (digest string, size int64, _ error) {
	if err := errors.Join(err, b.f.Close()); err != nil {
		return "", 0, err
	}
	digest = hexSum(b.h)
	b.a.addBlob(digest)
	return digest, b.n, unix.Rename(b.f.Name(), b.a.stage.Path+"/"+digest[len("sha256:"):])
}
