package image

import (
	"context"
	"io"

	"github.com/tare-engine/tare/fault"
)

// Resolve finds a local image by what a user wrote: a name with optional tag
// or digest, an id, or an unambiguous prefix of one. The zero Platform asks
// for the host's, and falls back to the only other one that the name has.
// The error is NotFound when there is none, Invalid when ref is malformed or
// ambiguous. This is the hot path of a run: one open and one read for a name.
func (s *Store) Resolve(ref string, p Platform) (Image, error) {
	return Image{}, fault.New(fault.Unsupported, "find image %s: not built yet", ref)
}

// Source is where Import takes a root file system from: exactly one is set.
type Source struct {
	Path   string    // a tar file, plain or gzip, or a directory
	Reader io.Reader // a tar stream, plain or gzip
}

// ImportOptions are the optional parts of an import.
type ImportOptions struct {
	Changes  []string // Dockerfile instructions: CMD, ENV, USER, ...
	Message  string   // comment in the history
	Platform Platform // zero: the host's
}

// Import makes an image of one layer from src and names it ref; an empty ref
// leaves it without a name.
func (s *Store) Import(ctx context.Context, src Source, ref string, opt ImportOptions) (Image, error) {
	return Image{}, fault.New(fault.Unsupported, "import %s: not built yet", ref)
}

// AddImage adds an image of several layers, bottom first, each a tar stream,
// plain or gzip. The root file system part of the config is filled in.
func (s *Store) AddImage(ctx context.Context, ref string, p Platform, cfg Config, layers ...io.Reader) (Image, error) {
	return Image{}, fault.New(fault.Unsupported, "add %s: not built yet", ref)
}

// List returns all images, one for each name and one for each image without a
// name, newest first.
func (s *Store) List() ([]Image, error) { return nil, nil }

// Tag gives the image that ref resolves to a further name.
func (s *Store) Tag(ref, name string) (Image, error) {
	return Image{}, fault.New(fault.Unsupported, "tag %s: not built yet", ref)
}

// RemoveOptions say how Remove treats an image that is in use.
type RemoveOptions struct {
	// Force removes an image with several names by id, and the name of one
	// that stopped containers use.
	Force bool
	// InUse returns the containers of an image id; it is called with the
	// store locked. nil means that there are none.
	InUse func(imageID string) []string
}

// Removed says what Remove took away, in order.
type Removed struct {
	Untagged []string // names, familiar form
	Deleted  []string // ids of images
	Bytes    int64    // given back, by the sizes of the layers
}

// Remove removes a name, and the image with its layers when that was the last
// one; ref may be an id. The error is Conflict when containers use the image.
func (s *Store) Remove(ref string, opt RemoveOptions) (Removed, error) {
	return Removed{}, fault.New(fault.Unsupported, "remove image %s: not built yet", ref)
}

// Lease keeps every image from being removed until it is released: hold one
// from Resolve until the container that uses the image is on disk.
type Lease struct{ fd int }

// Lease takes a lease; it waits while another process removes images.
func (s *Store) Lease() (*Lease, error) { return &Lease{fd: -1}, nil }

// Release gives the lease back.
func (l *Lease) Release() {}

// Recover removes what crashed imports left. It is one readdir of an empty
// directory when there is nothing.
func (s *Store) Recover() error { return nil }

// BaseName is the name of the built-in image.
const BaseName = "tare/base"

// EnsureBase returns the built-in image, and builds it first from the static
// multi-call binary at path when the store has none or an older one. applets
// is called only then, and returns the names to link to the binary. An image
// that a user gave the name is left alone.
func (s *Store) EnsureBase(ctx context.Context, path string, applets func(context.Context, string) ([]string, error)) (Image, error) {
	return Image{}, fault.New(fault.Unsupported, "build %s: not built yet", BaseName)
}
