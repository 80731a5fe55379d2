package runtime

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// SharesMounts reports whether a container has the caller's mount namespace:
// its mounts are then everybody's, on top of the root's path, and stay until
// [DetachRoot].
func SharesMounts(s *specs.Spec) bool { return namespace(s, specs.MountNamespace) == nil }

// DetachRoot takes away the mounts of a container that shares the caller's
// mount namespace and has ended. Root is the path of its root file system.
func DetachRoot(root string) error {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("detach root %s: %w", root, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The path of the descriptor leads to what was opened, not to a name
	// that may have changed since.
	err = unix.Unmount(fmt.Sprintf("/proc/self/fd/%d", fd), unix.MNT_DETACH)
	if err != nil && err != unix.EINVAL { // nothing is mounted
		return fmt.Errorf("detach root %s: %w", root, err)
	}
	return nil
}
