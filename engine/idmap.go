package engine

import (
	"bytes"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// idMaps are the ids of a container's user namespace as this process counts
// them. Without maps they are the same.
type idMaps struct{ uids, gids []specs.LinuxIDMapping }

// idMapsOf reads the maps of a process. A process of our own user namespace
// has our ids; its files would tell those of the namespace around.
func idMapsOf(pid int) idMaps {
	dir := "/proc/" + strconv.Itoa(pid)
	var own, its unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &own) != nil || unix.Stat(dir+"/ns/user", &its) != nil || own.Ino == its.Ino {
		return idMaps{}
	}
	return idMaps{readIDMap(dir + "/uid_map"), readIDMap(dir + "/gid_map")}
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

// host returns our numbers for ids of the container.
func (m idMaps) host(uid, gid int) (u, g int) { return hostID(m.uids, uid), hostID(m.gids, gid) }

// container returns the container's numbers for our ids; what it has none
// for stays as it is.
func (m idMaps) container(uid, gid uint32) (u, g int) {
	return int(containerID(m.uids, uid)), int(containerID(m.gids, gid))
}

func containerID(maps []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range maps {
		if id >= m.HostID && id-m.HostID < m.Size {
			return m.ContainerID + id - m.HostID
		}
	}
	return id
}
