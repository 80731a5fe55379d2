package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// PullOptions are the optional parts of a pull.
type PullOptions struct {
	Platform store.Platform // zero: the host's, or the only one
	Policy   Policy
	Progress api.Reporter // nil: nobody looks
	Layers   int          // how many are fetched at once; 0 is 6
}

const defaultLayers = 6

// Pulled is what a pull has brought.
type Pulled struct {
	Image  store.Image
	Digest string // of what the name means in the registry, a manifest or an index
	Fresh  bool   // there was something new
}

// Pull brings what ref names into a store, unless it is there as it is in the
// registry. Nothing is visible before all of it has come, and the policy has
// been heard.
func (c *Client) Pull(ctx context.Context, s *store.Store, ref reference.Ref, o PullOptions) (Pulled, error) {
	if o.Progress == nil {
		o.Progress = api.Quiet{}
	}
	if ref = ref.Tagged(); ref.Digest != "" {
		ref.Tag = "" // says nothing beside a digest
	}
	rule, err := o.Policy.Rule(ref)
	if err != nil {
		return Pulled{}, err
	}
	r, err := c.Repo(ref.Domain, ref.Path, ref.Digest != "")
	if err != nil {
		return Pulled{}, err
	}
	p := &pull{c: c, s: s, r: r, ref: ref, rule: rule, o: o}
	out, err := p.run(ctx)
	if err != nil {
		return Pulled{}, p.explain(err)
	}
	return out, nil
}

type pull struct {
	c    *Client
	s    *store.Store
	r    *Repo
	ref  reference.Ref
	rule Rule
	o    PullOptions
}

// explain says what it means when a registry has no such thing.
func (p *pull) explain(err error) error {
	var st *StatusError
	name := p.ref.Familiar()
	if errors.As(err, &st) && st.Status == http.StatusNotFound && strings.HasPrefix(st.Code, "MANIFEST") {
		return fault.New(fault.NotFound, "manifest for %s not found: manifest unknown", name)
	}
	if strings.Contains(err.Error(), name) {
		return err
	}
	return &fault.Error{Kind: fault.KindOf(err), Text: name + ": " + err.Error(), Err: err, Hint: fault.HintOf(err)}
}

func (p *pull) run(ctx context.Context) (Pulled, error) {
	have, err := p.local()
	if err != nil {
		return Pulled{}, err
	}
	if have != nil {
		current, err := p.current(ctx, have)
		if err != nil {
			return Pulled{}, err
		}
		if current != "" {
			if err := p.rule.verify(ctx, p.r, p.ref, current, have.Manifest); err != nil {
				return Pulled{}, err
			}
			return Pulled{Image: *have, Digest: current}, nil
		}
	}
	top, err := p.r.Manifest(ctx, tagOrDigest(p.ref))
	if err != nil {
		return Pulled{}, err
	}
	out, err := p.ingest(ctx, &top)
	out.Fresh = have == nil || have.Digest() != top.Digest
	return out, err
}

func tagOrDigest(r reference.Ref) string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.Tag
}

// local returns what the store has by the name, or nil.
func (p *pull) local() (*store.Image, error) {
	want := p.o.Platform
	if want == (store.Platform{}) {
		want = store.HostPlatform()
	}
	m, err := p.s.Resolve(p.ref.String(), want)
	if err != nil && p.o.Platform == (store.Platform{}) {
		// One that was built for another platform only.
		if m, err = p.s.Resolve(p.ref.String(), p.o.Platform); err != nil || m.Index != "" {
			return nil, nil
		}
	}
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// current asks whether the registry still has what is here, and returns its
// digest then.
func (p *pull) current(ctx context.Context, have *store.Image) (string, error) {
	if p.ref.Digest != "" {
		if have.Digest() == p.ref.Digest || have.Manifest == p.ref.Digest {
			return p.ref.Digest, nil
		}
		return "", nil
	}
	head, err := p.r.Head(ctx, p.ref.Tag)
	if isStatus(err, http.StatusMethodNotAllowed) {
		return "", nil // not every registry knows HEAD
	}
	if err != nil {
		return "", err
	}
	if head.Digest == "" || head.Digest != have.Digest() {
		return "", nil
	}
	return head.Digest, nil
}

// ingest brings in what a manifest or an index describes.
func (p *pull) ingest(ctx context.Context, top *RawManifest) (out Pulled, err error) {
	if err := p.s.Recover(); err != nil { // what a pull that was killed had unpacked
		return Pulled{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx) // ends a wait for another process, too
	defer cancel(nil)
	in, err := p.s.Ingest(ctx)
	if err != nil {
		return Pulled{}, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if p.ref.Digest == "" || strings.HasPrefix(p.ref.Digest, "sha256:") {
		if err := in.Lock(top.Digest); err != nil {
			return Pulled{}, err
		}
		// Another process may have brought it meanwhile.
		if m, err := p.local(); err == nil && m != nil && topOf(m, p.ref) == top.Digest {
			return Pulled{Image: *m, Digest: top.Digest}, p.rule.verify(ctx, p.r, p.ref, top.Digest, m.Manifest)
		}
	}
	spec := &store.CommitSpec{Names: []string{p.ref.String()}}
	m, raw, err := p.choose(ctx, in, top, spec)
	if err != nil {
		return Pulled{}, err
	}
	if err := p.rule.verify(ctx, p.r, p.ref, top.Digest, raw.Digest); err != nil {
		return Pulled{}, err
	}
	spec.Manifest = raw.Data
	if spec.Config, err = p.config(ctx, in, m); err != nil {
		return Pulled{}, err
	}
	config, err := store.ParseConfig(spec.Config)
	if err != nil {
		return Pulled{}, err
	}
	if p.o.Platform != (store.Platform{}) && !config.Platform.Serves(p.o.Platform) {
		return Pulled{}, fault.New(fault.NotFound, "the image is for %s, not %s", config.Platform, p.o.Platform)
	}
	if len(config.DiffIDs) != len(m.Layers) {
		return Pulled{}, fault.New(fault.Invalid, "the manifest has %d layers, the config %d", len(m.Layers), len(config.DiffIDs))
	}
	if err := p.layers(ctx, cancel, in, m, config.DiffIDs); err != nil {
		return Pulled{}, err
	}
	img, err := in.Commit(ctx, spec)
	if err != nil {
		return Pulled{}, err
	}
	return Pulled{Image: img, Digest: top.Digest}, nil
}

// topOf is what the name of the reference means for an image that is here.
func topOf(m *store.Image, ref reference.Ref) string {
	if ref.Digest != "" && m.Manifest == ref.Digest {
		return m.Manifest
	}
	return m.Digest()
}

// choose returns the manifest of the platform.
func (p *pull) choose(ctx context.Context, in *store.Ingest, top *RawManifest, spec *store.CommitSpec) (*store.Manifest, *RawManifest, error) {
	m, err := store.ParseManifest(top.MediaType, top.Data, p.s.Limits)
	if err != nil {
		return nil, nil, err
	}
	if !m.IsIndex() {
		return &m, top, nil
	}
	d, err := m.Select(p.o.Platform)
	if err != nil {
		return nil, nil, err
	}
	if _, err := in.Blob("", top.Data); err != nil {
		return nil, nil, err
	}
	spec.Index = digestOf(top.Data)
	raw, err := p.r.Manifest(ctx, d.Digest)
	if err != nil {
		return nil, nil, err
	}
	if m, err = store.ParseManifest(raw.MediaType, raw.Data, p.s.Limits); err != nil {
		return nil, nil, err
	}
	if m.IsIndex() {
		return nil, nil, fault.New(fault.Unsupported, "an index inside of an index is not supported")
	}
	return &m, &raw, nil
}

func (p *pull) config(ctx context.Context, in *store.Ingest, m *store.Manifest) ([]byte, error) {
	if data, err := in.ReadBlob(m.Config.Digest); err == nil {
		return data, nil
	}
	return p.r.Small(ctx, m.Config.Digest)
}

// layers brings all layers, several at once. The first error ends them all.
func (p *pull) layers(ctx context.Context, cancel context.CancelCauseFunc, in *store.Ingest, m *store.Manifest, diffs []string) error {
	chains := store.ChainIDs(diffs)
	n := p.o.Layers
	if n <= 0 {
		n = defaultLayers
	}
	for _, d := range m.Layers {
		p.o.Progress.Layer(d.Digest, d.Size, api.Waiting)
	}
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for i, d := range m.Layers {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := p.layer(ctx, in, store.LayerSpec{Descriptor: d, DiffID: diffs[i], ChainID: chains[i]}); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// layer brings one layer. What was damaged on its way, or on a mirror, may
// come whole the second time.
func (p *pull) layer(ctx context.Context, in *store.Ingest, spec store.LayerSpec) error {
	err := p.tryLayer(ctx, in, spec)
	if errors.Is(err, store.ErrDigest) && ctx.Err() == nil {
		p.r.distrustMirrors()
		err = p.tryLayer(ctx, in, spec)
	}
	return err
}

func (p *pull) tryLayer(ctx context.Context, in *store.Ingest, spec store.LayerSpec) error {
	l, err := in.Layer(spec)
	if err != nil {
		return err
	}
	missing := l.Missing()
	if len(missing) == 0 && l.Resumed() == 0 {
		if err := l.Finish(nil); err != nil {
			return err
		}
		p.o.Progress.Layer(spec.Digest, spec.Size, api.Exists)
		return nil
	}
	p.o.Progress.Layer(spec.Digest, spec.Size, api.Downloading)
	if n := l.Resumed(); n > 0 {
		p.o.Progress.Moved(spec.Digest, int(n))
	}
	err = p.r.Fetch(ctx, Fetch{
		Digest: spec.Digest, Size: spec.Size, Missing: missing, To: l,
		Got: func(n int) { p.o.Progress.Moved(spec.Digest, n) },
	})
	if err == nil {
		p.o.Progress.Layer(spec.Digest, spec.Size, api.Extracting)
	}
	if ferr := l.Finish(err); ferr != nil {
		return ferr
	}
	p.o.Progress.Layer(spec.Digest, spec.Size, api.Complete)
	return nil
}
