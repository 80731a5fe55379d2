package images

import (
	"context"
	"os/exec"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/state"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// isBase reports whether a user's reference means the built-in image.
func isBase(ref string) bool {
	r, err := reference.Parse(ref)
	return err == nil && r.Familiar() == store.BaseName+":latest" || ref == store.BaseName
}

// baseApplets asks the userland binary for the names that it answers to. That
// happens once for each build of it, when the built-in image is made.
func baseApplets(ctx context.Context, bin string) ([]string, error) {
	out, err := exec.CommandContext(ctx, bin, "--list").Output()
	if err != nil {
		return nil, fault.New(fault.Internal, "%s --list: %w", bin, err)
	}
	return strings.Fields(string(out)), nil
}

// Find finds an image by its name, and builds the one that ships with
// tare when it is asked for. With plan it makes nothing: the image may be one
// that is not in the store yet.
func (im *Room) Find(ctx context.Context, ref string, plan bool) (store.Image, error) {
	if isBase(ref) {
		if bin := im.Helper("tare-base"); bin != "" {
			if plan {
				return im.ImageStore.PlanBase(ctx, bin, baseApplets)
			}
			old, _ := im.ImageStore.Resolve(ref, store.Platform{})
			img, err := im.ImageStore.EnsureBase(ctx, bin, baseApplets)
			if err == nil && old.ID != "" && old.ID != img.ID {
				im.oldBase = old.ID
			}
			return img, err
		}
	}
	img, err := im.ImageStore.Resolve(ref, store.Platform{})
	if fault.KindOf(err) == fault.NotFound {
		return img, &fault.Error{Kind: fault.NotFound, Text: "no such image: " + ref, Err: ErrNoImage, Hint: "bring it in with: tare pull " + ref}
	}
	return img, err
}

// Import makes an image of one layer from a tar archive or a directory and
// returns its ID.
func (im *Room) Import(ctx context.Context, from api.Place) (string, error) {
	from.Kind = api.InTree
	var id idOf
	err := im.Transfer(ctx, from, api.Place{}, &id)
	return id.string, err
}

// idOf keeps the id of an image that has come.
type idOf struct {
	api.Quiet
	string
}

// Done implements api.Reporter.
func (i *idOf) Done(m *api.Transferred) { i.string = m.ID }

// Remove removes a tag, and the image with its last tag. Force removes an
// image with several tags by ID, or one that a stopped container uses.
func (im *Room) Remove(ref string, force bool) ([]api.RemovedImage, error) {
	done, err := im.ImageStore.Remove(ref, store.RemoveOptions{Force: force, InUse: im.imageUse()})
	return im.told(done), err
}

// DropOldBase removes the built-in image that a newer one has replaced, unless
// containers use it.
func (im *Room) DropOldBase() {
	if im.oldBase == "" {
		return
	}
	if users, err := im.imageHolders(); err == nil {
		// In use is no error: a later rmi or prune takes it.
		_, _ = im.ImageStore.Remove(im.oldBase, store.RemoveOptions{InUse: func(id string) []string { return users[id] }})
	}
	im.oldBase = ""
}

// imagesOf is what a record uses.
func imagesOf(r *state.Record) []string { return []string{r.ImageID} }

// imageHolders returns who keeps each image from being removed, as errors name
// them.
func (im *Room) imageHolders() (map[string][]string, error) {
	users, err := im.State.Users(imagesOf)
	if err != nil {
		return nil, err
	}
	for _, names := range users {
		for i := range names {
			names[i] = "container " + names[i]
		}
	}
	mounted, err := im.mountedImages()
	for _, m := range mounted {
		users[m.ID] = append(users[m.ID], "the mount at "+m.Path)
	}
	return users, err
}
