package engine

import (
	"path"
	"slices"
	"strings"
)

// MountPoint is a mount of a container that the user asked for, with Docker's
// names.
type MountPoint struct {
	Type        string // bind, volume or tmpfs
	Name        string `json:",omitempty"` // of a volume
	Source      string // on the host
	Destination string // in the container
	Driver      string `json:",omitempty"` // of a volume
	Mode        string // the options of -v
	RW          bool
	Propagation string
}

// mountPoints lists the mounts of -v and --mount, in that order. As in Docker,
// --tmpfs is none of them.
func mountPoints(c *ContainerConfig) []MountPoint {
	var list []MountPoint
	for _, b := range c.HostConfig.Binds {
		parts := strings.SplitN(b, ":", 3)
		if len(parts) < 2 {
			list = append(list, MountPoint{Type: MountVolume, Name: volumeName(b), Destination: path.Clean(b), Driver: "local", RW: true})
			continue
		}
		m := MountPoint{Type: MountBind, Source: path.Clean(parts[0]), Destination: path.Clean(parts[1]), RW: true, Propagation: "rprivate"}
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
			m.Type, m.Name, m.Source, m.Driver, m.Propagation = MountVolume, parts[0], "", "local", ""
		}
		list = append(list, m)
	}
	for i := range c.HostConfig.Mounts {
		r := &c.HostConfig.Mounts[i]
		m := MountPoint{Type: r.Type, Source: r.Source, Destination: path.Clean(r.Target), RW: !r.ReadOnly}
		switch r.Type {
		case MountBind:
			m.Propagation = "rprivate"
			if r.BindOptions != nil && r.BindOptions.Propagation != "" {
				m.Propagation = r.BindOptions.Propagation
			}
		case MountVolume:
			m.Name, m.Source, m.Driver = r.Source, "", "local"
			if m.Name == "" {
				m.Name = volumeName(m.Destination)
			}
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b MountPoint) int { return strings.Compare(a.Destination, b.Destination) })
	return list
}
