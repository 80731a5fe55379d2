package runc

import (
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/spec/userdb"
	"golang.org/x/sys/unix"
)

// maxPasswd bounds what is read of a container's passwd file.
const maxPasswd = 1 << 20

// homeOf finds a user's home; "/" if there is no such user.
func homeOf(passwd string, uid uint32) string {
	if e, ok := userOf(passwd, uid); ok && e.Home != "" && strings.IndexByte(e.Home, 0) < 0 {
		return e.Home
	}
	return "/"
}

// ownerName is the name of a user of this machine, or #UID.
func ownerName(uid int) string {
	if e, ok := userOf(readInRoot("/", "etc/passwd"), uint32(uid)); ok {
		return e.Name
	}
	return "#" + strconv.Itoa(uid)
}

func userOf(passwd string, uid uint32) (userdb.PasswdEntry, bool) {
	return userdb.FindPasswd([]byte(passwd), func(e *userdb.PasswdEntry) bool { return e.UID == uid })
}

// readInRoot reads a regular file of a root that is not trusted; "" if it
// cannot be read.
func readInRoot(root, name string) string {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(dir) }()
	fd, err := fsatomic.OpenIn(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPasswd))
	if err != nil {
		return ""
	}
	return string(b)
}
