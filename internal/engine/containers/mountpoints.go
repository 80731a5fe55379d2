package containers

import (
	"path"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"
)

// mountPoints lists the mounts of -v and --mount, in that order. As in Docker,
// --tmpfs is none of them.
func mountPoints(c *api.ContainerConfig) []api.MountPoint {
	var list []api.MountPoint
	for _, b := range c.HostConfig.Binds {
		parts := strings.SplitN(b, ":", 3)
		if len(parts) < 2 {
			list = append(list, api.MountPoint{Type: api.MountVolume, Name: compose.VolumeName(b), Destination: path.Clean(b), Driver: "local", RW: true})
			continue
		}
		m := api.MountPoint{Type: api.MountBind, Source: path.Clean(parts[0]), Destination: path.Clean(parts[1]), RW: true, Propagation: "rprivate"}
		if len(parts) == 3 {
			m.Mode = parts[2]
		}
		for o := range strings.SplitSeq(m.Mode, ",") {
			switch o {
			case "ro", "rro":
				m.RW = false
			case "private", "slave", "rslave", "shared", "rshared":
				m.Propagation = o
			}
		}
		if !path.IsAbs(parts[0]) {
			m.Type, m.Name, m.Source, m.Driver, m.Propagation = api.MountVolume, parts[0], "", "local", ""
		}
		list = append(list, m)
	}
	for i := range c.HostConfig.Mounts {
		r := &c.HostConfig.Mounts[i]
		m := api.MountPoint{Type: r.Type, Source: r.Source, Destination: path.Clean(r.Target), RW: !r.ReadOnly}
		switch r.Type {
		case api.MountBind:
			m.Propagation = "rprivate"
			if r.BindOptions != nil && r.BindOptions.Propagation != "" {
				m.Propagation = r.BindOptions.Propagation
			}
		case api.MountVolume:
			m.Name, m.Source, m.Driver = r.Source, "", "local"
			if m.Name == "" {
				m.Name = compose.VolumeName(m.Destination)
			}
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b api.MountPoint) int { return strings.Compare(a.Destination, b.Destination) })
	return list
}
