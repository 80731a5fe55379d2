package ground

import (
	"bytes"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// IDMaps are the ids of a container's user namespace as this process counts
// them. Without maps they are the same.
type IDMaps struct{ UIDs, GIDs []specs.LinuxIDMapping }

// IDMapsOf reads the maps of a process. A process of our own user namespace
// has our ids; its files would tell those of the namespace around.
func IDMapsOf(pid int) IDMaps {
	dir := "/proc/" + strconv.Itoa(pid)
	var own, its unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &own) != nil || unix.Stat(dir+"/ns/user", &its) != nil || own.Ino == its.Ino {
		return IDMaps{}
	}
	return IDMaps{readIDMap(dir + "/uid_map"), readIDMap(dir + "/gid_map")}
}

func readIDMap(path string) []specs.LinuxIDMapping {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var maps []specs.LinuxIDMapping
	for line := range bytes.Lines(b) {
		var n [3]uint32
		for i, f := range bytes.Fields(line) {
			v, err := strconv.ParseUint(string(f), 10, 32)
			if err != nil || i == len(n) {
				return nil // not what the kernel writes
			}
			n[i] = uint32(v)
		}
		maps = append(maps, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return maps
}

// Host returns our numbers for ids of the container.
func (m IDMaps) Host(uid, gid int) (u, g int) { return HostID(m.UIDs, uid), HostID(m.GIDs, gid) }

// Container returns the container's numbers for our ids; what it has none
// for stays as it is.
func (m IDMaps) Container(uid, gid uint32) (u, g int) {
	return int(containerID(m.UIDs, uid)), int(containerID(m.GIDs, gid))
}

func containerID(maps []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range maps {
		if id >= m.HostID && id-m.HostID < m.Size {
			return m.ContainerID + id - m.HostID
		}
	}
	return id
}

// HostID is the host's number for an ID of the container, whose user namespace
// has the mappings, if it has any.
func HostID[ID int | uint32](mappings []specs.LinuxIDMapping, id ID) ID {
	for _, m := range mappings {
		if n := uint32(id); n >= m.ContainerID && n-m.ContainerID < m.Size {
			return ID(m.HostID + n - m.ContainerID)
		}
	}
	return id
}
