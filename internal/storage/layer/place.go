package layer

import (
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// openParent returns the fd of the directory dir, which belongs to u. It makes
// what is missing.
func (u *unpacker) openParent(dir string) (int, error) {
	if dir == "." {
		return u.root, nil
	}
	if u.parentFD >= 0 && u.parent == dir {
		return u.parentFD, nil
	}
	fd, err := openIn(u.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if missing(err) || errors.Is(err, unix.ENOTDIR) {
		fd, err = u.makeParents(dir)
	}
	if err != nil {
		return -1, err
	}
	u.dropParent()
	u.parent, u.parentFD = dir, fd
	return fd, nil
}

func (u *unpacker) dropParent() {
	if u.parentFD >= 0 {
		_ = unix.Close(u.parentFD) // a directory: nothing to lose
		u.parentFD = -1
	}
}

// makeParents makes the missing components of dir. A whiteout in the way is
// replaced: the directory then hides all that lower layers have there.
func (u *unpacker) makeParents(dir string) (int, error) {
	fd := -1
	for at := 0; at >= 0; {
		next := strings.IndexByte(dir[at:], '/')
		part := dir
		if next >= 0 {
			part = dir[:at+next]
			at += next + 1
		} else {
			at = -1
		}
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		var err error
		if fd, err = u.makeParent(part); err != nil {
			return -1, err
		}
	}
	return fd, nil
}

func (u *unpacker) makeParent(part string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY
	fd, err := openIn(u.root, part, flags)
	if err == nil || !missing(err) && !errors.Is(err, unix.ENOTDIR) {
		return fd, err
	}
	above, base := splitName(part)
	parent, err := openIn(u.root, above, flags)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(parent) }()
	hidden := false
	if st, err := lstatAt(parent, base); err == nil {
		if !isWhiteout(&st) {
			return -1, unix.ENOTDIR
		}
		hidden = true
		if err := unix.Unlinkat(parent, base, 0); err != nil {
			return -1, err
		}
	}
	if err := unix.Mkdirat(parent, base, 0o755); err != nil {
		return -1, err
	}
	fd, err = unix.Openat(parent, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Fchmod(fd, 0o755) // whatever the umask is
	if err == nil && hidden {
		err = u.setOpaque(fd)
	} else if err == nil {
		u.implied[part] = true
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// replace makes an entry, removing what has its name: the last entry wins.
func (u *unpacker) replace(parent int, name, base string, mk func() error) error {
	err := mk()
	if !exists(err) {
		return err
	}
	st, err := lstatAt(parent, base)
	if err != nil {
		return err
	}
	if isDir(&st) {
		// The cached directory may go away with it, unless it is the one
		// that the entry lies in.
		if parent != u.parentFD {
			u.dropParent()
		}
		for p := range u.times {
			if p != "." && within(p, name) {
				delete(u.times, p)
			}
		}
		for p := range u.implied {
			if p != "." && within(p, name) {
				delete(u.implied, p)
			}
		}
	}
	if err := fsatomic.RemoveTree(parent, base); err != nil {
		return err
	}
	return mk()
}

// holeSize is the run of zeroes that is left out of a file. Smaller holes
// would break the file into more extents than they save.
const holeSize = 32 << 10

func (u *unpacker) file(parent int, name, base string, attr *attr, size int64, content io.Reader) error {
	if size > u.limits.Bytes-u.res.Bytes {
		return fault.New(fault.Invalid, "unpack %q: the layer has more than %d bytes", name, u.limits.Bytes)
	}
	u.res.Bytes += size
	if u.o.Charge != nil {
		if err := u.o.Charge(size); err != nil {
			return err
		}
	}
	fd := -1
	err := u.replace(parent, name, base, func() (err error) {
		fd, err = unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, attr.mode&0o777)
		return err
	})
	if err != nil {
		return err
	}
	err = u.write(fd, size, content)
	if err == nil {
		err = u.settle(fd, attr)
	}
	if err == nil {
		err = setTimesFD(fd, attr.times)
	}
	return errors.Join(err, unix.Close(fd))
}

// write copies content to fd, with holes where it is zero.
func (u *unpacker) write(fd int, size int64, content io.Reader) error {
	var off int64
	hole := false
	for off < size {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(content, u.buf[:min(int64(len(u.buf)), size-off)])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		for rest := u.buf[:n]; len(rest) > 0; {
			k := zeroRun(rest)
			if hole = k > 0; !hole {
				k = dataRun(rest)
				if err := pwriteAll(fd, rest[:k], off); err != nil {
					return err
				}
			}
			rest = rest[k:]
			off += int64(k)
		}
	}
	if hole {
		return unix.Ftruncate(fd, size)
	}
	return nil
}

// zeroRun returns the length of the zeroes that buf starts with, in units of
// holeSize.
func zeroRun(buf []byte) int {
	n := 0
	for n+holeSize <= len(buf) && allZero(buf[n:n+holeSize]) {
		n += holeSize
	}
	return n
}

// dataRun returns the length up to the next unit of zeroes.
func dataRun(buf []byte) int {
	n := 0
	for n < len(buf) && (n+holeSize > len(buf) || !allZero(buf[n:n+holeSize])) {
		n += min(holeSize, len(buf)-n)
	}
	return n
}

func allZero(b []byte) bool {
	// Data most often differs at once.
	if b[0]|b[len(b)/2]|b[len(b)-1] != 0 {
		return false
	}
	for len(b) >= 8 {
		if b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func pwriteAll(fd int, data []byte, off int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, off)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		n = max(n, 0)
		data = data[n:]
		off += int64(n)
	}
	return nil
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
