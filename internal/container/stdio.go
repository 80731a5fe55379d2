package container

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// Give says which standard descriptors become the container's user's own, who
// could not open /dev/stdout as a file otherwise, which many images' log files
// link to. It stays so when the container has ended.
type Give int

const (
	// GiveNone leaves them whose they are.
	GiveNone Give = iota
	// GivePipes gives pipes without a name: nothing of the host's changes.
	GivePipes
	// GiveAll gives everything but /dev/null, as OCI runtimes do: who calls
	// one has opened the descriptors for this container.
	GiveAll
)

// pipeMagic is the file system type of pipes without a name (pipefs).
const pipeMagic = 0x50495045

// giveStdio adds the host action that gives the standard descriptors away.
func (e *env) giveStdio() {
	how := e.cfg.Give
	if how == GiveNone {
		return
	}
	uid := hostID(e.spec.Linux.UIDMappings, e.spec.Process.User.UID)
	fds := [3]int{e.cfg.Stdin, e.cfg.Stdout, e.cfg.Stderr}
	e.p.Note("give standard descriptors to the container's user")
	e.p.Do(func() []string { return []string{fmt.Sprintf("fchown([stdin], [stdout], [stderr], %d, -1)", uid)} }, func(plan.Slots) error {
		for i, fd := range fds {
			if fd < 0 {
				continue
			}
			if err := how.give(fd, int(uid)); err != nil {
				return fmt.Errorf("give descriptor %d to user %d: %w", i, uid, err)
			}
		}
		return nil
	})
}

func (how Give) give(fd, uid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) == uid {
		return nil
	}
	switch how {
	case GivePipes:
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != pipeMagic {
			return err
		}
	case GiveAll:
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			return nil // /dev/null is everybody's
		}
	case GiveNone:
		return nil
	}
	switch err := unix.Fchown(fd, uid, -1); err {
	case unix.EINVAL, unix.EPERM, unix.EROFS: // as runc: such a file is not ours to give
		return nil
	default:
		return err
	}
}

// hostID is the number here of a user of the container.
func hostID(mappings []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range mappings {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID
		}
	}
	return id
}
