package engine

import (
	"context"
	"io"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/layer"
	"github.com/tare-engine/tare/state"
)

// Change is a file of a container that differs from its image's.
type Change struct {
	Kind string // "C" changed, "A" added, "D" deleted
	Path string // absolute, in the container
}

// startMountPoints are those that every start makes where the image has none; Docker keeps
// them in a layer below.
var startMountPoints = []string{
	"/dev", "/dev/console", "/dev/pts", "/dev/shm", "/proc", "/sys", "/etc", "/etc/hostname", "/etc/hosts", "/etc/mtab",
	"/etc/resolv.conf", "/sbin", initPath,
}

// layers finds a container and its image; a container of --rootfs has none,
// and is refused.
func (cs *Containers) layers(ref, verb string) (*state.Record, *image.Image, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return nil, nil, err
	}
	r, err := e.state.Get(id)
	if err != nil {
		return nil, nil, err
	}
	if r.ImageID == "" {
		return nil, nil, fault.New(fault.Unsupported, "%s: a container of --rootfs has no layers", verb)
	}
	m, err := e.images.Resolve(r.ImageID, image.Platform{})
	if err != nil {
		return nil, nil, err
	}
	return r, &m, nil
}

// Diff lists what a container has changed, sorted by path.
func (cs *Containers) Diff(_ context.Context, ref string) ([]Change, error) {
	r, m, err := cs.layers(ref, "diff")
	if err != nil {
		return nil, err
	}
	list, err := cs.e.snapshots.Diff(r.ID, m.Lower, cs.e.overlay(), startMountPoints)
	if err != nil {
		return nil, err
	}
	out := make([]Change, len(list))
	for i, c := range list {
		out[i] = Change{string(rune(c.Kind)), c.Path}
	}
	return out, nil
}

// Export writes the root file system of a container, running or not, as a tar
// archive: without what is mounted in it.
func (cs *Containers) Export(ctx context.Context, ref string, w io.Writer) error {
	e := cs.e
	r, m, err := cs.layers(ref, "export")
	if err != nil {
		return err
	}
	if err := e.harden(); err != nil {
		return err
	}
	root, err := e.snapshots.OpenMerged(r.ID, m.Lower, e.overlay(), e.opt.Root)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	if err := layer.Pack(ctx, root, w, layer.PackOptions{}); err != nil {
		return err
	}
	e.note("export", r)
	return nil
}
