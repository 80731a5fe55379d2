package fsatomic

import "golang.org/x/sys/unix"

// maxRaces bounds the tries of OpenIn.
const maxRaces = 100_000

// OpenIn opens name below the directory fd dir, as openat2(2) resolves it; the
// errors are its errnos. O_CLOEXEC is added. What a rename or a mount elsewhere on
// the machine raced (EAGAIN, where the path has a "..") is tried again.
func OpenIn(dir int, name string, flags, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	for races := 0; ; {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN && races < maxRaces:
			races++
		default:
			return fd, err
		}
	}
}
