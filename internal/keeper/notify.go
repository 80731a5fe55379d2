package keeper

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// forward passes on what the container tells the service manager. Its main
// process is this one: the container's is in a cgroup that the manager does
// not know.
func (k *keeper) forward() {
	n, err := unix.Read(k.Notify, k.request[:4096])
	if err != nil || n <= 0 {
		return
	}
	k.notify(k.request[:n])
}

func (k *keeper) notify(text []byte) {
	if k.NotifyTo == "" {
		return
	}
	var out []byte
	for _, line := range bytes.Split(text, []byte{'\n'}) {
		if len(line) == 0 || bytes.HasPrefix(line, []byte("MAINPID=")) {
			continue
		}
		out = append(append(out, line...), '\n')
		if bytes.Equal(line, []byte("READY=1")) {
			out = append(strconv.AppendInt(append(out, "MAINPID="...), int64(unix.Getpid()), 10), '\n')
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	_ = unix.Sendto(fd, out, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, &unix.SockaddrUnix{Name: k.NotifyTo}) // it may be gone
	_ = unix.Close(fd)
}
