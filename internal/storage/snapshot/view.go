package snapshot

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// OpenMerged returns a descriptor of the root of id as its container sees it,
// without what is mounted in there; lower are the layers, top first. It is
// read-only, attached nowhere, and ends with the descriptor. That the container
// runs does no harm: an upper directory can be a layer of another overlay that
// nobody writes through. target is any directory.
func (s *Store) OpenMerged(id string, lower []string, f Features, target string) (int, error) {
	if err := checkID(id); err != nil {
		return -1, err
	}
	all := lower
	upper := s.dir + "/" + id + "/upper"
	if unix.Access(upper, unix.F_OK) == nil {
		all = append([]string{upper}, lower...)
	}
	fd, err := OpenLayers(all, f, target)
	if err != nil {
		return -1, fmt.Errorf("mount snapshot %s: %w", id, err)
	}
	return fd, nil
}

// OpenLayers is OpenMerged for layers, top first, without a snapshot.
func OpenLayers(lower []string, f Features, target string) (int, error) {
	m, err := MountPlan(Snapshot{Lower: lower, ReadOnly: true}, f)
	switch {
	case err != nil:
		return -1, err
	case m.Bind != "":
		return unix.Open(m.Bind, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	case m.Options != "":
		return openLegacy(&m, target)
	}
	return openConfig(&m)
}

// Attach mounts layers, top first, read-only at the directory target, a path
// of ours, where everybody sees them.
func Attach(lower []string, f Features, target string) error {
	m, err := MountPlan(Snapshot{Lower: lower, ReadOnly: true}, f)
	switch {
	case err != nil:
		return err
	case m.Bind != "":
		if err := mountAt(m.Bind, target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		err := mountAt("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		if err != nil {
			_ = unix.Unmount(target, unix.MNT_DETACH) // the first error counts
		}
		return err
	case m.Options != "":
		var err error
		onThread(func() { // whose working directory nobody shares
			if err = unix.Unshare(unix.CLONE_FS); err == nil {
				err = unix.Chdir(m.Base)
			}
			if err == nil {
				err = mountAt("overlay", target, "overlay", unix.MS_RDONLY, m.Options+","+index+"=off")
			}
		})
		return err
	}
	mnt, err := mountConfig(&m)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(mnt) }()
	return unix.MoveMount(mnt, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// index is the feature of overlay that refuses layers which are in use.
const index = "index"

func openConfig(m *Mount) (int, error) {
	mnt, err := mountConfig(m)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(mnt) }()
	// Fsmount gives a descriptor that cannot be read.
	return unix.Openat(mnt, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// mountConfig returns a mount that is attached nowhere.
func mountConfig(m *Mount) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(fs) }()
	for _, c := range append(m.Config, FSConfig{Cmd: SetString, Key: index, Value: "off"}) {
		switch c.Cmd {
		case SetFlag:
			err = unix.FsconfigSetFlag(fs, c.Key)
		case SetString:
			err = unix.FsconfigSetString(fs, c.Key, c.Value)
		case SetFD:
			var fd int
			if fd, err = unix.Open(c.Open, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
				err = unix.FsconfigSetFd(fs, c.Key, fd)
				_ = unix.Close(fd)
			}
		}
		if err != nil {
			return -1, fmt.Errorf("%s: %w", c.Key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
}

// openLegacy mounts with mount(2), which kernels before 6.8 need for more
// layers than a few: in a mount namespace of a thread that ends with it.
func openLegacy(m *Mount, target string) (int, error) {
	fd, err := -1, error(nil)
	onThread(func() {
		err = unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		for _, step := range []func() error{
			func() error { return mountAt("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
			func() error { return unix.Chdir(m.Base) },
			func() error { return mountAt("overlay", target, "overlay", unix.MS_RDONLY, m.Options+","+index+"=off") },
			func() error {
				var err error
				fd, err = unix.Open(target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				return err
			},
		} {
			if err == nil {
				err = step()
			}
		}
	})
	return fd, err
}

// onThread calls f in a thread that ends with it. It is not the main thread,
// which would stay, and whose namespaces are the process's.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			onThread(f) // while the main thread is held, another goroutine has another
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

func mountAt(source, target, fstype string, flags uintptr, data string) error {
	return unix.Mount(source, target, fstype, flags, data) //nolint:forbidigo // in a namespace of its own, of the engine's own paths
}
