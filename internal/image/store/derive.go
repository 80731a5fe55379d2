package store

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// DeriveOptions describe an image that is another one and a layer.
type DeriveOptions struct {
	Name    string // reference; "": none
	Config  api.ImageDefaults
	Changes []string // Dockerfile instructions on top of Config

	Author, Comment, CreatedBy string
	Created                    time.Time

	// Pack writes the layer, as layer.Pack does.
	Pack func(ctx context.Context, w io.Writer) error
}

// Derive adds an image that is parent with one layer more. What parent's
// configuration says beyond what tare knows of is kept.
func (s *Store) Derive(ctx context.Context, parent *Image, o *DeriveOptions) (m Image, err error) {
	raw, err := s.ReadBlob(parent.ID)
	if err != nil {
		return Image{}, err
	}
	file := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &file); err != nil {
		return Image{}, fault.New(fault.Internal, "read the configuration of %s: %w", parent.ShortID(), err)
	}
	old, err := ParseConfig(raw)
	if err != nil {
		return Image{}, err
	}
	m = Image{Platform: parent.Platform, Created: o.Created.UTC(), Config: o.Config}
	if err := applyChanges(&m.Config, o.Changes); err != nil {
		return Image{}, err
	}
	var names []string
	if o.Name != "" {
		names = []string{o.Name}
	}
	in, err := s.Ingest(ctx)
	if err != nil {
		return Image{}, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	layers, err := in.held(parent, old.DiffIDs)
	if err != nil {
		return Image{}, err
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(o.Pack(ctx, w))
	}()
	l, err := in.makeLayer(ctx, r)
	r.CloseWithError(err) // ends the packer, should it still write
	<-done
	if err != nil {
		return Image{}, err
	}
	layers = append(layers, position{diff: l.diff, layer: l})
	config, err := deriveConfig(file, &m, append(old.DiffIDs, l.diff), o)
	if err != nil {
		return Image{}, err
	}
	if m.ID, err = in.Blob("", config); err != nil {
		return Image{}, err
	}
	return in.commit(ctx, m, layers, names)
}

// held returns the layers of an image of the store, with the blobs that it
// has of them.
func (in *Ingest) held(m *Image, diffs []string) ([]position, error) {
	layers := make([]position, len(diffs))
	for i, d := range diffs {
		layers[i].diff = d
	}
	if m.Manifest == "" {
		return layers, nil
	}
	raw, err := in.s.ReadBlob(m.Manifest)
	if err != nil {
		return nil, err
	}
	manifest, err := ParseManifest("", raw, in.limits)
	if err != nil {
		return nil, err
	}
	if len(manifest.Layers) != len(diffs) {
		return nil, fault.New(fault.Internal, "image %s: its manifest has %d layers, its configuration %d", m.ShortID(), len(manifest.Layers), len(diffs))
	}
	for i, d := range manifest.Layers {
		size, err := in.hold(d.Digest)
		if err != nil {
			return nil, err
		}
		layers[i].blob, layers[i].blobLen, layers[i].media = d.Digest, size, d.MediaType
	}
	return layers, nil
}

// deriveConfig is the configuration file with the new layer and the new
// defaults in it.
func deriveConfig(file map[string]json.RawMessage, m *Image, diffs []string, o *DeriveOptions) ([]byte, error) {
	var steps []json.RawMessage
	if h := file["history"]; h != nil {
		if err := json.Unmarshal(h, &steps); err != nil {
			return nil, fault.New(fault.Internal, "read the history: %w", err)
		}
	}
	var run map[string]json.RawMessage
	if c := file["config"]; c != nil {
		if err := json.Unmarshal(c, &run); err != nil {
			return nil, fault.New(fault.Internal, "read the defaults: %w", err)
		}
	}
	if run == nil {
		run = map[string]json.RawMessage{}
	}
	c := &m.Config
	for key, v := range map[string]any{
		"User": c.User, "ExposedPorts": set(c.ExposedPorts), "Env": c.Env, "Entrypoint": c.Entrypoint, "Cmd": c.Cmd,
		"Healthcheck": json.RawMessage(c.Healthcheck), "Volumes": set(c.Volumes), "WorkingDir": c.WorkingDir, "OnBuild": c.OnBuild,
		"Labels": c.Labels, "StopSignal": c.StopSignal, "Shell": c.Shell,
	} {
		if raw, ok := v.(json.RawMessage); ok && len(raw) == 0 {
			delete(run, key)
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if s := string(b); s == "null" || s == `""` || s == "{}" || s == "[]" {
			delete(run, key)
			continue
		}
		run[key] = b
	}
	step, err := json.Marshal(map[string]any{"created": m.Created, "created_by": o.CreatedBy, "author": o.Author, "comment": o.Comment})
	if err != nil {
		return nil, err
	}
	for key, v := range map[string]any{
		"created": m.Created, "config": run, "history": append(steps, step),
		"rootfs": rootFS{Type: "layers", DiffIDs: diffs},
	} {
		if file[key], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	if o.Author != "" {
		if file["author"], err = json.Marshal(o.Author); err != nil {
			return nil, err
		}
	}
	delete(file, "container") // of the classic builders: what made the parent
	delete(file, "container_config")
	return json.Marshal(file)
}
