package engine

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/reference"
)

// isBase reports whether a user's reference means the built-in image.
func isBase(ref string) bool {
	r, err := reference.Parse(ref)
	return err == nil && r.Familiar() == image.BaseName+":latest" || ref == image.BaseName
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

// Import makes an image of one layer from a tar archive or a directory and
// returns its ID.
func (is *Images) Import(ctx context.Context, o *ImportOptions) (string, error) {
	src := image.Source{Path: o.Source}
	if o.Source == "-" {
		src = image.Source{Reader: o.Stdin}
	}
	var p image.Platform
	if o.Platform != "" {
		p.OS, p.Arch, _ = strings.Cut(o.Platform, "/")
		p.Arch, p.Variant, _ = strings.Cut(p.Arch, "/")
	}
	img, err := is.e.images.Import(ctx, src, o.Name, image.ImportOptions{Changes: o.Changes, Message: o.Message, Platform: p})
	if err == nil {
		is.e.noteImage("import", img.ID, img.Familiar())
	}
	return img.ID, err
}

// Remove removes a tag, and the image with its last tag. Force removes an
// image with several tags by ID, or one that a stopped container uses.
func (is *Images) Remove(_ context.Context, ref string, force bool) ([]RemovedImage, error) {
	done, err := is.e.images.Remove(ref, image.RemoveOptions{Force: force, InUse: is.e.imageUse()})
	return is.told(done), err
}

// dropOldBase removes the built-in image that a newer one has replaced, unless
// containers use it.
func (e *Engine) dropOldBase() {
	if e.oldBase == "" {
		return
	}
	if users, err := e.imageHolders(); err == nil {
		// In use is no error: a later rmi or prune takes it.
		_, _ = e.images.Remove(e.oldBase, image.RemoveOptions{InUse: func(id string) []string { return users[id] }})
	}
	e.oldBase = ""
}

// imageUsers returns the names of the containers of each image.
func (e *Engine) imageUsers() (map[string][]string, error) {
	ids, err := e.state.IDs()
	if err != nil {
		return nil, err
	}
	users := make(map[string][]string)
	for _, id := range ids {
		r, err := e.state.Get(id)
		var no unix.Errno
		switch kind := fault.KindOf(err); {
		case err == nil:
		case kind == fault.NotFound, kind == fault.Internal && !errors.As(err, &no):
			continue // gone, or damaged: it cannot start again
		default: // of a newer tare, or not to be read just now: it may start
			return nil, err
		}
		users[r.ImageID] = append(users[r.ImageID], r.Name)
	}
	return users, nil
}

// imageHolders returns who keeps each image from being removed, as errors name
// them.
func (e *Engine) imageHolders() (map[string][]string, error) {
	users, err := e.imageUsers()
	if err != nil {
		return nil, err
	}
	for _, names := range users {
		for i := range names {
			names[i] = "container " + names[i]
		}
	}
	mounted, err := e.mountedImages()
	for _, m := range mounted {
		users[m.ID] = append(users[m.ID], "the mount at "+m.Path)
	}
	return users, err
}
