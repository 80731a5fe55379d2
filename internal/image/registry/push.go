package registry

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// PushOptions are the optional parts of a push.
type PushOptions struct {
	Platform store.Platform // zero: the host's, or all of an index whose images are all here
	Progress api.Reporter   // nil: nobody looks
	Layers   int            // how many are sent at once; 0 is 6
}

// Sent is what a push has sent.
type Sent struct {
	Digest string // of the manifest or index that the name now means
	Size   int64  // of it, bytes
}

// Push sends an image of a store under the name ref. Blobs that the registry
// has are not sent again, those that another of its repositories has are
// mounted from there. The manifest is sent as it came.
func (c *Client) Push(ctx context.Context, s *store.Store, ref reference.Ref, o PushOptions) (Sent, error) {
	if o.Progress == nil {
		o.Progress = api.Quiet{}
	}
	ref = ref.Tagged()
	if ref.Tag == "" || ref.Digest != "" {
		return Sent{}, fault.New(fault.Invalid, "%s: a digest cannot be chosen, push by tag", ref.Familiar())
	}
	sent, err := c.push(ctx, s, ref, o)
	if err != nil && !strings.Contains(err.Error(), ref.Familiar()) {
		err = &fault.Error{Kind: fault.KindOf(err), Text: ref.Familiar() + ": " + err.Error(), Err: err, Hint: fault.HintOf(err)}
	}
	return sent, err
}

func (c *Client) push(ctx context.Context, s *store.Store, ref reference.Ref, o PushOptions) (Sent, error) {
	m, err := s.Resolve(ref.String(), o.Platform)
	if err != nil {
		return Sent{}, err
	}
	if m.Manifest == "" {
		if m, err = s.Complete(ctx, m); err != nil {
			return Sent{}, err
		}
	}
	r, err := c.Repo(ref.Domain, ref.Path, false)
	if err != nil {
		return Sent{}, err
	}
	p := &push{s: s, k: r.own(), ref: ref, o: o}
	return p.run(ctx, &m)
}

type push struct {
	s   *store.Store
	k   *conn
	ref reference.Ref
	o   PushOptions
}

// document is a manifest to be sent, with its blobs.
type document struct {
	raw    []byte
	parsed store.Manifest
}

func (p *push) read(digest string) (document, error) {
	raw, err := p.s.ReadBlob(digest)
	if err != nil {
		return document{}, err
	}
	parsed, err := store.ParseManifest("", raw, p.s.Limits)
	return document{raw, parsed}, err
}

func (p *push) run(ctx context.Context, m *store.Image) (Sent, error) {
	top, err := p.read(m.Manifest)
	if err != nil {
		return Sent{}, err
	}
	documents := []document{top}
	if m.Index != "" && p.o.Platform == (store.Platform{}) {
		index, all, err := p.index(m.Index)
		if err != nil {
			return Sent{}, err
		}
		if all != nil {
			top, documents = index, all
		} else {
			p.o.Progress.Note("Not all platforms of the image are here: pushing " + m.Platform.String() + " only")
		}
	}
	if err := p.blobs(ctx, documents); err != nil {
		return Sent{}, err
	}
	if top.parsed.IsIndex() {
		for _, d := range documents {
			if err := p.manifest(ctx, d, digestOf(d.raw)); err != nil {
				return Sent{}, err
			}
		}
	}
	if err := p.manifest(ctx, top, p.ref.Tag); err != nil {
		return Sent{}, err
	}
	return Sent{Digest: digestOf(top.raw), Size: int64(len(top.raw))}, nil
}

// index returns an index and all that it lists, or nil when something of it
// is not here.
func (p *push) index(digest string) (document, []document, error) {
	index, err := p.read(digest)
	if err != nil {
		return document{}, nil, err
	}
	var all []document
	for _, d := range index.parsed.Manifests {
		if !p.s.HasBlob(d.Digest) {
			return index, nil, nil
		}
		m, err := p.read(d.Digest)
		if err != nil || m.parsed.IsIndex() {
			return index, nil, err
		}
		for _, b := range append(m.parsed.Layers, m.parsed.Config) {
			if !p.s.HasBlob(b.Digest) {
				return index, nil, nil
			}
		}
		all = append(all, m)
	}
	return index, all, nil
}

// blobs sends what the manifests name, each once, several at a time.
func (p *push) blobs(ctx context.Context, documents []document) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var list []store.Descriptor
	seen := map[string]bool{}
	for _, d := range documents {
		for _, b := range append(d.parsed.Layers[:len(d.parsed.Layers):len(d.parsed.Layers)], d.parsed.Config) {
			if seen[b.Digest] {
				continue
			}
			seen[b.Digest] = true
			list = append(list, b)
			if b.Digest != d.parsed.Config.Digest {
				p.o.Progress.Layer(b.Digest, b.Size, api.Preparing)
			}
		}
	}
	from, err := p.mounts()
	if err != nil {
		return err
	}
	n := p.o.Layers
	if n <= 0 {
		n = defaultLayers
	}
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for _, b := range list {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := p.blob(ctx, b, from[b.Digest]); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// mounts returns a repository of the same registry for each blob that is
// known to have come from there, or to have been sent there.
func (p *push) mounts() (map[string]string, error) {
	list, err := p.s.List()
	if err != nil {
		return nil, err
	}
	from := map[string]string{}
	for i := range list {
		r, err := reference.Parse(list[i].Name)
		if err != nil || r.Domain != p.ref.Domain || r.Path == p.ref.Path {
			continue
		}
		for _, b := range list[i].Blobs() {
			from[b] = r.Path
		}
	}
	return from, nil
}

// show keeps configs out of what is shown.
func (p *push) show(b *store.Descriptor, s api.LayerState) {
	if !strings.Contains(b.MediaType, ".config.") && !strings.Contains(b.MediaType, "container.image.v1") {
		p.o.Progress.Layer(b.Digest, b.Size, s)
	}
}

// blob sends one blob, unless it is there.
func (p *push) blob(ctx context.Context, b store.Descriptor, from string) error {
	resp, err := p.k.do(ctx, call{method: http.MethodHead, path: "/blobs/" + b.Digest, scope: "pull,push"})
	if err != nil {
		return err
	}
	drain(resp)
	if resp.StatusCode == http.StatusOK {
		p.show(&b, api.Present)
		return nil
	}
	for n := 1; ; n++ {
		mounted, err := p.upload(ctx, b, from)
		switch {
		case err == nil && mounted:
			p.show(&b, api.Mounted)
			return nil
		case err == nil:
			p.show(&b, api.Pushed)
			return nil
		case n == attempts || ctx.Err() != nil || !worthAnother(err):
			return fault.New(fault.KindOf(err), "send %s: %w", short(b.Digest), plainError(err))
		}
		if err := wait(ctx, p.k.pause(n)); err != nil {
			return err
		}
	}
}

// upload asks for a mount, or for an upload, and sends the blob.
func (p *push) upload(ctx context.Context, b store.Descriptor, from string) (mounted bool, err error) {
	q := call{method: http.MethodPost, path: "/blobs/uploads/", scope: "pull,push"}
	if from != "" {
		q.query = url.Values{"mount": {b.Digest}, "from": {from}}
		q.from = from
	}
	resp, err := p.k.do(ctx, q)
	if err != nil && from != "" && fault.KindOf(err) == fault.Denied {
		return p.upload(ctx, b, "") // it may not read there
	}
	if err != nil {
		return false, err
	}
	defer drain(resp)
	switch resp.StatusCode {
	case http.StatusCreated:
		return true, nil
	case http.StatusAccepted:
	default:
		if from != "" && resp.StatusCode < 500 {
			return p.upload(ctx, b, "") // nor does every registry know mounts
		}
		return false, statusError(resp)
	}
	to, err := resp.Location()
	if err != nil {
		return false, fault.New(fault.Unavailable, "%s names no place for an upload", p.k.e.Host)
	}
	if to.Scheme == "http" && resp.Request.URL.Scheme == "https" && !p.k.lenient {
		return false, fault.New(fault.Denied, "%s wants an upload to %s, which is not HTTPS", p.k.e.Host, to.Redacted())
	}
	query := to.Query()
	query.Set("digest", b.Digest)
	to.RawQuery = query.Encode()
	return false, p.put(ctx, b, to)
}

func (p *push) put(ctx context.Context, b store.Descriptor, to *url.URL) error {
	f, err := p.s.OpenBlob(b.Digest)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	p.show(&b, api.Pushing)
	resp, err := p.k.do(ctx, call{
		method: http.MethodPut, abs: to, scope: "pull,push", once: true, length: b.Size,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		stream: func() (io.Reader, error) {
			return &countedReader{io.NewSectionReader(f, 0, b.Size), func(n int) { p.o.Progress.Moved(b.Digest, n) }}, nil
		},
	})
	if err != nil {
		return err
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	return nil
}

// countedReader tells how much was read.
type countedReader struct {
	r    io.Reader
	read func(int)
}

// Read implements io.Reader.
func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.read(n)
	}
	return n, err
}

// manifest sends a manifest under a tag or its digest.
func (p *push) manifest(ctx context.Context, d document, name string) error {
	typ := d.parsed.MediaType
	if typ == "" { // OCI 1.0 left it out
		typ = "application/vnd.oci.image.manifest.v1+json"
		if d.parsed.IsIndex() {
			typ = "application/vnd.oci.image.index.v1+json"
		}
	}
	resp, err := p.k.do(ctx, call{
		method: http.MethodPut, path: "/manifests/" + name, scope: "pull,push", body: d.raw,
		header: http.Header{"Content-Type": {typ}},
	})
	if err != nil {
		return err
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	if got := resp.Header.Get("Docker-Content-Digest"); got != "" && got != digestOf(d.raw) {
		return fault.New(fault.Internal, "%s has changed the manifest to %s", p.k.e.Host, got)
	}
	return nil
}
