package runc

import (
	"fmt"
	"os"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// sendConsole sends a terminal's master over the unix socket at path: its
// name as data, the descriptor beside it, as runc does.
func sendConsole(path string, master *os.File) error {
	if master == nil {
		return fault.New(fault.Internal, "send terminal: there is none")
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	defer func() { _ = unix.Close(sock) }()
	for {
		if err = unix.Connect(sock, &unix.SockaddrUnix{Name: path}); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("connect to console socket %s: %w", path, err)
	}
	for {
		err = unix.Sendmsg(sock, []byte("/dev/ptmx"), unix.UnixRights(int(master.Fd())), nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("send terminal to %s: %w", path, err)
	}
	return nil
}
