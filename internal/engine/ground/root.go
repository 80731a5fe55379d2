package ground

import (
	"errors"
	"strconv"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// OpenRoot opens the root directory of a container's first process, with all
// of its mounts. The process was there before and is after: the descriptor is
// not another's. While another thread of it than the first executes a program,
// the first is a zombie without a root: that passes.
func OpenRoot(p spawn.Process) (int, error) {
	fd, err := -1, error(unix.ENOENT)
	for tries := 0; errors.Is(err, unix.ENOENT) && tries < 1000 && !p.Ended(); tries++ {
		if tries > 0 {
			_, _ = unix.Poll(nil, 1) // nothing tells of its end
		}
		fd, err = unix.Open("/proc/"+strconv.Itoa(p.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if p.Ended() {
		if err == nil {
			_ = unix.Close(fd)
		}
		return -1, ErrNotRunning
	}
	if err != nil {
		return -1, fault.New(fault.KindOf(err), "open the container's root: %w", err)
	}
	return fd, nil
}
