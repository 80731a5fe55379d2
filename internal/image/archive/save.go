package archive

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// SaveOptions are the optional parts of a save.
type SaveOptions struct {
	// OCI leaves out what only Docker reads.
	OCI      bool
	Platform store.Platform // zero: the host's, or the only one there is
}

// Save writes images as one archive. A name without a tag stands for all tags
// of its repository.
func Save(ctx context.Context, s *store.Store, w io.Writer, refs []string, o SaveOptions) error {
	out := &tarWriter{tw: tar.NewWriter(w)}
	if err := save(ctx, s, out, refs, o); err != nil {
		return err
	}
	return out.tw.Close()
}

// SaveDir writes images as a directory, which must be empty or missing.
func SaveDir(ctx context.Context, s *store.Store, dir string, refs []string, o SaveOptions) error {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fault.New(fault.Exists, "write %s: it is not empty", dir)
	}
	return save(ctx, s, dirWriter(dir), refs, o)
}

// writer makes the files of an archive.
type writer interface {
	file(name string, size int64, r io.Reader) error
}

func save(ctx context.Context, s *store.Store, w writer, refs []string, o SaveOptions) error {
	lease, err := s.Lease() // nothing goes away while it is read
	if err != nil {
		return err
	}
	defer lease.Release()
	images, err := choose(ctx, s, refs, o)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for i := range images {
		for _, digest := range images[i].blobs() {
			if done[digest] {
				continue
			}
			done[digest] = true
			if err := copyBlob(ctx, s, w, digest); err != nil {
				return err
			}
		}
	}
	return describe(w, images, o)
}

// saved is an image that goes into the archive.
type saved struct {
	store.Image
	names    []string // canonical, with tag; sorted
	manifest store.Manifest
	size     int64 // of the manifest
}

// blobs returns what an archive needs: the index is left out, since the
// manifests of other platforms are not there.
func (s *saved) blobs() []string {
	list := []string{s.Manifest, s.manifest.Config.Digest}
	for _, l := range s.manifest.Layers {
		list = append(list, l.Digest)
	}
	return list
}

// choose finds the images, each once, with the names that were asked for.
func choose(ctx context.Context, s *store.Store, refs []string, o SaveOptions) ([]saved, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	var list []saved
	for _, ref := range refs {
		names := tagsOf(all, ref)
		if len(names) == 0 {
			names = []string{ref}
		}
		for _, name := range names {
			m, err := s.Resolve(name, o.Platform)
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(list, func(x saved) bool { return x.ID == m.ID && (m.Manifest == "" || x.Manifest == m.Manifest) })
			if i < 0 {
				one, err := open(ctx, s, m)
				if err != nil {
					return nil, err
				}
				i = len(list)
				list = append(list, one)
			}
			if r, err := reference.Parse(m.Name); err == nil && r.Tag != "" && !slices.Contains(list[i].names, m.Name) {
				list[i].names = append(list[i].names, m.Name)
			}
		}
	}
	return list, nil
}

// tagsOf returns the names of a repository that ref names without a tag.
func tagsOf(all []store.Image, ref string) []string {
	r, err := reference.Parse(ref)
	if err != nil || r.Tag != "" || r.Digest != "" {
		return nil
	}
	var names []string
	for i := range all {
		n, err := reference.Parse(all[i].Name)
		if err == nil && n.Name() == r.Name() && n.Tag != "" && !slices.Contains(names, all[i].Name) {
			names = append(names, all[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

func open(ctx context.Context, s *store.Store, m store.Image) (saved, error) {
	m, err := s.Complete(ctx, m)
	if err != nil {
		return saved{}, err
	}
	data, err := s.ReadBlob(m.Manifest)
	if err != nil {
		return saved{}, err
	}
	out := saved{Image: m, size: int64(len(data))}
	out.manifest, err = store.ParseManifest("", data, s.Limits)
	return out, err
}

func copyBlob(ctx context.Context, s *store.Store, w writer, digest string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.OpenBlob(digest)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return w.file(blobDir+strings.TrimPrefix(digest, "sha256:"), st.Size(), f)
}

// describe writes what says which blobs are which image.
func describe(w writer, images []saved, o SaveOptions) error {
	idx := index{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []store.Descriptor{}}
	docker := []dockerImage{}
	repos := map[string]map[string]string{}
	for i := range images {
		m := &images[i]
		d := store.Descriptor{
			MediaType: cmp.Or(m.manifest.MediaType, "application/vnd.oci.image.manifest.v1+json"), Digest: m.Manifest, Size: m.size,
			Platform: &store.IndexPlatform{OS: m.Platform.OS, Architecture: m.Platform.Arch, Variant: m.Platform.Variant},
		}
		entry := dockerImage{Config: blobName(m.manifest.Config.Digest), RepoTags: []string{}, Layers: []string{}}
		for _, l := range m.manifest.Layers {
			entry.Layers = append(entry.Layers, blobName(l.Digest))
		}
		if len(m.names) == 0 {
			idx.Manifests = append(idx.Manifests, d)
		}
		for _, name := range m.names {
			r, err := reference.Parse(name)
			if err != nil {
				return err
			}
			d.Annotations = map[string]string{annotationName: name, annotationRef: r.Tag}
			if o.OCI {
				d.Annotations[annotationRef] = name // what Podman goes by
			}
			idx.Manifests = append(idx.Manifests, d)
			entry.RepoTags = append(entry.RepoTags, r.Familiar())
			if repos[r.FamiliarName()] == nil {
				repos[r.FamiliarName()] = map[string]string{}
			}
			repos[r.FamiliarName()][r.Tag] = strings.TrimPrefix(m.ID, "sha256:")
		}
		docker = append(docker, entry)
	}
	type part struct {
		name    string
		content any
	}
	parts := []part{{fileIndex, idx}}
	if !o.OCI {
		parts = append(parts, part{fileManifest, docker}, part{fileRepos, repos})
	}
	for _, p := range parts {
		data, err := json.Marshal(p.content)
		if err != nil {
			return err
		}
		if err := w.file(p.name, int64(len(data)), strings.NewReader(string(data))); err != nil {
			return err
		}
	}
	return w.file(fileLayout, int64(len(layoutVersion)), strings.NewReader(layoutVersion))
}

func blobName(digest string) string { return blobDir + strings.TrimPrefix(digest, "sha256:") }

// tarWriter writes a tar archive that depends only on the images.
type tarWriter struct {
	tw   *tar.Writer
	dirs bool // have been written
}

func (t *tarWriter) file(name string, size int64, r io.Reader) error {
	epoch := time.Unix(0, 0)
	if !t.dirs {
		t.dirs = true
		for _, dir := range []string{"blobs/", blobDir} {
			if err := t.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: epoch}); err != nil {
				return err
			}
		}
	}
	if err := t.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: epoch}); err != nil {
		return err
	}
	_, err := io.Copy(t.tw, r)
	if errors.Is(err, tar.ErrWriteTooLong) {
		err = fault.New(fault.Conflict, "write %s: it changed while it was read", name)
	}
	return err
}

// dirWriter writes files below a directory.
type dirWriter string

func (d dirWriter) file(name string, size int64, r io.Reader) (err error) {
	p := filepath.Join(string(d), name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil { //nolint:gosec // the user's, as the umask wants it
		return fmt.Errorf("write %s: %w", p, err)
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as above
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Exists, "write %s: it is there already", p)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, r)
	if err == nil && n != size {
		err = fault.New(fault.Conflict, "write %s: it changed while it was read", p)
	}
	return err
}
