package layer

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// inRoot keeps every resolution below the root fd, on any symbolic link.
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// openIn opens p below the directory fd root.
func openIn(root int, p string, flags uint64) (int, error) {
	return fsatomic.OpenIn(root, p, flags, inRoot)
}

// cleanName makes an entry's name relative to the root: "." for the root
// itself. ok is false when it climbs out.
func cleanName(name string) (clean string, ok bool) {
	clean = path.Clean(strings.TrimLeft(name, "/"))
	return clean, clean != ".." && !strings.HasPrefix(clean, "../")
}

func splitName(clean string) (dir, base string) {
	if i := strings.LastIndexByte(clean, '/'); i >= 0 {
		return clean[:i], clean[i+1:]
	}
	return ".", clean
}

func depth(clean string) int { return 1 + strings.Count(clean, "/") }

// within reports whether p is dir or below it.
func within(p, dir string) bool {
	return p == dir || dir == "." || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// procPath names an entry of a directory fd for the calls that take only a
// path (lsetxattr and its like; setxattrat came with Linux 6.13). The fd's
// link leads to what the fd has open, so nothing is resolved twice.
func procPath(dirfd int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(dirfd) + "/" + name
}

// fdPath names what a descriptor stands for, for the calls that take no O_PATH
// descriptor.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

func lstatAt(dirfd int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func exists(err error) bool { return errors.Is(err, unix.EEXIST) }

func missing(err error) bool { return errors.Is(err, unix.ENOENT) }
