package cgroupfs

import (
	"fmt"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// OOMWatch tells when the kernel kills for memory in a group.
type OOMWatch struct {
	// FD becomes readable when something has happened: poll it, then call
	// Read.
	FD int

	g     *Group
	kills uint64
}

// WatchOOM begins to watch: on v1 by an eventfd of memory.oom_control, on v2
// by inotify of memory.events.
func (g *Group) WatchOOM() (*OOMWatch, error) {
	i := g.layout.Find("memory")
	if i < 0 || g.dir(i) < 0 {
		return nil, fault.New(fault.Unsupported, "watch cgroup %s: no memory controller", g.path)
	}
	w := &OOMWatch{FD: -1, g: g}
	var err error
	if g.layout.Hierarchies[i].Unified {
		err = w.inotify(g.target(i) + "/memory.events")
	} else {
		err = w.eventfd(g.dir(i))
	}
	if err == nil {
		w.kills, err = g.OOMKills()
	}
	if err != nil {
		w.Close()
		return nil, fail("watch", g.target(i), err)
	}
	return w, nil
}

func (w *OOMWatch) inotify(path string) (err error) {
	if w.FD, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return err
	}
	_, err = unix.InotifyAddWatch(w.FD, path, unix.IN_MODIFY)
	return err
}

func (w *OOMWatch) eventfd(dir int) (err error) {
	if w.FD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	control, err := openat(dir, "memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer closeFD(&control)
	return writeAt(dir, "cgroup.event_control", fmt.Sprintf("%d %d", w.FD, control))
}

// Read takes what has happened and returns how many processes were killed
// since the last Read.
func (w *OOMWatch) Read() (uint64, error) {
	var buf [4096]byte
	_, _ = unix.Read(w.FD, buf[:]) // EAGAIN: nothing
	kills, err := w.g.OOMKills()
	if err != nil {
		return 0, err
	}
	n := kills - w.kills
	w.kills = kills
	return n, nil
}

// Close ends the watch.
func (w *OOMWatch) Close() { closeFD(&w.FD) }
