package sandboxes

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/network"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// Update changes the network of a container that runs, and the files that tell
// of it: in the container itself and in those that have joined its network. A
// container that does not run is a Conflict.
func (r *Room) Update(ctx context.Context, ref string) error {
	id, err := r.State.Find(ref)
	if err != nil {
		return err
	}
	lock, err := r.State.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	rec, st, err := r.Load(id)
	if err != nil {
		return err
	}
	if _, err := st.After(state.Attach); err != nil && st != state.Paused {
		return err
	}
	c, err := ground.Config(rec)
	if err != nil {
		return err
	}
	d := r.driver(c)
	if d == nil {
		return fault.New(fault.Conflict, "its network is that of another container")
	}
	w := &network.Want{Owner: id, Hostname: c.Hostname}
	if rec.Network != nil {
		w.Addresses = rec.Network.Addresses
	}
	p, err := d.Update(ctx, w)
	if err != nil {
		return fault.New(fault.KindOf(err), "update network: %w", err)
	}
	if !slices.Equal(w.Addresses, p.Addresses) {
		rec.Network = &state.Network{Addresses: p.Addresses}
		if err := r.State.Put(rec); err != nil {
			return err
		}
	}
	errs := []error{r.rewrite(rec, c, p)}
	shared, err := r.State.LockSandboxes(id)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer shared.Unlock()
	b, err := r.State.Sandbox(id)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, m := range b.Members {
		if slices.Contains(m.Shares, ofNetwork) && m.Proc.Look() != state.Gone {
			errs = append(errs, r.rewriteOf(m.ID, p))
		}
	}
	return errors.Join(errs...)
}

// rewriteOf is rewrite for a container that has joined.
func (r *Room) rewriteOf(id string, p *network.Prepared) error {
	rec, err := r.State.Get(id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := ground.Config(rec)
	if err != nil {
		return err
	}
	return r.rewrite(rec, c, p)
}

// rewrite gives a container that runs the files that it would start with. One
// that its user has mounted something over is the user's.
func (r *Room) rewrite(rec *state.Record, c *api.ContainerConfig, p *network.Prepared) error {
	in := &compose.Inputs{
		ID: rec.ID, Config: c, Host: &r.Host, Net: true, Resolv: p.Resolv, Hosts: p.Hosts, VolumesFrom: ground.VolumesFrom(rec.Resolved),
		Shared: make(map[string]string),
	}
	for _, n := range ground.Joins(c) {
		in.Shared[n.Option] = "/proc/self/ns/" + n.File
	}
	files, err := compose.NetworkFiles(in)
	if err != nil {
		return err
	}
	held, err := hold(rec.Proc)
	if fault.KindOf(err) == fault.Conflict {
		return nil // it has just ended
	}
	if err != nil {
		return err
	}
	defer held.Release()
	root, err := ground.OpenRoot(held)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	var errs []error
	for _, f := range files {
		if err := replace(root, "etc/"+f.Name, f.Content); err != nil {
			errs = append(errs, fault.New(fault.KindOf(err), "write /etc/%s of container %s: %w", f.Name, rec.ID[:12], err))
		}
	}
	return errors.Join(errs...)
}

// replace writes a small file of a container in its place: programs have it
// mounted, and open. What is not a small file of the engine's making is the
// container's own affair: it may have mounted anything there.
func replace(root int, name string, content []byte) error {
	f, err := openSmall(root, name, os.O_WRONLY)
	if f == nil || err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(content)))
}

// openSmall opens a file that was made for the container, by descriptors: no
// symbolic link is followed, and nothing is opened but a regular file on the
// kind of file system that such files are on. Nil: it is not one.
func openSmall(root int, name string, flags int) (*os.File, error) {
	path, err := fsatomic.OpenIn(root, name, unix.O_PATH|unix.O_NOFOLLOW, plan.InRoot|unix.RESOLVE_NO_SYMLINKS)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, nil //nolint:nilnil // the container has removed it
	case err != nil:
		return nil, err
	}
	defer func() { _ = unix.Close(path) }()
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := errors.Join(unix.Fstat(path, &st), unix.Fstatfs(path, &fs)); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || fs.Type != unix.TMPFS_MAGIC {
		return nil, nil //nolint:nilnil // another one
	}
	return os.OpenFile("/proc/self/fd/"+strconv.Itoa(path), flags|unix.O_CLOEXEC, 0)
}

// read returns /etc/hosts and /etc/resolv.conf of a container, for those that
// join its network. A file that is not there is nil.
func (r *Room) read(p state.Proc) (hosts, resolv []byte, err error) {
	held, err := hold(p)
	if err != nil {
		return nil, nil, err
	}
	defer held.Release()
	root, err := ground.OpenRoot(held)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = unix.Close(root) }()
	for _, f := range []struct {
		name string
		to   *[]byte
	}{{"etc/hosts", &hosts}, {"etc/resolv.conf", &resolv}} {
		file, err := openSmall(root, f.name, os.O_RDONLY)
		if err != nil {
			return nil, nil, err
		}
		if file != nil {
			if *f.to, err = ground.ReadSmall(file, nil); err != nil {
				return nil, nil, fault.New(fault.KindOf(err), "read /%s of the container: %w", f.name, err)
			}
		}
	}
	return hosts, resolv, nil
}
