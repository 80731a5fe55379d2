package engine

import (
	"context"

	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/state"
)

// imageUse looks who uses images, when it is first asked: then the store is
// locked, and no container can begin to. What cannot be found out counts as
// use.
func (e *Engine) imageUse() func(id string) []string {
	var users map[string][]string
	var err error
	return func(id string) []string {
		if users == nil && err == nil {
			users, err = e.imageHolders()
		}
		if err != nil {
			return []string{err.Error()}
		}
		return users[id]
	}
}

// GC removes images by a policy, or tells with dry which it would remove.
func (is *Images) GC(p image.GCPolicy, dry bool) ([]image.GCVictim, error) {
	done, err := is.e.images.GC(p, is.e.imageUse, dry)
	if !dry {
		for i := range done {
			is.Note("delete", done[i].ID, done[i].ID)
		}
	}
	return done, err
}

// Check verifies the image store, and repairs it if repair is set.
func (is *Images) Check(ctx context.Context, repair bool) (image.CheckReport, error) {
	return is.e.images.Check(ctx, image.CheckOptions{Repair: repair, Users: is.e.imageUse})
}

// touchImage records that the image of a container was used.
func (e *Engine) touchImage(r *state.Record) {
	if r.ImageID != "" {
		e.images.Touch(r.ImageID)
	}
}
