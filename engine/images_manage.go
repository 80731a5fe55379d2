package engine

import (
	"context"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
)

// Tag gives an image a further name.
func (is *Images) Tag(_ context.Context, ref, name string) error {
	m, err := is.e.images.Tag(ref, name)
	if err == nil {
		is.Note("tag", m.ID, m.Familiar())
	}
	return err
}

// ImagePruneOptions choose what to remove.
type ImagePruneOptions struct {
	All     bool // also images that have a name and that no container uses
	Filters      // label, label!, until
	// Until reads the times of the filter until.
	Until func(string) (time.Time, error)
}

// ImagesPruned is what a prune has removed.
type ImagesPruned struct {
	Removed []RemovedImage
	Bytes   int64 // given back
}

// Prune removes images that no container uses: those without a name, or all.
func (is *Images) Prune(_ context.Context, o ImagePruneOptions) (ImagesPruned, error) {
	if err := o.Only("label", "label!", "until", "dangling"); err != nil {
		return ImagesPruned{}, err
	}
	dangling, err := o.Bool("dangling", !o.All)
	if err != nil {
		return ImagesPruned{}, err
	}
	f := o.Filters
	delete(f, "dangling")
	keep, err := is.filter(&ImageListOptions{Filters: f, Until: o.Until})
	if err != nil {
		return ImagesPruned{}, err
	}
	all, err := is.e.images.List()
	if err != nil {
		return ImagesPruned{}, err
	}
	named := map[string]int{}
	for i := range all {
		if all[i].Name != "" {
			named[all[i].ID]++
		}
	}
	users, err := is.e.imageHolders()
	if err != nil {
		return ImagesPruned{}, err
	}
	var out ImagesPruned
	for i := range all {
		m := &all[i]
		if !keep(m) || len(users[m.ID]) > 0 || dangling && named[m.ID] > 0 {
			continue
		}
		ref := m.Name
		if ref == "" {
			ref = m.ID
		}
		done, err := is.e.images.Remove(ref, image.RemoveOptions{InUse: is.e.imageUse()})
		switch fault.KindOf(err) {
		case fault.NotFound, fault.Conflict:
			if err != nil {
				continue // somebody was faster, or uses it since
			}
		case fault.Internal, fault.Invalid, fault.Exists, fault.Denied, fault.Unsupported, fault.Unavailable:
			if err != nil {
				return out, err
			}
		}
		out.Removed = append(out.Removed, is.told(done)...)
		out.Bytes += done.Bytes
	}
	return out, nil
}

// told is what a removal did, for those who ask and for the journal.
func (is *Images) told(done image.Removed) []RemovedImage {
	var list []RemovedImage
	for _, n := range done.Untagged {
		list = append(list, RemovedImage{Untagged: n})
		is.Note("untag", done.ID, done.ID)
	}
	for _, id := range done.Deleted {
		list = append(list, RemovedImage{Deleted: id})
		is.Note("delete", id, id)
	}
	return list
}
