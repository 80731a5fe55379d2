package images

import (
	"context"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Carrier moves images between a store and one kind of place. Those that speak
// HTTP are given by the program that links them.
//
// A carrier that returns an error, or whose context is cancelled, has made
// nothing visible in the store; what it has begun to write is gone, or is kept
// for the next try where the store says so (store.Store, partial).
type Carrier interface {
	// Bring brings the images that p means into the store.
	Bring(ctx context.Context, s *store.Store, p *api.Place, r api.Reporter) error
	// Send sends the images that from means to p.
	Send(ctx context.Context, s *store.Store, from, p *api.Place, r api.Reporter) error
}

// Carriers is what a program gives an engine so that it can move images.
type Carriers struct {
	Of map[api.PlaceKind]Carrier
	// Prepare readies a store for what is about to be read: formats, limits.
	// May be nil.
	Prepare func(*store.Store) error
	// Policy reads by which policy images go without being asked for, and whether
	// they go after others have come. May be nil: by none.
	Policy func() (p api.GCPolicy, afterPull bool, err error)
	// Accounts are the logins of registries; nil: there are none.
	Accounts Accounts
}

// Transfer moves images from one place to another, one of which is the store:
// pull, push, load, save, import. The reporter may be nil.
//
// A context that is cancelled ends it; what has come whole stays.
func (im *Room) Transfer(ctx context.Context, from, to api.Place, r api.Reporter) error {
	if r == nil {
		r = api.Quiet{}
	}
	outside, store := &from, &to
	if from.Kind == api.InStore {
		outside, store = &to, &from
	}
	if store.Kind != api.InStore || outside.Kind == api.InStore {
		return fault.New(fault.Invalid, "transfer of images: one side of it is the store")
	}
	c := im.carriers.Of[outside.Kind]
	if outside.Kind == api.InTree {
		c = trees{}
	}
	if c == nil {
		return fault.New(fault.Unsupported, "transfer of images: this program reaches no %s", outside.Kind)
	}
	if im.carriers.Prepare != nil {
		if err := im.carriers.Prepare(im.ImageStore); err != nil {
			return err
		}
	}
	told := &teller{Reporter: r, im: im, action: actionOf(outside.Kind, outside == &from)}
	if outside == &to {
		return c.Send(ctx, im.ImageStore, store, outside, told)
	}
	if err := c.Bring(ctx, im.ImageStore, outside, told); err != nil {
		return err
	}
	return im.collect()
}

// teller writes an event for each image that has come or gone.
type teller struct {
	api.Reporter
	im     *Room
	action string
}

// Done implements api.Reporter.
func (t *teller) Done(m *api.Transferred) {
	if m.Fresh {
		id, name := m.ID, m.Ref
		if name == "" && len(m.Names) > 0 {
			name = m.Names[0]
		}
		if id == "" {
			id = name
		}
		t.im.Note(t.action, id, name)
	}
	t.Reporter.Done(m)
}

// actionOf is Docker's word for a transfer.
func actionOf(k api.PlaceKind, comes bool) string {
	switch {
	case k == api.InTree:
		return "import"
	case k == api.InRegistry && comes:
		return "pull"
	case k == api.InRegistry:
		return "push"
	case comes:
		return "load"
	}
	return "save"
}

// collect collects garbage after images were added, where that is asked for.
// What has just come was not brought to be removed.
func (im *Room) collect() error {
	if im.carriers.Policy == nil {
		return nil
	}
	p, after, err := im.carriers.Policy()
	if err != nil || !after {
		return err
	}
	p.Fresh = time.Hour
	_, err = im.gc(p, false)
	return err
}

// trees is the carrier of file trees.
type trees struct{}

// Bring implements Carrier.
func (trees) Bring(ctx context.Context, s *store.Store, p *api.Place, r api.Reporter) error {
	o := p.Import
	src := store.Source{Path: p.Path}
	if p.In != nil {
		src = store.Source{Reader: p.In}
	}
	var platform store.Platform
	if p.Platform != "" {
		var err error
		if platform, err = store.ParsePlatform(p.Platform); err != nil {
			return err
		}
	}
	img, err := s.Import(ctx, src, o.Name, store.ImportOptions{Changes: o.Changes, Message: o.Message, Platform: platform})
	if err != nil {
		return err
	}
	r.Done(&api.Transferred{ID: img.ID, Ref: img.Familiar(), Fresh: true})
	return nil
}

// Send implements Carrier.
func (trees) Send(context.Context, *store.Store, *api.Place, *api.Place, api.Reporter) error {
	return fault.New(fault.Unsupported, "transfer of images: an image is not sent as a file tree")
}
