package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// ExtractOptions say where and how Extract puts what a stream holds.
type ExtractOptions struct {
	Dir    string // below root; it is there
	Limits Limits
	// Owner says who an entry of that owner belongs to; nil: the same.
	Owner func(uid, gid int) (u, g int)
	// Plain leaves out what a program has of its owner: set-id bits and
	// capabilities. Another owner's are not to be had by copying.
	Plain bool
}

// Extract adds the entries of the uncompressed tar stream r to a tree that is
// in use. Names are resolved as if root, an O_PATH descriptor, were "/".
//
// In contrast to Unpack it makes no layer: whiteouts are files like any other,
// directories that are there are added to, and a directory never takes the
// place of something else or the other way round (Invalid). Somebody may be
// changing the tree meanwhile, whom we do not trust: no name is resolved
// outside root (CVE-2018-15664), what an entry replaces is unlinked and never
// written through, and attributes are set by descriptor.
func Extract(ctx context.Context, r io.Reader, root int, o ExtractOptions) (Result, error) {
	x := &extractor{
		u: unpacker{
			ctx: ctx, root: root, limits: o.Limits.orDefault(), o: &Options{}, parentFD: -1, buf: make([]byte, 256<<10),
			times: map[string][2]unix.Timespec{},
			fresh: fresh{setgid: true, acl: true}, // nothing is known of what new files get
		},
		o: o,
	}
	err := x.run(tar.NewReader(r))
	x.u.dropParent()
	return x.u.res, err
}

// extractor uses what of an unpacker does not depend on whose the tree is.
type extractor struct {
	u unpacker
	o ExtractOptions
}

func (x *extractor) run(tr *tar.Reader) error {
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return x.u.setTimes()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return streamError(err)
		}
		if err := x.u.ctx.Err(); err != nil {
			return err
		}
		if hdr.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if x.u.res.Entries++; x.u.res.Entries > x.u.limits.Entries {
			return fault.New(fault.Invalid, "unpack: more than %d entries", x.u.limits.Entries)
		}
		if err := x.entry(hdr, tr); err != nil {
			return blame(hdr.Name, err)
		}
	}
}

func (x *extractor) entry(hdr *tar.Header, content io.Reader) error {
	name, ok := cleanName(hdr.Name)
	if !ok {
		return invalid(hdr.Name, "the name leads out of the archive")
	}
	if depth(name) > x.u.limits.Depth {
		return fault.New(fault.Invalid, "unpack %.64q…: deeper than %d directories", hdr.Name, x.u.limits.Depth)
	}
	if name == "." {
		if hdr.Typeflag != tar.TypeDir {
			return invalid(hdr.Name, "not a directory")
		}
		return nil // the directory that things are put into keeps its attributes
	}
	attr, err := attrOf(hdr)
	if err != nil {
		return err
	}
	if x.o.Owner != nil {
		attr.uid, attr.gid = x.o.Owner(attr.uid, attr.gid)
	}
	if x.o.Plain {
		attr.mode &^= unix.S_ISUID | unix.S_ISGID
		delete(attr.xattrs, capabilityXattr)
	}
	full := path.Join(x.o.Dir, name)
	dir, base := splitName(full)
	parent, err := x.parent(dir)
	if err != nil {
		return err
	}
	if hdr.Typeflag == tar.TypeDir {
		return x.directory(parent, full, base, attr)
	}
	if err := x.clear(parent, base, name); err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont, tar.TypeGNUSparse: //nolint:staticcheck // old archives have TypeRegA
		return x.u.file(parent, full, base, &attr, hdr.Size, content)
	case tar.TypeLink:
		return x.hardLink(parent, base, hdr.Name, hdr.Linkname)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(hdr.Linkname, parent, base); err != nil {
			return err
		}
		return x.attributes(parent, base, unix.S_IFLNK, attr)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		mode, dev, err := nodeOf(hdr)
		if err != nil {
			return err
		}
		err = unix.Mknodat(parent, base, mode|0o600, dev)
		if errors.Is(err, unix.EPERM) && mode != unix.S_IFIFO {
			x.u.res.Skipped++ // a user makes no devices
			return nil
		}
		if err != nil {
			return err
		}
		return x.attributes(parent, base, mode, attr)
	}
	return invalid(hdr.Name, fmt.Sprintf("entries of type %q are not supported", hdr.Typeflag))
}

// parent opens the directory of an entry, and makes what is missing.
func (x *extractor) parent(dir string) (int, error) {
	u := &x.u
	if u.parentFD >= 0 && u.parent == dir {
		return u.parentFD, nil
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY
	fd, err := openIn(u.root, dir, flags)
	if missing(err) && dir != "." {
		above, base := splitName(dir)
		parent, err := x.parent(above)
		if err != nil {
			return -1, err
		}
		if err := unix.Mkdirat(parent, base, 0o755); err != nil && !exists(err) {
			return -1, err
		}
		if x.o.Owner != nil {
			uid, gid := x.o.Owner(0, 0)
			if err := unix.Fchownat(parent, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return -1, err
			}
		}
		if fd, err = openIn(u.root, dir, flags); err != nil {
			return -1, err
		}
	} else if err != nil {
		return -1, err
	}
	u.dropParent()
	u.parent, u.parentFD = dir, fd
	return fd, nil
}

func (x *extractor) directory(parent int, full, base string, a attr) error {
	u := &x.u
	err := unix.Mkdirat(parent, base, 0o700)
	if err != nil && !exists(err) {
		return err
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fault.New(fault.Invalid, "cannot overwrite non-directory %q with directory", full)
	}
	if err != nil {
		return err
	}
	if err := u.apply(fd, &a); err != nil {
		_ = unix.Close(fd)
		return err
	}
	u.times[full] = a.times
	u.dropParent() // entries of this directory come next
	u.parent, u.parentFD = full, fd
	return nil
}

// clear removes the file whose place an entry takes.
func (x *extractor) clear(parent int, base, name string) error {
	err := unix.Unlinkat(parent, base, 0)
	switch {
	case err == nil || missing(err):
		return nil
	case errors.Is(err, unix.EISDIR):
		return fault.New(fault.Invalid, "cannot overwrite directory %q with non-directory", name)
	}
	return err
}

// hardLink links to a file of the same archive.
func (x *extractor) hardLink(parent int, base, name, target string) error {
	to, ok := cleanName(target)
	if !ok {
		return invalid(name, "its link target leads out of the archive")
	}
	dir, file := splitName(path.Join(x.o.Dir, to))
	from, err := openIn(x.u.root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		err = errors.Join(unix.Linkat(from, file, parent, base, 0), unix.Close(from))
	}
	if missing(err) {
		return invalid(name, "its link target "+target+" does not exist")
	}
	return err
}

// attributes sets those of what was made just now and cannot be opened. If
// something else has its name by now, that is left alone.
func (x *extractor) attributes(parent int, base string, kind uint32, a attr) error {
	fd, err := unix.Openat(parent, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != kind || st.Nlink != 1 {
		return fault.New(fault.Conflict, "it was replaced meanwhile")
	}
	if err := unix.Fchownat(fd, "", a.uid, a.gid, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	self := fdPath(fd)
	if kind != unix.S_IFLNK {
		if err := unix.Chmod(self, a.mode); err != nil {
			return err
		}
	}
	for name, value := range a.xattrs {
		if err := x.u.xattrError(name, unix.Setxattr(self, name, []byte(value), 0)); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(parent, base, a.times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// nodeOf returns the type bits and the device number of a node.
func nodeOf(hdr *tar.Header) (mode uint32, dev int, err error) {
	switch hdr.Typeflag {
	case tar.TypeFifo:
		return unix.S_IFIFO, 0, nil
	case tar.TypeBlock:
		mode = unix.S_IFBLK
	default:
		mode = unix.S_IFCHR
	}
	if hdr.Devmajor < 0 || hdr.Devmajor >= 1<<12 || hdr.Devminor < 0 || hdr.Devminor >= 1<<20 {
		return 0, 0, invalid(hdr.Name, "device number out of range")
	}
	return mode, int(unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))), nil
}
