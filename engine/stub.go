package engine

import (
	"context"
	"io"

	"github.com/tare-engine/tare/fault"
)

// Engine is one opened data root.
type Engine struct {
	Containers *Containers
	Images     *Images
}

// Containers is the engine's containers.
type Containers struct{}

// Images is the engine's images.
type Images struct{}

var errStub = fault.New(fault.Unsupported, "not written yet")

// Open opens the engine of a data root, which need not exist.
func Open(Options) (*Engine, error) { return &Engine{&Containers{}, &Images{}}, nil }

// Info reports on the machine and the engine.
func (*Engine) Info(context.Context) (*Info, error) { return nil, errStub }

// Run creates and starts a container, waits for it and returns its exit code.
// When it never ran, the code is 125, 126 or 127 and the error says why.
func (*Containers) Run(context.Context, *ContainerConfig, *RunOptions) (int, error) {
	return ExitEngine, errStub
}

// Plan writes what a run would do and does nothing.
func (*Containers) Plan(context.Context, *ContainerConfig, io.Writer) error { return errStub }

// List lists containers, newest first.
func (*Containers) List(context.Context, ListOptions) ([]ContainerSummary, error) {
	return nil, errStub
}

// Remove removes a container by name, ID or unique ID prefix and returns its
// full ID. A running one is a Conflict unless force is set.
func (*Containers) Remove(_ context.Context, nameOrID string, force bool) (string, error) {
	return "", errStub
}

// List lists images, newest first.
func (*Images) List(context.Context) ([]ImageSummary, error) { return nil, errStub }

// Import makes an image of one layer from a tar archive or a directory and
// returns its ID.
func (*Images) Import(context.Context, *ImportOptions) (string, error) { return "", errStub }

// Remove removes a tag, and the image with its last tag. Force removes an
// image with several tags by ID, or one that a stopped container uses.
func (*Images) Remove(_ context.Context, ref string, force bool) ([]RemovedImage, error) {
	return nil, errStub
}
