package archive

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// commit adds the images that the archive describes.
func (l *loader) commit() ([]Loaded, error) {
	docker, err := l.dockerImages()
	if err != nil {
		return nil, err
	}
	var list []Loaded
	if data, ok := l.small[fileIndex]; ok {
		list, err = l.index(data, docker)
	} else {
		list, err = l.docker(docker)
	}
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		if _, old := l.small[fileRepos]; old && docker == nil {
			return nil, fault.New(fault.Unsupported, "read archive: Docker before 1.10 wrote it; load and save it with a newer one")
		}
		return nil, fault.New(fault.Invalid, "read archive: it has no image%s", l.forPlatform())
	}
	return list, nil
}

func (l *loader) forPlatform() string {
	if l.o.Platform == (store.Platform{}) {
		return ""
	}
	return " for " + l.o.Platform.String()
}

func (l *loader) dockerImages() ([]dockerImage, error) {
	data, ok := l.small[fileManifest]
	if !ok {
		return nil, nil
	}
	var list []dockerImage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fault.New(fault.Invalid, "read archive: %s: %w", fileManifest, err)
	}
	return list, nil
}

// resolve follows the links of an archive.
func (l *loader) resolve(name string) string {
	name = path.Clean(name)
	for range 10 {
		to, ok := l.links[name]
		if !ok {
			break
		}
		name = to
	}
	return name
}

// docker adds the images of a manifest.json.
func (l *loader) docker(images []dockerImage) ([]Loaded, error) {
	var list []Loaded
	for _, d := range images {
		config, ok := l.small[l.resolve(d.Config)]
		if !ok {
			return nil, fault.New(fault.Invalid, "read archive: the config %s is missing", d.Config)
		}
		spec := &store.CommitSpec{Config: config, Names: tags(d.RepoTags)}
		for _, name := range d.Layers {
			lay := l.layers[l.resolve(name)]
			if lay == nil {
				return nil, fault.New(fault.Invalid, "read archive: the layer %s is missing", name)
			}
			spec.Layers = append(spec.Layers, lay)
		}
		var err error
		if list, err = l.add(list, spec); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// add commits an image, unless it is for another platform than was asked for.
func (l *loader) add(list []Loaded, spec *store.CommitSpec) ([]Loaded, error) {
	config, err := store.ParseConfig(spec.Config)
	if err != nil {
		return nil, err
	}
	if l.o.Platform != (store.Platform{}) && !config.Platform.Serves(l.o.Platform) {
		return list, nil
	}
	m, err := l.in.Commit(l.ctx, spec)
	if err != nil {
		return nil, err
	}
	out := Loaded{Image: m}
	for _, n := range spec.Names {
		out.Names = append(out.Names, familiar(n))
	}
	return append(list, out), nil
}

func familiar(name string) string {
	r, err := reference.Parse(name)
	if err != nil {
		return name
	}
	return r.Tagged().Familiar()
}

// tags leaves out what is no name: "<none>:<none>" of old archives.
func tags(list []string) []string {
	var out []string
	for _, t := range list {
		if r, err := reference.Parse(t); err == nil && r.Digest == "" {
			out = append(out, t)
		}
	}
	return out
}

// Bounds of what an index may nest and list.
const (
	maxIndexDepth  = 4
	maxIndexImages = 1000
)

// index adds the images of an OCI layout whose blobs are all there: an archive
// may have one platform of an index that lists many.
func (l *loader) index(data []byte, docker []dockerImage) ([]Loaded, error) {
	w := walker{l: l, docker: docker}
	if err := w.walk(data, "", nil, 0); err != nil {
		return nil, err
	}
	if len(w.list) == 0 && w.missing != "" {
		return nil, fault.New(fault.Invalid, "read archive: blob %s is missing", w.missing)
	}
	return w.list, nil
}

type walker struct {
	l       *loader
	docker  []dockerImage
	list    []Loaded
	seen    int
	missing string // a blob
}

func (w *walker) walk(data []byte, digest string, names []string, depth int) error {
	if depth > maxIndexDepth {
		return fault.New(fault.Invalid, "read archive: its indexes are nested more than %d deep", maxIndexDepth)
	}
	m, err := store.ParseManifest("", data, w.l.s.Limits)
	if err != nil {
		if depth == 0 && strings.Contains(err.Error(), "names no config") {
			return nil // an empty layout
		}
		return err
	}
	if !m.IsIndex() {
		return w.image(&m, data, digest, names)
	}
	for i := range m.Manifests {
		d := &m.Manifests[i]
		if w.seen++; w.seen > maxIndexImages {
			return fault.New(fault.Invalid, "read archive: its indexes list more than %d manifests", maxIndexImages)
		}
		if d.Annotations[attestation] != "" {
			continue
		}
		blob, err := w.l.in.ReadBlob(d.Digest)
		if err != nil {
			w.missing = d.Digest
			continue
		}
		in := digest
		if depth == 0 {
			in = ""
		}
		under := names
		if n := nameOf(d); n != nil {
			under = n
		}
		child, err := store.ParseManifest(d.MediaType, blob, w.l.s.Limits)
		if err != nil {
			return err
		}
		if child.IsIndex() {
			in = d.Digest
		}
		if err := w.walk(blob, in, under, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// image adds an image of a layout; digest is that of the index above, if it
// has one of its own.
func (w *walker) image(m *store.Manifest, data []byte, digest string, names []string) error {
	l := w.l
	for _, d := range append([]store.Descriptor{m.Config}, m.Layers...) {
		if !l.in.HasBlob(d.Digest) {
			w.missing = d.Digest
			return nil
		}
	}
	config, err := l.in.ReadBlob(m.Config.Digest)
	if err != nil {
		return err
	}
	if names == nil {
		names = w.dockerNames(m.Config.Digest)
	}
	// Only one of several platforms can be what a name without one means;
	// names are kept for each.
	w.list, err = l.add(w.list, &store.CommitSpec{Manifest: data, Config: config, Index: digest, Names: names})
	return err
}

// dockerNames are those that manifest.json has for an image.
func (w *walker) dockerNames(config string) []string {
	i := slices.IndexFunc(w.docker, func(d dockerImage) bool { return path.Base(d.Config) == strings.TrimPrefix(config, "sha256:") })
	if i < 0 {
		return nil
	}
	return tags(w.docker[i].RepoTags)
}

// nameOf returns the name that an entry of an index has, or nil. A bare tag
// says nothing of a repository.
func nameOf(d *store.Descriptor) []string {
	for _, key := range []string{annotationName, annotationRef} {
		n := d.Annotations[key]
		if n != "" && (key == annotationName || strings.ContainsAny(n, "/:")) {
			if t := tags([]string{n}); t != nil {
				return t
			}
		}
	}
	return nil
}
