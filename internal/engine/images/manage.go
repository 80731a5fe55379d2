package images

import (
	"context"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Tag gives an image a further name.
func (im *Room) Tag(ref, name string) error {
	m, err := im.ImageStore.Tag(ref, name)
	if err == nil {
		im.Note("tag", m.ID, m.Familiar())
	}
	return err
}

// Prune removes images that no container uses: those without a name, or all.
func (im *Room) Prune(ctx context.Context, o api.ImagePruneOptions) (api.ImagesPruned, error) {
	if err := o.Only("label", "label!", "until", "dangling"); err != nil {
		return api.ImagesPruned{}, err
	}
	dangling, err := o.Bool("dangling", !o.All)
	if err != nil {
		return api.ImagesPruned{}, err
	}
	f := o.Filters
	delete(f, "dangling")
	keep, err := im.filter(&api.ImageListOptions{Filters: f, Until: o.Until})
	if err != nil {
		return api.ImagesPruned{}, err
	}
	all, err := im.ImageStore.List()
	if err != nil {
		return api.ImagesPruned{}, err
	}
	named := map[string]int{}
	for i := range all {
		if all[i].Name != "" {
			named[all[i].ID]++
		}
	}
	users, err := im.imageHolders()
	if err != nil {
		return api.ImagesPruned{}, err
	}
	var out api.ImagesPruned
	for i := range all {
		if err := ctx.Err(); err != nil {
			return out, err // what has been removed is told
		}
		m := &all[i]
		if !keep(m) || len(users[m.ID]) > 0 || dangling && named[m.ID] > 0 {
			continue
		}
		ref := m.Name
		if ref == "" {
			ref = m.ID
		}
		done, err := im.ImageStore.Remove(ref, store.RemoveOptions{InUse: im.imageUse()})
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
		out.Removed = append(out.Removed, im.told(done)...)
		out.Bytes += done.Bytes
	}
	return out, nil
}

// told is what a removal did, for those who ask and for the journal.
func (im *Room) told(done store.Removed) []api.RemovedImage {
	var list []api.RemovedImage
	for _, n := range done.Untagged {
		list = append(list, api.RemovedImage{Untagged: n})
		im.Note("untag", done.ID, done.ID)
	}
	for _, id := range done.Deleted {
		list = append(list, api.RemovedImage{Deleted: id})
		im.Note("delete", id, id)
	}
	return list
}
