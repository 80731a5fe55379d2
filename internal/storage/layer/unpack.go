package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// Options of Unpack.
type Options struct {
	Limits Limits
	Digest bool // compute Result.DiffID
	// UserXattr is for stores of a user namespace: opaque marks are
	// user.overlay.*, and device nodes are left out, since the kernel lets
	// nobody there make or use them; a container gets its devices when it
	// starts.
	UserXattr bool
	// MaxStream bounds the stream, headers included, in bytes: what a blob of
	// its size may reasonably decompress to. 0 is no bound.
	MaxStream int64
	// Charge is called with the size of each file before it is written, for
	// bounds of several layers together. May be nil.
	Charge func(n int64) error
}

// Result tells what Unpack made.
type Result struct {
	DiffID  string // "sha256:HEX" of the whole stream, with Options.Digest
	Size    int64  // bytes of the stream
	Entries int64
	Bytes   int64 // of file content
	Skipped int64 // extended attributes that the file system does not take
	Devices int64 // device nodes left out, see Options.UserXattr

	// Implied holds the directories that entries needed but that the stream
	// did not describe, "." for the root, parents first. Their attributes
	// are those of the layers below, if these have them.
	Implied []string
}

// Unpack makes the tree of the uncompressed tar stream r below root, an fd of
// a directory that only the caller can reach. What it made is left in place on
// an error. The error is Invalid for what the stream is to blame for.
func Unpack(ctx context.Context, r io.Reader, root int, o Options) (Result, error) {
	in := readAhead(ctx, r, o.Digest, o.MaxStream)
	defer in.close()
	u := &unpacker{
		ctx: ctx, root: root, opaque: OpaqueXattr(o.UserXattr), limits: o.Limits.orDefault(), o: &o,
		implied: map[string]bool{".": true}, times: map[string][2]unix.Timespec{}, parentFD: -1,
		buf: make([]byte, 256<<10),
	}
	var err error
	if u.fresh, err = probe(root); err != nil {
		return u.res, fmt.Errorf("unpack layer: %w", err)
	}
	err = u.run(tar.NewReader(in))
	u.dropParent()
	if err == nil {
		err = in.drain() // what follows the end mark counts for the digest
	}
	if err != nil {
		return u.res, err
	}
	u.res.Size = in.total
	u.res.Implied = sortedKeys(u.implied)
	u.res.DiffID = in.digest()
	return u.res, nil
}

type unpacker struct {
	ctx    context.Context //nolint:containedctx // lives for one call
	root   int
	opaque string
	limits Limits
	o      *Options
	fresh  fresh
	res    Result

	links   bool                        // aufsLinks is there, until the end
	implied map[string]bool             // directories made without an entry
	times   map[string][2]unix.Timespec // set last: making entries changes them

	// The directory of the last entry, which most often is that of the next.
	parent   string
	parentFD int

	buf []byte
}

func (u *unpacker) run(tr *tar.Reader) error {
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if err := u.dropLinks(); err != nil {
				return err
			}
			return u.setTimes()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return streamError(err)
		}
		if err := u.ctx.Err(); err != nil {
			return err
		}
		if hdr.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if u.res.Entries++; u.res.Entries > u.limits.Entries {
			return fault.New(fault.Invalid, "unpack layer: more than %d entries", u.limits.Entries)
		}
		if err := u.entry(hdr, tr); err != nil {
			return blame(hdr.Name, err)
		}
	}
}

// streamError gives errors of the tar format a kind; those of the source keep
// theirs.
func streamError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "unpack layer: the archive is cut short")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fault.New(fault.Invalid, "unpack layer: no valid tar archive")
	}
	return err
}

// blame adds the entry's name to an error that has none yet.
func blame(name string, err error) error {
	var fe *fault.Error
	if errors.As(err, &fe) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Invalid, "unpack %q: %w", name, err)
	}
	return fmt.Errorf("unpack %q: %w", name, err)
}

func (u *unpacker) entry(hdr *tar.Header, content io.Reader) error {
	name, ok := cleanName(hdr.Name)
	if !ok {
		return invalid(hdr.Name, "the name leaves the layer")
	}
	if depth(name) > u.limits.Depth {
		return fault.New(fault.Invalid, "unpack %.64q…: deeper than %d directories", hdr.Name, u.limits.Depth)
	}
	attr, err := attrOf(hdr)
	if err != nil {
		return err
	}
	if name == "." {
		if hdr.Typeflag != tar.TypeDir {
			return invalid(hdr.Name, "the root is not a directory")
		}
		delete(u.implied, ".")
		u.times["."] = attr.times
		u.fresh.setgid = u.fresh.setgid || attr.mode&unix.S_ISGID != 0
		return u.apply(u.root, &attr)
	}

	dir, base := splitName(name)
	if reserved(dir) {
		if dir != aufsLinks || hdr.Typeflag != tar.TypeReg {
			return nil // bookkeeping
		}
		u.links = true
	}
	parent, err := u.openParent(dir)
	if err != nil {
		return err
	}
	if strings.HasPrefix(base, whiteoutPrefix) && !reserved(dir) {
		return u.whiteout(parent, dir, base, attr.times)
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		return u.directory(parent, name, base, &attr)
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont, tar.TypeGNUSparse: //nolint:staticcheck // old archives have TypeRegA
		return u.file(parent, name, base, &attr, hdr.Size, content)
	case tar.TypeLink:
		return u.hardLink(parent, name, base, hdr.Linkname)
	case tar.TypeSymlink:
		err = u.replace(parent, name, base, func() error { return unix.Symlinkat(hdr.Linkname, parent, base) })
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if u.o.UserXattr && hdr.Typeflag != tar.TypeFifo && (hdr.Devmajor != 0 || hdr.Devminor != 0) {
			u.res.Devices++
			return nil
		}
		err = u.node(parent, name, base, hdr)
	default:
		return invalid(hdr.Name, fmt.Sprintf("entries of type %q are not supported", hdr.Typeflag))
	}
	if err != nil {
		return err
	}
	return u.applyAt(parent, base, &attr, hdr.Typeflag == tar.TypeSymlink)
}

func (u *unpacker) node(parent int, name, base string, hdr *tar.Header) error {
	mode, dev, err := nodeOf(hdr)
	if err != nil {
		return err
	}
	return u.replace(parent, name, base, func() error { return unix.Mknodat(parent, base, mode|0o600, dev) })
}

func (u *unpacker) directory(parent int, name, base string, attr *attr) error {
	hidden, old := false, false
	mk := func() error { return unix.Mkdirat(parent, base, attr.mode&0o777) }
	err := mk()
	if exists(err) {
		st, serr := lstatAt(parent, base)
		if serr != nil {
			return serr
		}
		if isDir(&st) {
			err, old = nil, true // entries that came before it stay
		} else {
			hidden = isWhiteout(&st)
			err = u.replace(parent, name, base, mk)
		}
	}
	if err != nil {
		return err
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if old {
		err = u.apply(fd, attr)
	} else {
		err = u.settle(fd, attr)
	}
	if err == nil && hidden {
		err = u.setOpaque(fd)
	}
	u.fresh.setgid = u.fresh.setgid || attr.mode&unix.S_ISGID != 0
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	delete(u.implied, name)
	u.times[name] = attr.times
	u.dropParent() // entries of this directory come next
	u.parent, u.parentFD = name, fd
	return nil
}

func (u *unpacker) hardLink(parent int, name, base, target string) error {
	to, ok := cleanName(target)
	if !ok {
		return invalid(name, "its link target leaves the layer")
	}
	if to == name {
		return nil
	}
	dir, file := splitName(to)
	from, err := openIn(u.root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		var st unix.Stat_t
		if st, err = lstatAt(from, file); err == nil && isWhiteout(&st) {
			err = unix.ENOENT // what it stands for is not there
		}
		if err == nil {
			err = u.replace(parent, name, base, func() error { return unix.Linkat(from, file, parent, base, 0) })
		}
		err = errors.Join(err, unix.Close(from))
	}
	switch {
	case missing(err):
		return invalid(name, "its link target "+target+" does not exist")
	case errors.Is(err, unix.EPERM):
		return invalid(name, "its link target "+target+" cannot be linked")
	}
	return err
}

// reserved says that one of the names of a path begins as those of whiteouts do: no
// root has such a name (image-spec, layer.md).
func reserved(path string) bool {
	return strings.HasPrefix(path, whiteoutPrefix) || strings.Contains(path, "/"+whiteoutPrefix)
}

// dropLinks removes what aufs had for files with several names: the links to it stay.
func (u *unpacker) dropLinks() error {
	if !u.links {
		return nil
	}
	delete(u.implied, aufsLinks)
	return fsatomic.RemoveTree(u.root, aufsLinks)
}

// whiteout hides a name of the layers below. The marks of the same layer must
// not hide what this layer itself has.
func (u *unpacker) whiteout(parent int, dir, base string, times [2]unix.Timespec) error {
	if base == whiteoutOpaque {
		fd, err := openIn(u.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		return errors.Join(u.setOpaque(fd), unix.Close(fd))
	}
	if strings.HasPrefix(base, whiteoutMeta) {
		return nil // bookkeeping of aufs
	}
	victim := base[len(whiteoutPrefix):]
	if victim == "" || victim == "." || victim == ".." {
		return invalid(dir+"/"+base, "the whiteout names nothing")
	}
	err := unix.Mknodat(parent, victim, unix.S_IFCHR, 0)
	if err == nil {
		return unix.UtimesNanoAt(parent, victim, times[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	if !exists(err) {
		return err
	}
	fd, err := unix.Openat(parent, victim, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // a file hides what is below it anyway
	}
	if err != nil {
		return err
	}
	return errors.Join(u.setOpaque(fd), unix.Close(fd))
}

func (u *unpacker) setOpaque(fd int) error { return unix.Fsetxattr(fd, u.opaque, []byte("y"), 0) }

// setTimes sets the times of the directories, now that nothing changes in
// them any more.
func (u *unpacker) setTimes() error {
	for name, times := range u.times {
		fd, err := openIn(u.root, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if missing(err) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue // reached through a link that a later entry replaced
		}
		if err != nil {
			return fmt.Errorf("unpack %q: %w", name, err)
		}
		err = setTimesFD(fd, times)
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			return fmt.Errorf("unpack %q: %w", name, err)
		}
	}
	return nil
}
