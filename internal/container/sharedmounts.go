package container

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// SharesMounts reports whether a container has the caller's mount namespace:
// its mounts are then everybody's, on top of the root's path, and stay until
// [DetachRoot].
func SharesMounts(s *specs.Spec) bool { return namespace(s, specs.MountNamespace) == nil }

// MountID returns the id of the mount that a path leads to. Linux 5.8.
func MountID(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return st.Mnt_id, nil
}

// DetachRoot takes away the mounts of a container that shares the caller's
// mount namespace and has ended: everything on top of the mount that the path
// of its root led to before.
func DetachRoot(root string, before uint64) error {
	for {
		id, err := MountID(root)
		if err != nil || id == before {
			return err
		}
		if err := unix.Unmount(root, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err == unix.EINVAL {
			return nil // nothing is mounted
		} else if err != nil {
			return fmt.Errorf("detach root %s: %w", root, err)
		}
	}
}
