package logs

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// watcher waits for a log to change.
type watcher struct {
	fds []unix.PollFd
}

// newWatcher watches the files of a directory. One that does not exist yet, or
// on a file system without inotify, is looked at in intervals.
func newWatcher(dir string, wake []int) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow log: %w", err)
	}
	_, _ = unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_DELETE_SELF)
	w := &watcher{fds: []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}}
	for _, fd := range wake {
		w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return w, nil
}

func (w *watcher) wait(limit time.Duration) error {
	_, err := unix.Poll(w.fds, int(max(1, limit.Milliseconds())))
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("follow log: %w", err)
	}
	var b [4096]byte
	for {
		if n, err := unix.Read(int(w.fds[0].Fd), b[:]); n <= 0 || err != nil {
			break // EAGAIN: all is read
		}
	}
	for i := 1; i < len(w.fds); i++ {
		if w.fds[i].Revents != 0 {
			w.fds[i].Fd = -1 // it stays readable: said once
		}
	}
	return nil
}

func (w *watcher) close() { _ = unix.Close(int(w.fds[0].Fd)) }
