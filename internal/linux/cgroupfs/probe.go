package cgroupfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Probe reads where this process's cgroup hierarchies are.
func Probe() (cgroup.Layout, error) {
	mounts, err := readAt(unix.AT_FDCWD, "/proc/self/mountinfo")
	if err != nil {
		return cgroup.Layout{}, fail("read", "/proc/self/mountinfo", err)
	}
	self, err := readAt(unix.AT_FDCWD, "/proc/self/cgroup")
	if err != nil {
		return cgroup.Layout{}, fail("read", "/proc/self/cgroup", err)
	}
	l, err := cgroup.ParseLayout(mounts, self, "")
	if err != nil {
		return cgroup.Layout{}, err
	}
	if i := l.Unified(); i >= 0 {
		file := l.Hierarchies[i].Mount + "/cgroup.controllers"
		text, err := readAt(unix.AT_FDCWD, file)
		if err != nil {
			return cgroup.Layout{}, fail("read", file, err)
		}
		l.Hierarchies[i].Controllers = strings.Fields(text)
	}
	return l, nil
}
