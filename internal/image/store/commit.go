package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// CommitSpec describes an image whose blobs an ingest has.
type CommitSpec struct {
	// Manifest is kept as it is, so that the image can be given on bit for
	// bit. With nil one is made for Layers, bottom first, for archives that
	// have none.
	Manifest []byte
	Layers   []*Layer
	Config   []byte   // its digest is the image's id
	Index    string   // digest of the index that named the manifest, a blob of the ingest, or ""
	Names    []string // references; what had a name before loses it
	Platform Platform // zero: what the config says
}

// Commit makes an image visible, when all of its layers have been finished. It
// can be called again for the next image.
func (in *Ingest) Commit(ctx context.Context, spec *CommitSpec) (Image, error) {
	config, err := ParseConfig(spec.Config)
	if err != nil {
		return Image{}, err
	}
	m := Image{Platform: config.Platform, Created: config.Created, Config: config.Config, Index: spec.Index}
	if spec.Platform != (Platform{}) {
		m.Platform = spec.Platform
	}
	layers, err := in.positions(config.DiffIDs, spec)
	if err != nil {
		return Image{}, err
	}
	if m.ID, err = in.Blob("", spec.Config); err != nil {
		return Image{}, err
	}
	manifest := spec.Manifest
	if manifest == nil {
		if manifest, err = encodeManifest(m.ID, int64(len(spec.Config)), layers); err != nil {
			return Image{}, err
		}
	}
	if m.Manifest, err = in.Blob("", manifest); err != nil {
		return Image{}, err
	}
	m, err = in.commit(ctx, m, layers, spec.Names)
	in.noteFull(err)
	return m, err
}

// position is a layer in its place in an image.
type position struct {
	diff, chain, key string
	blob, media      string // "" of imported layers, which have none
	blobLen          int64
	layer            *Layer // nil when the store had the blob
	size             int64  // of file content
	staged           string // name of the tree in staging, "" when the store has it
}

// positions finds the layers of an image.
func (in *Ingest) positions(diffs []string, spec *CommitSpec) ([]position, error) {
	list := make([]position, len(diffs))
	if spec.Manifest == nil {
		if len(spec.Layers) != len(diffs) {
			return nil, fault.New(fault.Invalid, "commit image: it has %d layers, the config %d", len(spec.Layers), len(diffs))
		}
		for i, d := range diffs {
			l := spec.Layers[i].original()
			list[i] = position{diff: d, layer: l, blob: l.spec.Digest, blobLen: l.size, media: l.mediaType()}
		}
		return list, nil
	}
	m, err := ParseManifest("", spec.Manifest, in.limits)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != len(diffs) {
		return nil, fault.New(fault.Invalid, "commit image: the manifest has %d layers, the config %d", len(m.Layers), len(diffs))
	}
	for i := range m.Layers {
		d := &m.Layers[i]
		in.mu.Lock()
		l := in.layers[d.Digest]
		in.mu.Unlock()
		size, err := in.hold(d.Digest)
		if err != nil {
			return nil, fault.New(fault.Invalid, "commit image: layer %s is missing", d.Digest)
		}
		if size != d.Size {
			return nil, fault.New(fault.Invalid, "commit image: layer %s has %d bytes, the manifest says %d", d.Digest, size, d.Size)
		}
		list[i] = position{diff: diffs[i], layer: l, blob: d.Digest, blobLen: size, media: d.MediaType}
	}
	return list, nil
}

// original is the layer that l was found to be the same as.
func (l *Layer) original() *Layer {
	if l.same != nil {
		return l.same
	}
	return l
}

func (l *Layer) mediaType() string {
	if l.spec.MediaType != "" {
		return l.spec.MediaType
	}
	switch l.kind {
	case layer.Zstd:
		return mediaLayerZstd
	case layer.Gzip:
		return mediaLayerGzip
	case layer.Plain, layer.XZ, layer.Bzip2:
	}
	return mediaLayer
}

// commit makes m visible. Layers of the store that it relies on may be removed
// until the store is locked; then it makes them itself.
func (in *Ingest) commit(ctx context.Context, m Image, layers []position, names []string) (Image, error) {
	refs, err := canonical(names)
	if err != nil {
		return Image{}, err
	}
	if len(layers) == 0 {
		return Image{}, fault.New(fault.Invalid, "the image has no layers")
	}
	parent := ""
	for i := range layers {
		p := &layers[i]
		p.chain = chainID(parent, p.diff)
		p.key = layerKey(p.chain)
		parent = p.chain
	}
	for range 10 {
		if err := in.settle(ctx, layers); err != nil {
			return Image{}, err
		}
		if err := in.describe(&m, layers, refs); err != nil {
			return Image{}, err
		}
		done, err := in.publish(&m, layers, refs)
		if err != nil {
			return Image{}, err
		}
		if done {
			m.Name = ""
			if len(refs) > 0 {
				m.Name = refs[0]
			}
			in.s.setLower(&m)
			return m, nil
		}
	}
	return Image{}, fault.New(fault.Conflict, "commit image: its layers are removed again and again")
}

func canonical(names []string) ([]string, error) {
	var refs []string
	for _, n := range names {
		r, err := reference.Parse(n)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r.Tagged().String())
	}
	return refs, nil
}

// settle makes sure that each layer is unpacked, in the store or in staging,
// and complete.
func (in *Ingest) settle(ctx context.Context, layers []position) error {
	var lower []string // trees, top first
	for i := range layers {
		p := &layers[i]
		if err := in.ensureTree(ctx, p); err != nil {
			return err
		}
		dir := in.s.layerDir(p.key)
		if p.staged != "" {
			dir = in.stage.Path + "/" + p.staged
			if err := in.complete(dir, p, lower); err != nil {
				return err
			}
		}
		lower = append([]string{dir + "/fs"}, lower...)
	}
	return nil
}

// ensureTree finds the tree of a layer, or makes it.
func (in *Ingest) ensureTree(ctx context.Context, p *position) error {
	if p.staged != "" {
		return nil
	}
	if meta, err := readSmall(in.s.layerDir(p.key) + "/meta"); err == nil && metaField(meta, "chain") == p.chain {
		if p.size, err = strconv.ParseInt(metaField(meta, "size"), 10, 64); err != nil {
			return fault.New(fault.Internal, "read layer %s: %w", p.key, err)
		}
		return in.checkDiff(p, metaField(meta, "blob"))
	}
	if p.layer == nil || p.layer.tree == "" {
		// The blob was there, or is there twice in the image.
		if p.blob == "" {
			return fault.New(fault.Conflict, "commit image: layer %s was removed", p.diff)
		}
		if err := in.unpackHeld(ctx, p); err != nil {
			return err
		}
	}
	l := p.layer
	if l.diff != p.diff {
		return l.wrongDiff(p.diff)
	}
	p.size = l.res.Bytes
	p.staged, l.tree = l.tree, ""
	return nil
}

// checkDiff makes sure that the blob is one of the tree that is in the store,
// which was unpacked from the blob known.
func (in *Ingest) checkDiff(p *position, known string) (err error) {
	switch {
	case p.blob == "" || p.blob == known:
		return nil
	case p.layer != nil && p.layer.diff != "":
		if p.layer.diff != p.diff {
			return p.layer.wrongDiff(p.diff)
		}
		return nil
	}
	f, err := os.Open(in.staged(p.blob))
	if err != nil {
		return err
	}
	l := &Layer{in: in, spec: LayerSpec{Descriptor: Descriptor{Digest: p.blob}}}
	l.diff, err = in.hashDiff(f, p.blobLen)
	if err == nil && l.diff != p.diff {
		err = l.wrongDiff(p.diff)
	}
	return errors.Join(err, f.Close())
}

// unpackHeld unpacks a layer from its blob in staging.
func (in *Ingest) unpackHeld(ctx context.Context, p *position) error {
	f, err := os.Open(in.staged(p.blob))
	if err != nil {
		return err
	}
	l := &Layer{in: in, spec: LayerSpec{Descriptor: Descriptor{Digest: p.blob, Size: p.blobLen}, DiffID: p.diff}, size: p.blobLen}
	in.mu.Lock()
	l.tree = "layer" + strconv.Itoa(in.trees)
	in.trees++
	in.mu.Unlock()
	p.layer = l
	return errors.Join(in.unpack(ctx, l, f), f.Close())
}

// complete gives the tree of a layer what depends on the layers below it, and
// writes what the layer says of itself.
func (in *Ingest) complete(dir string, p *position, lower []string) error {
	if implied := p.layer.res.Implied; len(implied) > 0 {
		fd, err := unix.Open(dir+"/fs", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(settleImplied(fd, implied, lower), unix.Close(fd)); err != nil {
			return err
		}
	}
	return writeStaged(dir+"/meta", layerMeta(p))
}

// describe writes the records into staging.
func (in *Ingest) describe(m *Image, layers []position, refs []string) error {
	top := &layers[len(layers)-1]
	dir := in.s.layerDir(top.key)
	if top.staged != "" {
		dir = in.stage.Path + "/" + top.staged
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir+"/fs", &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) && top.staged == "" {
			return nil // removed meanwhile: publish finds that out
		}
		return err
	}
	m.Root = RootAttr{Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	m.Size, m.Layers, m.blobs = 0, nil, []string{m.ID}
	add := func(digest string) {
		for _, b := range m.blobs {
			if b == digest {
				return
			}
		}
		if digest != "" {
			m.blobs = append(m.blobs, digest)
		}
	}
	for i := range layers {
		p := &layers[i]
		m.Size += p.size
		m.Layers = append(m.Layers, p.key)
		add(p.blob)
	}
	add(m.Manifest)
	add(m.Index)
	for i, ref := range refs {
		m.Name = ref
		if err := writeStaged(in.stage.Path+"/name"+strconv.Itoa(i), encodeRecord(m)); err != nil {
			return err
		}
	}
	m.Name = ""
	return writeStaged(in.stage.Path+"/image", encodeRecord(m))
}

// publish moves all into place, from the bottom up. One syncfs before it makes
// all content durable, one after it the names. It is not done when a layer of
// the store that m relies on has gone.
func (in *Ingest) publish(m *Image, layers []position, refs []string) (done bool, err error) {
	s := in.s
	if err := fsatomic.SyncFS(in.stage.Path); err != nil {
		return false, err
	}
	lease, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return false, err
	}
	for i := range layers {
		if layers[i].staged == "" && !s.hasLayer(layers[i].chain) {
			lease.Release()
			return false, nil
		}
	}
	err = in.publishBlobs(m.blobs)
	if err == nil {
		err = in.publishLayers(layers)
	}
	if err == nil {
		err = unix.Rename(in.stage.Path+"/image", s.root+"/images/"+m.ID[len("sha256:"):])
	}
	for i, ref := range refs {
		if err == nil {
			err = unix.Rename(in.stage.Path+"/name"+strconv.Itoa(i), s.namePath(ref, m.Platform))
		}
	}
	lease.Release()
	if err != nil {
		return false, errors.Join(err, s.collect())
	}
	return true, fsatomic.SyncFS(s.root)
}

// publishBlobs links the blobs; the ingest keeps its own links. What was kept
// of them in partial is not needed any more.
func (in *Ingest) publishBlobs(digests []string) error {
	for _, d := range digests {
		if err := unix.Link(in.staged(d), in.s.blobPath(d)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("commit blob %s: %w", d, err)
		}
		for _, suffix := range []string{".got", ""} {
			err := unix.Unlink(in.s.root + "/partial/" + d[len("sha256:"):] + suffix)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// publishLayers moves the layers into place. One that is there already was
// made by another image or another process, and is shared.
func (in *Ingest) publishLayers(layers []position) error {
	for i := range layers {
		p := &layers[i]
		if p.staged == "" {
			continue
		}
		err := in.stage.Commit(p.staged, in.s.layerDir(p.key))
		if errors.Is(err, fs.ErrExist) {
			if !in.s.hasLayer(p.chain) {
				return fault.New(fault.Conflict, "share layer %s: another layer has that key", p.key)
			}
			continue
		}
		if err != nil {
			return err
		}
		p.staged = ""
	}
	return nil
}

// makeLayer makes a layer from a stream that nobody needs again: what counts
// is the tree. Its diff id is that of the tree packed by [layer.Pack], which a
// push or a save can repeat, so that no second copy is kept.
func (in *Ingest) makeLayer(ctx context.Context, plain io.Reader) (*Layer, error) {
	l := &Layer{in: in, tree: "layer" + strconv.Itoa(in.trees)}
	in.trees++
	return l, in.makeTree(ctx, l, plain)
}
