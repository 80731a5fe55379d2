package containers

import (
	"context"
	"errors"
	"io"
	"os"
	"path"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/storage/layer"
	"golang.org/x/sys/unix"
)

// CopyOptions are how files are copied to or from a container.
type CopyOptions struct {
	Archive bool // keep owners and groups, and what programs have of them
	Follow  bool // copy what a link leads to
}

// place is a root and a path in it: of a container, or of the host.
type place struct {
	root    int
	resolve uint64
}

// hostPlace is this process's own file system.
var hostPlace = place{unix.AT_FDCWD, 0}

func (v *view) place() place { return place{v.root, plan.InRoot} }

// open opens a path. O_CLOEXEC is added.
func (p place) open(name string, flags uint64) (int, error) {
	return fsatomic.OpenIn(p.root, name, flags, p.resolve)
}

// source opens what is to be copied.
func (p place) source(name string, follow bool) (int, *copySource, error) {
	s := &copySource{copyPath: parseCopyPath(name)}
	flags := uint64(unix.O_PATH)
	if s.slash {
		flags |= unix.O_DIRECTORY
	} else if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := p.open(s.clean, flags)
	if err != nil {
		return -1, nil, pathError(name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return -1, nil, pathError(name, err)
	}
	s.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	return fd, s, nil
}

// dest looks at where it is to go. A link is followed; one that leads nowhere
// is where a file can be made.
func (p place) dest(name string) (*copyDest, error) {
	d := &copyDest{copyPath: parseCopyPath(name)}
	fd, err := p.open(d.clean, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return d, nil
	}
	if err != nil {
		return nil, pathError(name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, pathError(name, err)
	}
	d.exists = true
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		d.dir = true
	case unix.S_IFREG:
		if d.slash {
			return nil, pathError(name, unix.ENOTDIR)
		}
	default:
		return nil, fault.New(fault.Invalid, "destination %q must be a directory or a regular file", name)
	}
	return d, nil
}

func pathError(name string, err error) error {
	return fault.New(fault.KindOf(err), "%s: %w", name, err)
}

// The events of a copy, with Docker's names.
const (
	copyFrom = "archive-path"
	copyTo   = "extract-to-dir"
)

// CopyFrom copies a path of a container to a path of the host and returns the
// number of bytes that files have.
func (e *Room) CopyFrom(ctx context.Context, ref, src, dst string, o *CopyOptions) (int64, error) {
	v, done, err := e.openView(ctx, ref, copyFrom)
	if err != nil {
		return 0, err
	}
	defer done()
	to, err := hostPlace.dest(dst)
	if err != nil {
		return 0, err
	}
	from, s, err := v.place().source(path.Join("/", src)+slashOf(src), o.Follow)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(from) }()
	dir, name, err := to.target(s)
	if err != nil {
		return 0, err
	}
	if !to.exists {
		if to, err = hostPlace.followed(to); err != nil {
			return 0, err
		}
		dir, name = path.Dir(to.clean), path.Base(to.clean)
	}
	root, err := hostPlace.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return 0, fault.New(fault.KindOf(err), "invalid output path: directory %q: %w", dir, err)
	}
	defer func() { _ = unix.Close(root) }()
	x := layer.ExtractOptions{Dir: "."}
	if !o.Archive {
		x.Plain = true
		x.Owner = func(int, int) (int, int) { return host.UID(), host.GID() }
	}
	return transfer(ctx, from, name, layer.PackOptions{Mounts: true, Owner: v.ids.Container}, root, x)
}

// CopyOut writes a path of a container as a tar stream.
func (e *Room) CopyOut(ctx context.Context, ref, src string, w io.Writer, o *CopyOptions) error {
	v, done, err := e.openView(ctx, ref, copyFrom)
	if err != nil {
		return err
	}
	defer done()
	from, s, err := v.place().source(path.Join("/", src)+slashOf(src), o.Follow)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(from) }()
	return layer.PackAs(ctx, from, s.name(), w, layer.PackOptions{Mounts: true, Owner: v.ids.Container})
}

// CopyTo copies a path of the host to a path of a container and returns the
// number of bytes that files have.
func (e *Room) CopyTo(ctx context.Context, src, ref, dst string, o *CopyOptions) (int64, error) {
	from, s, err := hostPlace.source(src, o.Follow)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(from) }()
	v, done, err := e.openView(ctx, ref, copyTo)
	if err != nil {
		return 0, err
	}
	defer done()
	in := v.place()
	to, err := in.dest(path.Join("/", dst) + slashOf(dst))
	if err != nil {
		return 0, err
	}
	dir, name, err := to.target(s)
	if err != nil {
		return 0, err
	}
	if !to.exists {
		if to, err = in.followed(to); err != nil {
			return 0, err
		}
		dir, name = path.Dir(to.clean), path.Base(to.clean)
	}
	x := v.extractOptions(dir)
	if !o.Archive {
		x.Plain = true
		x.Owner = func(int, int) (int, int) { return v.ids.Host(0, 0) }
	}
	if err := in.needDir(dir); err != nil {
		return 0, err
	}
	return transfer(ctx, from, name, layer.PackOptions{Mounts: true}, v.root, x)
}

// CopyIn extracts a tar stream, plain or with gzip, into a directory of a
// container. Owners are those of the archive.
func (e *Room) CopyIn(ctx context.Context, r io.Reader, ref, dst string) (int64, error) {
	v, done, err := e.openView(ctx, ref, copyTo)
	if err != nil {
		return 0, err
	}
	defer done()
	to, err := v.place().dest(path.Join("/", dst) + slashOf(dst))
	if err != nil {
		return 0, err
	}
	if !to.exists {
		return 0, fault.New(fault.NotFound, "could not find the file %s", to.clean)
	}
	if !to.dir {
		return 0, fault.New(fault.Invalid, "destination %q must be a directory", dst)
	}
	in, err := layer.Decompress(r, nil)
	if err != nil {
		return 0, err
	}
	res, err := layer.Extract(ctx, in, v.root, v.extractOptions(to.clean))
	return res.Bytes, errors.Join(err, in.Close())
}

func (v *view) extractOptions(dir string) layer.ExtractOptions {
	return layer.ExtractOptions{Dir: path.Join(".", dir), Owner: v.ids.Host}
}

// slashOf is what path.Join drops of a path.
func slashOf(p string) string {
	switch c := parseCopyPath(p); {
	case c.contents:
		return "/."
	case c.slash:
		return "/"
	}
	return ""
}

// followed resolves a destination that is not there and may be a link that
// leads nowhere: the file is made where it leads to.
func (p place) followed(d *copyDest) (*copyDest, error) {
	const maxLinks = 40 // MAXSYMLINKS of Linux
	for range maxLinks {
		fd, err := p.open(d.clean, unix.O_PATH|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			return d, nil
		}
		if err != nil {
			return nil, pathError(d.clean, err)
		}
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", buf)
		_ = unix.Close(fd)
		if err != nil {
			return nil, pathError(d.clean, err) // it has just been made
		}
		to := string(buf[:n])
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(d.clean), to)
		}
		d = &copyDest{copyPath: copyPath{clean: path.Clean(to), slash: d.slash}}
	}
	return nil, pathError(d.clean, unix.ELOOP)
}

// needDir makes sure that the directory to extract to is there: parents are
// not made.
func (p place) needDir(dir string) error {
	fd, err := p.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return pathError(dir, err)
	}
	return unix.Close(fd)
}

// transfer copies through an archive that is never whole: packed here,
// extracted there.
func transfer(ctx context.Context, from int, name string, p layer.PackOptions, root int, x layer.ExtractOptions) (int64, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	packed := make(chan error, 1)
	go func() {
		err := layer.PackAs(ctx, from, name, w, p)
		packed <- errors.Join(err, w.Close())
	}()
	res, err := layer.Extract(ctx, r, root, x)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the end mark's padding
	}
	_ = r.Close() // ends the packer if it still writes
	if perr := <-packed; perr != nil && !errors.Is(perr, unix.EPIPE) {
		err = perr
	}
	return res.Bytes, err
}

// openView finds a container and opens its file system.
func (e *Room) openView(ctx context.Context, ref, event string) (*view, func(), error) {
	id, err := e.State.Find(ref)
	if err != nil {
		return nil, nil, err
	}
	v, err := e.view(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	e.Note(event, v.of)
	return v, v.close, nil
}
