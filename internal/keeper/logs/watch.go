package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watcher waits for a log to change.
type watcher struct {
	dir   string
	there bool          // dir itself is watched
	fds   []unix.PollFd // inotify, the end of the context, and what wakes
	stop  func() bool   // of what tells of the end of the context
	told  chan struct{} // it has told
}

// newWatcher watches the files of a directory. Until it exists that is the nearest
// one above it, in which it, or the next on the way to it, will be made. On a file
// system without inotify the log is looked at in intervals.
func newWatcher(ctx context.Context, dir string, wake []int) (*watcher, error) {
	in, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow log: %w", err)
	}
	done, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(in)
		return nil, fmt.Errorf("follow log: %w", err)
	}
	w := &watcher{dir: dir, told: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, func() {
		_, _ = unix.Write(done, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		close(w.told)
	})
	for _, fd := range append([]int{in, done}, wake...) {
		w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	w.watch()
	return w, nil
}

// watch adds the watches. What is made between the look at a directory and the watch
// on the one above it is seen by a second look.
func (w *watcher) watch() {
	if w.there {
		return
	}
	for dir, below := w.dir, ""; dir != ""; {
		mask := uint32(unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR)
		if below == "" {
			mask |= unix.IN_MODIFY | unix.IN_DELETE | unix.IN_DELETE_SELF
		}
		_, err := unix.InotifyAddWatch(int(w.fds[0].Fd), dir, mask)
		switch {
		case err == nil && below == "":
			w.there = true
			return
		case err == nil && unix.Access(below, unix.F_OK) != nil:
			return
		case err == nil:
			dir, below = w.dir, ""
		case err == unix.ENOENT:
			dir, below = dir[:max(0, strings.LastIndexByte(dir, '/'))], dir
		default:
			return
		}
	}
}

// wait waits until something has changed, or for the limit; 0 is none.
func (w *watcher) wait(limit time.Duration) error {
	if (!w.there || !w.wakes()) && (limit == 0 || limit > time.Second) {
		limit = time.Second // nothing tells of everything
	}
	ms := -1
	if limit > 0 {
		ms = int(max(1, min(limit, time.Hour).Milliseconds()))
	}
	_, err := unix.Poll(w.fds, ms)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("follow log: %w", err)
	}
	var b [4096]byte
	for {
		if n, err := unix.Read(int(w.fds[0].Fd), b[:]); n <= 0 || err != nil {
			break // EAGAIN: all is read
		}
	}
	for i := 2; i < len(w.fds); i++ {
		if w.fds[i].Revents != 0 {
			w.fds[i].Fd = -1 // it stays readable: said once
		}
	}
	w.watch()
	return nil
}

// wakes says that one of those is left that tell when the writer has ended.
func (w *watcher) wakes() bool {
	return slices.ContainsFunc(w.fds[2:], func(p unix.PollFd) bool { return p.Fd >= 0 })
}

func (w *watcher) close() {
	if !w.stop() {
		<-w.told
	}
	_ = unix.Close(int(w.fds[0].Fd))
	_ = unix.Close(int(w.fds[1].Fd))
}
