package images

import (
	"context"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/store"
)

// imageUse looks who uses images, when it is first asked: then the store is
// locked, and no container can begin to. What cannot be found out counts as
// use.
func (im *Room) imageUse() func(id string) []string {
	var users map[string][]string
	var err error
	return func(id string) []string {
		if users == nil && err == nil {
			users, err = im.imageHolders()
		}
		if err != nil {
			return []string{err.Error()}
		}
		return users[id]
	}
}

// GC removes images by the configured policy, after change has altered it, or
// tells with dry which it would remove.
func (im *Room) GC(change func(*api.GCPolicy), dry bool) ([]api.GCVictim, error) {
	var p api.GCPolicy
	if im.carriers.Policy != nil {
		var err error
		if p, _, err = im.carriers.Policy(); err != nil {
			return nil, err
		}
	}
	change(&p)
	return im.gc(p, dry)
}

func (im *Room) gc(p api.GCPolicy, dry bool) ([]api.GCVictim, error) {
	done, err := im.ImageStore.GC(p, im.imageUse, dry)
	if !dry {
		for i := range done {
			im.Note("delete", done[i].ID, done[i].ID)
		}
	}
	return done, err
}

// Check verifies the image store, and repairs it if repair is set.
func (im *Room) Check(ctx context.Context, repair bool) (store.CheckReport, error) {
	return im.ImageStore.Check(ctx, store.CheckOptions{Repair: repair, Users: im.imageUse})
}
