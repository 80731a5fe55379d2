package containers

import (
	"context"
	"io"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// startMountPoints are those that every start makes where the image has none; Docker keeps
// them in a layer below.
var startMountPoints = []string{
	"/dev", "/dev/console", "/dev/pts", "/dev/shm", "/proc", "/sys", "/etc", "/etc/hostname", "/etc/hosts", "/etc/mtab",
	"/etc/resolv.conf", "/sbin", compose.InitPath,
}

// layers finds a container and its image; a container of --rootfs has none,
// and is refused.
func (e *Room) layers(ref, verb string) (*state.Record, *store.Image, error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return nil, nil, err
	}
	r, err := e.State.Get(id)
	if err != nil {
		return nil, nil, err
	}
	m, err := e.ImageOf(r)
	if err == nil && m == nil {
		err = fault.New(fault.Unsupported, "%s: a container of --rootfs has no layers", verb)
	}
	return r, m, err
}

// Diff lists what a container has changed, sorted by path.
func (e *Room) Diff(ref string) ([]api.Change, error) {
	r, m, err := e.layers(ref, "diff")
	if err != nil {
		return nil, err
	}
	list, err := e.Snapshots.Diff(r.ID, m.Lower, e.Overlay(), startMountPoints)
	if err != nil {
		return nil, err
	}
	return ground.Changes(list), nil
}

// Export writes the root file system of a container, running or not, as a tar
// archive: without what is mounted in it.
func (e *Room) Export(ctx context.Context, ref string, w io.Writer) error {
	r, m, err := e.layers(ref, "export")
	if err != nil {
		return err
	}
	if err := e.Harden(); err != nil {
		return err
	}
	root, err := e.Snapshots.OpenMerged(r.ID, m.Lower, e.Overlay(), e.Root)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	if err := layer.Pack(ctx, root, w, layer.PackOptions{}); err != nil {
		return err
	}
	e.Note("export", r)
	return nil
}
