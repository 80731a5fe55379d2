// Package volumes is the engine's room of volumes. There are anonymous ones only,
// which belong to a container.
package volumes

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// Room is the engine's volumes.
type Room struct{ *ground.Ground }

// New returns a room, without I/O.
func New(g *ground.Ground) *Room { return &Room{g} }

// Remove removes the volumes of a container.
func (r *Room) Remove(id string) error { return os.RemoveAll(r.Dir(id)) }

// Dir is where the anonymous volumes of a container lie.
func (r *Room) Dir(id string) string { return r.Root + "/volumes/" + id }

// Make makes the anonymous volumes that are not there, each with what
// the image has at its path, as Docker does.
func (r *Room) Make(ctx context.Context, w *ground.VolumeWant) error {
	for _, v := range w.Volumes {
		if unix.Access(v.Path, unix.F_OK) == nil {
			continue // a further start
		}
		if err := r.make(ctx, w, v); err != nil {
			return fault.New(fault.KindOf(err), "make volume %s: %w", v.Target, err)
		}
	}
	return nil
}

func (r *Room) make(ctx context.Context, w *ground.VolumeWant, v compose.Volume) error {
	if err := os.MkdirAll(filepath.Dir(v.Path), 0o700); err != nil {
		return err
	}
	// Set-user-id files of a container are nobody's on the host (CVE-2021-41091); an
	// older tare made the directory so that others could pass through it.
	if err := os.Chmod(r.Root+"/volumes", 0o700); err != nil { //nolint:gosec // a directory
		return err
	}
	staging := filepath.Dir(v.Path) + "/" + fsatomic.Prefix + filepath.Base(v.Path)
	if err := errors.Join(os.RemoveAll(staging), os.Mkdir(staging, 0o755)); err != nil {
		return err
	}
	to, err := unix.Open(staging, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		err = r.fill(ctx, w, v.Target, to, staging)
		_ = unix.Close(to)
	}
	if err == nil {
		err = os.Rename(staging, v.Path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	return nil
}

// fill copies what the image has at target into the directory to, whose
// path is dir.
func (r *Room) fill(ctx context.Context, w *ground.VolumeWant, target string, to int, dir string) error {
	maps := w.IDs
	uid, gid, mode := 0, 0, uint32(0o755)
	if w.Image != nil {
		root, err := r.Snapshots.OpenMerged(w.ID, w.Image.Lower, r.Overlay(), r.Root)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(root) }()
		from, err := fsatomic.OpenIn(root, strings.TrimPrefix(target, "/"), unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		case err != nil:
			return err
		default:
			defer func() { _ = unix.Close(from) }()
			var st unix.Stat_t
			if err := unix.Fstat(from, &st); err != nil {
				return err
			}
			uid, gid, mode = int(st.Uid), int(st.Gid), st.Mode&0o7777
			if err := copyTree(ctx, from, to, func(u, g int) (int, int) {
				return ground.HostID(maps.UIDMappings, u), ground.HostID(maps.GIDMappings, g)
			}); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		os.Lchown(dir, ground.HostID(maps.UIDMappings, uid), ground.HostID(maps.GIDMappings, gid)),
		unix.Chmod(dir, mode),
	)
}

// copyTree copies what is below one directory into another.
func copyTree(ctx context.Context, from, to int, owner func(uid, gid int) (u, g int)) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := layer.Pack(ctx, from, w, layer.PackOptions{})
		_ = w.CloseWithError(err)
		packed <- err
	}()
	_, err := layer.Extract(ctx, r, to, layer.ExtractOptions{Dir: ".", Owner: owner})
	_ = r.CloseWithError(errors.New("the copy has ended"))
	if perr := <-packed; err == nil {
		err = perr
	}
	return err
}
