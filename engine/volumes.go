package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/layer"
)

// anonymousVolume is a directory that a container has of its own, beside its
// writable layer: ROOT/volumes/ID/NAME, where the name is the target's path.
type anonymousVolume struct {
	path   string // on the host
	target string // in the container
}

// volumesDir is where the anonymous volumes of a container lie.
func (e *Engine) volumesDir(id string) string { return e.opt.Root + "/volumes/" + id }

// volumeName makes a path in a container the name of one directory.
func volumeName(target string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(strings.TrimPrefix(target, "/"))
}

// makeVolumes makes the anonymous volumes that are not there, each with what
// the image has at its path, as Docker does.
func (e *Engine) makeVolumes(ctx context.Context, d *draft) error {
	for _, v := range d.composed.volumes {
		if unix.Access(v.path, unix.F_OK) == nil {
			continue // a further start
		}
		if err := e.makeVolume(ctx, d, v); err != nil {
			return fault.New(fault.KindOf(err), "make volume %s: %w", v.target, err)
		}
	}
	return nil
}

func (e *Engine) makeVolume(ctx context.Context, d *draft, v anonymousVolume) error {
	if err := os.MkdirAll(filepath.Dir(v.path), 0o711); err != nil {
		return err
	}
	staging := filepath.Dir(v.path) + "/" + fsatomic.Prefix + filepath.Base(v.path)
	if err := errors.Join(os.RemoveAll(staging), os.Mkdir(staging, 0o755)); err != nil {
		return err
	}
	to, err := unix.Open(staging, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		err = e.fillVolume(ctx, d, v.target, to, staging)
		_ = unix.Close(to)
	}
	if err == nil {
		err = os.Rename(staging, v.path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	return nil
}

// fillVolume copies what the image has at target into the directory to, whose
// path is dir.
func (e *Engine) fillVolume(ctx context.Context, d *draft, target string, to int, dir string) error {
	maps := d.composed.Spec.Linux
	uid, gid, mode := 0, 0, uint32(0o755)
	if d.image != nil {
		root, err := e.snapshots.OpenMerged(d.id, d.image.Lower, e.overlay(), e.opt.Root)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(root) }()
		from, err := unix.Openat2(root, strings.TrimPrefix(target, "/"), &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
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
			if err := copyTree(ctx, from, to, func(u, g int) (int, int) { return hostID(maps.UIDMappings, u), hostID(maps.GIDMappings, g) }); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		os.Lchown(dir, hostID(maps.UIDMappings, uid), hostID(maps.GIDMappings, gid)),
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

// volumesFrom returns the mounts of the containers that --volumes-from names:
// their -v and --mount, their anonymous volumes, and what they have from
// others themselves. One that several have is the first one's.
func (e *Engine) volumesFrom(c *ContainerConfig, depth int) ([]specs.Mount, error) {
	if depth > 16 {
		return nil, fault.New(fault.Invalid, "volumes from: containers take them from one another in a circle")
	}
	var all []specs.Mount
	for _, ref := range c.HostConfig.VolumesFrom {
		name, mode, _ := strings.Cut(ref, ":")
		if mode != "" && mode != "ro" && mode != "rw" {
			return nil, fault.New(fault.Invalid, "volumes from %s: invalid mode: %s", name, mode)
		}
		id, err := e.state.Find(name)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "volumes from %s: %w", name, err)
		}
		r, err := e.state.Get(id)
		if err != nil {
			return nil, err
		}
		other, err := decodeConfig(r)
		if err != nil {
			return nil, err
		}
		set, err := userMounts(other, e.volumesDir(id))
		if err != nil {
			return nil, err
		}
		more, err := e.volumesFrom(other, depth+1)
		if err != nil {
			return nil, err
		}
		for _, m := range append(set.mounts, more...) {
			if m.Type != "bind" || slices.ContainsFunc(all, func(o specs.Mount) bool { return o.Destination == m.Destination }) {
				continue // a tmpfs is its container's own
			}
			if mode == "ro" && !slices.Contains(m.Options, "ro") {
				m.Options = append(slices.Clone(m.Options), "ro")
			}
			all = append(all, m)
		}
	}
	return all, nil
}
