package layer

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// PackOptions of Pack.
type PackOptions struct {
	// Whiteouts turns overlay's marks back into entries of a layer. Without
	// it, a device 0:0 is a device.
	Whiteouts bool
	UserXattr bool // the marks are user.overlay.*

	Mounts bool                             // goes on into what is mounted in the tree
	Owner  func(uid, gid uint32) (u, g int) // what the archive calls an owner; nil: the same
}

// Pack writes the tree below the directory fd root as a tar stream. The stream
// depends only on names, content and attributes: entries are sorted, always in
// PAX form, and the user names of the host are left out. So a layer that was
// made by Pack can be packed again, bit for bit, as long as its tree lives.
//
// Sockets are left out, and so is what other file systems have mounted in the
// tree; a mount point remains as a directory.
func Pack(ctx context.Context, root int, w io.Writer, o PackOptions) error {
	return PackAs(ctx, root, ".", w, o)
}

// PackAs writes one file, which fd stands for and may be O_PATH, as an entry
// of the given name; a directory with all that is below it.
//
// Somebody may be changing the tree meanwhile, whom we do not trust: whatever
// is opened was looked at by descriptor before (a device may do something when
// it is opened), no link is followed, and what has gone is left out.
func PackAs(ctx context.Context, fd int, name string, w io.Writer, o PackOptions) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	p := &packer{ctx: ctx, tw: tar.NewWriter(w), o: o, dev: st.Dev, links: map[inode]string{}, buf: make([]byte, 256<<10)}
	if err := p.object(fd, name, &st); err != nil {
		return p.blame(name, err)
	}
	return p.tw.Close()
}

// inode is a file whatever its names.
type inode struct{ dev, ino uint64 }

type packer struct {
	ctx   context.Context //nolint:containedctx // lives for one call
	tw    *tar.Writer
	o     PackOptions
	dev   uint64
	links map[inode]string // first name of each inode with several
	buf   []byte
}

func (p *packer) blame(name string, err error) error {
	var fe *fault.Error
	if err == nil || errors.As(err, &fe) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("pack %q: %w", name, err)
}

// children packs what the directory fd holds; prefix is "" or ends in a slash.
func (p *packer) children(dirfd int, prefix string) error {
	entries, err := fsatomic.Entries(dirfd)
	if err != nil {
		return p.blame(prefix, err)
	}
	slices.SortFunc(entries, func(a, b fsatomic.Entry) int { return cmp.Compare(a.Name, b.Name) })
	for _, e := range entries {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(e.Name, whiteoutPrefix) {
			continue // it would be a whiteout
		}
		if err := p.entry(dirfd, prefix, e.Name); err != nil {
			return p.blame(prefix+e.Name, err)
		}
	}
	return nil
}

func (p *packer) entry(dirfd int, prefix, base string) error {
	fd, err := unix.Openat(dirfd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if missing(err) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = p.object(fd, prefix+base, &st)
	}
	return errors.Join(err, unix.Close(fd))
}

// object packs what an O_PATH descriptor stands for.
func (p *packer) object(fd int, name string, st *unix.Stat_t) error {
	if isDir(st) {
		return p.directory(fd, name, st)
	}
	hdr := p.header(name, st)
	if p.o.Whiteouts && isWhiteout(st) { // all are links of one inode, since Linux 5.8
		dir, base := splitName(name)
		hdr.Name = path.Join(dir, whiteoutPrefix+base)
		hdr.Typeflag, hdr.Mode = tar.TypeReg, 0
		return p.tw.WriteHeader(hdr)
	}
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		id := inode{st.Dev, st.Ino}
		if first, ok := p.links[id]; ok {
			hdr.Typeflag, hdr.Linkname = tar.TypeLink, first
			return p.tw.WriteHeader(hdr)
		}
		p.links[id] = name
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return p.file(fd, hdr)
	case unix.S_IFLNK:
		hdr.Typeflag = tar.TypeSymlink
		n, err := unix.Readlinkat(fd, "", p.buf)
		if err != nil {
			return err
		}
		hdr.Linkname = string(p.buf[:n])
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	case unix.S_IFSOCK:
		return nil
	}
	self := fdPath(fd)
	err := p.xattrs(hdr, func(b []byte) (int, error) { return unix.Listxattr(self, b) },
		func(name string, b []byte) (int, error) { return unix.Getxattr(self, name, b) })
	if err != nil {
		return err
	}
	return p.tw.WriteHeader(hdr)
}

func (p *packer) directory(path int, name string, st *unix.Stat_t) error {
	fd, err := unix.Openat(path, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err = p.dirEntry(fd, name+"/", st); err == nil && (st.Dev == p.dev || p.o.Mounts) {
		err = p.children(fd, strings.TrimPrefix(name+"/", "./"))
	}
	return errors.Join(err, unix.Close(fd))
}

func (p *packer) dirEntry(fd int, name string, st *unix.Stat_t) error {
	hdr := p.header(name, st)
	hdr.Typeflag = tar.TypeDir
	if err := p.xattrsFD(hdr, fd); err != nil {
		return err
	}
	if err := p.tw.WriteHeader(hdr); err != nil {
		return err
	}
	if !p.o.Whiteouts {
		return nil
	}
	var v [2]byte
	n, err := unix.Fgetxattr(fd, OpaqueXattr(p.o.UserXattr), v[:])
	if err != nil || n != 1 || v[0] != 'y' {
		return nil //nolint:nilerr // no such attribute: not opaque
	}
	mark := p.header(strings.TrimPrefix(name, "./")+whiteoutOpaque, st)
	mark.Typeflag, mark.Mode = tar.TypeReg, 0
	return p.tw.WriteHeader(mark)
}

func (p *packer) file(path int, hdr *tar.Header) error {
	fd, err := unix.Open(fdPath(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(p.content(fd, hdr), unix.Close(fd))
}

func (p *packer) content(fd int, hdr *tar.Header) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	hdr.Typeflag, hdr.Size = tar.TypeReg, st.Size
	if err := p.xattrsFD(hdr, fd); err != nil {
		return err
	}
	if err := p.tw.WriteHeader(hdr); err != nil {
		return err
	}
	for left := st.Size; left > 0; {
		n, err := unix.Read(fd, p.buf[:min(int64(len(p.buf)), left)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.Conflict, "pack %q: it changed while it was read", hdr.Name)
		}
		if _, err := p.tw.Write(p.buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
		if err := p.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) xattrsFD(hdr *tar.Header, fd int) error {
	return p.xattrs(hdr, func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(name string, b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
}

func (p *packer) xattrs(hdr *tar.Header, list func([]byte) (int, error), get func(string, []byte) (int, error)) error {
	n, err := list(p.buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil || n == 0 {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(p.buf[:n]), "\x00"), "\x00") {
		if !wantXattr(name) {
			continue
		}
		n, err := get(name, p.buf)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // removed meanwhile, or an ACL without a store
		}
		if err != nil {
			return err
		}
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = make(map[string]string)
		}
		hdr.PAXRecords[paxXattr+name] = string(p.buf[:n])
	}
	return nil
}

func (p *packer) header(name string, st *unix.Stat_t) *tar.Header {
	uid, gid := int(st.Uid), int(st.Gid)
	if p.o.Owner != nil {
		uid, gid = p.o.Owner(st.Uid, st.Gid)
	}
	return &tar.Header{
		Format:  tar.FormatPAX,
		Name:    name,
		Mode:    int64(st.Mode & 0o7777),
		Uid:     uid,
		Gid:     gid,
		ModTime: time.Unix(st.Mtim.Unix()),
	}
}
