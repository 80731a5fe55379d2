package images

import (
	"path"
	"slices"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// List lists images, newest first.
func (im *Room) List(o api.ImageListOptions) ([]api.ImageSummary, error) {
	all, err := im.ImageStore.List()
	if err != nil {
		return nil, err
	}
	keep, err := im.filter(&o)
	if err != nil {
		return nil, err
	}
	users, err := im.State.Users(imagesOf)
	if err != nil {
		return nil, err
	}
	list := make([]api.ImageSummary, 0, len(all))
	for i := range all {
		if m := &all[i]; keep(m) {
			list = append(list, imageSummary(m, len(users[m.ID])))
		}
	}
	return list, nil
}

func imageSummary(m *store.Image, containers int) api.ImageSummary {
	s := api.ImageSummary{
		ID: m.ID, Digest: m.Digest(), Created: m.Created, Size: m.Size, Platform: m.Platform.String(),
		Labels: m.Config.Labels, Containers: containers,
	}
	if r, err := reference.Parse(m.Name); err == nil {
		s.Name, s.Tag = r.FamiliarName(), r.Tag
		if r.Digest != "" {
			s.Digest = r.Digest
		}
	}
	return s
}

// filter makes one question of the filters.
func (im *Room) filter(o *api.ImageListOptions) (func(*store.Image) bool, error) {
	if err := o.Only("before", "dangling", "label", "label!", "reference", "since", "until"); err != nil {
		return nil, err
	}
	dangling, err := o.Bool("dangling", false)
	if err != nil {
		return nil, err
	}
	var before, since time.Time
	for _, b := range []struct {
		name string
		to   *time.Time
	}{{"before", &before}, {"since", &since}} {
		for _, ref := range o.Filters[b.name] {
			m, err := im.ImageStore.Resolve(ref, store.Platform{})
			if err != nil {
				return nil, err
			}
			*b.to = m.Created
		}
	}
	for _, u := range o.Filters["until"] {
		if o.Until == nil {
			return nil, fault.New(fault.Invalid, "invalid filter 'until'")
		}
		t, err := o.Until(u)
		if err != nil {
			return nil, err
		}
		if before.IsZero() || t.Before(before) {
			before = t
		}
	}
	for _, pattern := range o.Filters["reference"] {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fault.New(fault.Invalid, "invalid filter 'reference=%s'", pattern)
		}
	}
	return func(m *store.Image) bool {
		return (!o.Has("dangling") || dangling == (m.Name == "")) &&
			(before.IsZero() || m.Created.Before(before)) && (since.IsZero() || m.Created.After(since)) &&
			o.Labels("label", m.Config.Labels) && (!o.Has("label!") || !o.Labels("label!", m.Config.Labels)) &&
			(!o.Has("reference") || slices.ContainsFunc(o.Filters["reference"], func(p string) bool { return nameMatches(p, m.Name) }))
	}, nil
}

// nameMatches is Docker's: the pattern is for all of the familiar name, or for
// what comes before the tag.
func nameMatches(pattern, name string) bool {
	r, err := reference.Parse(name)
	if err != nil {
		return false
	}
	for _, s := range []string{r.Familiar(), r.FamiliarName(), r.String(), r.Name()} {
		if ok, err := path.Match(pattern, s); ok && err == nil {
			return true
		}
	}
	return false
}

// MissingID is Docker's id of steps that are no image.
const MissingID = "<missing>"

// History returns how an image was made.
func (im *Room) History(ref string) ([]api.HistoryItem, error) {
	s := im.ImageStore
	m, err := s.Resolve(ref, store.Platform{})
	if err != nil {
		return nil, err
	}
	d, err := s.Details(&m)
	if err != nil {
		return nil, err
	}
	list := make([]api.HistoryItem, 0, max(len(d.History), len(m.Layers)))
	layer := 0
	add := func(h store.HistoryEntry) error {
		item := api.HistoryItem{ID: MissingID, Created: h.Created, CreatedBy: h.CreatedBy, Comment: h.Comment}
		if !h.EmptyLayer && layer < len(m.Layers) {
			if item.Size, err = s.LayerSize(m.Layers[layer]); err != nil {
				return err
			}
			layer++
		}
		list = append(list, item)
		return nil
	}
	for _, h := range d.History {
		if err := add(h); err != nil {
			return nil, err
		}
	}
	for layer < len(m.Layers) { // a history is optional
		if err := add(store.HistoryEntry{Created: m.Created}); err != nil {
			return nil, err
		}
	}
	slices.Reverse(list)
	if len(list) > 0 {
		list[0].ID = m.ID
		all, err := s.List()
		if err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].ID == m.ID && all[i].Name != "" {
				list[0].Tags = append(list[0].Tags, all[i].Familiar())
			}
		}
	}
	return list, nil
}

// ContentSize returns the bytes of an image's blobs, as they were received.
func (im *Room) ContentSize(id string) (int64, error) {
	m, err := im.ImageStore.Resolve(id, store.Platform{})
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, d := range m.Blobs() {
		f, err := im.ImageStore.OpenBlob(d)
		if err != nil {
			return 0, err
		}
		st, err := f.Stat()
		_ = f.Close() // read only
		if err != nil {
			return 0, err
		}
		total += st.Size()
	}
	return total, nil
}
