package ground

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// hostDevices finds the device node at path, or all nodes below a directory.
func hostDevices(path string) ([]compose.DeviceNode, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, fault.New(fault.KindOf(err), "device %s: %w", path, err)
	}
	if n, ok := deviceNode(path, &st); ok {
		return []compose.DeviceNode{n}, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, fault.New(fault.Invalid, "device %s: not a device node", path)
	}
	var list []compose.DeviceNode
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&os.ModeDevice == 0 {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if n, ok := deviceNode(p, &st); ok {
			list = append(list, n)
		}
		return nil
	})
	return list, err
}

func deviceNode(path string, st *unix.Stat_t) (compose.DeviceNode, bool) {
	n := compose.DeviceNode{
		Path: path, Mode: st.Mode & 0o777, UID: st.Uid, GID: st.Gid,
		Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		n.Type = "c"
	case unix.S_IFBLK:
		n.Type = "b"
	default:
		return n, false
	}
	return n, true
}

// DeviceSource finds the host's path of a device of the container among those
// that were asked for; a directory stands for all devices in it.
func DeviceSource(devices []api.DeviceMapping, inside string) string {
	for _, d := range devices {
		if d.PathInContainer == "" {
			continue
		}
		rest, ok := strings.CutPrefix(inside, filepath.Clean(d.PathInContainer))
		if ok && (rest == "" || rest[0] == '/') {
			return filepath.Clean(d.PathOnHost) + rest
		}
	}
	return inside
}
