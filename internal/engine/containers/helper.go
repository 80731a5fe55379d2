package containers

import (
	"os"
	"strconv"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"golang.org/x/sys/unix"
)

// HelperCommand is the hidden command that the engine runs of its own program:
// what a starter does, and a keeper's last act.
const HelperCommand = wire.HelperCommand

// ListenFDs is the number of descriptors, from 3 on, that a service manager
// has given this process for its container (sd_listen_fds(3)).
func ListenFDs() int {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(unix.Getpid()) {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1000 {
		return 0
	}
	return n
}
