package compose

import (
	"io/fs"
	"path"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// DevicePaths lists the paths on the host at which a configuration wants
// devices: see [Inputs].Devices.
func DevicePaths(c *api.ContainerConfig) []string {
	h := &c.HostConfig
	var paths []string
	if h.Privileged {
		paths = append(paths, "/dev")
	}
	for _, d := range h.Devices {
		paths = append(paths, d.PathOnHost)
	}
	for _, w := range h.BlkioWeightDevice {
		paths = append(paths, w.Path)
	}
	for _, list := range [...][]api.ThrottleDevice{h.BlkioDeviceReadBps, h.BlkioDeviceWriteBps, h.BlkioDeviceReadIOps, h.BlkioDeviceWriteIOps} {
		for _, d := range list {
			paths = append(paths, d.Path)
		}
	}
	return paths
}

func deviceNodes(in *Inputs, hostPath string) ([]DeviceNode, error) {
	found, ok := in.Devices[hostPath]
	if !ok {
		return nil, fault.New(fault.Internal, "device %s: nobody has looked", hostPath)
	}
	if err := found.Err; err != nil {
		return nil, fault.New(fault.KindOf(err), "error gathering device information while adding device %s: %w", hostPath, err)
	}
	return found.Nodes, nil
}

// devices gives what --device, --device-cgroup-rule and --privileged ask for.
func devices(in *Inputs) ([]oci.Option, []string, error) {
	h := &in.Config.HostConfig
	var warn []string
	var nodes []specs.LinuxDevice
	var rules []specs.LinuxDeviceCgroup

	if h.Privileged {
		all, err := deviceNodes(in, "/dev")
		if err != nil {
			return nil, nil, err
		}
		for i := range all {
			if !ownDevice(all[i].Path) {
				nodes = append(nodes, specDevice(&all[i], all[i].Path))
			}
		}
	}
	for _, d := range h.Devices {
		inside := d.PathInContainer
		if inside == "" {
			inside = d.PathOnHost
		}
		access := d.CgroupPermissions
		if access == "" {
			access = "rwm"
		}
		switch {
		case !path.IsAbs(d.PathOnHost) && strings.Contains(d.PathOnHost, "="):
			return nil, nil, fault.New(fault.Unsupported, "device %s: CDI devices are not supported yet", d.PathOnHost)
		case !path.IsAbs(d.PathOnHost), !path.IsAbs(inside):
			return nil, nil, fault.New(fault.Invalid, "device %s:%s: paths must be absolute", d.PathOnHost, inside)
		case !api.ValidAccess(access):
			return nil, nil, fault.New(fault.Invalid, "device %s: invalid permissions %q: some of r, w and m", d.PathOnHost, access)
		case h.Privileged && d.PathOnHost == inside:
			continue // already there
		}
		found, err := deviceNodes(in, d.PathOnHost)
		if err != nil {
			return nil, nil, err
		}
		if h.Privileged && access != "rwm" {
			warn = append(warn, "custom "+access+" permissions for device "+d.PathOnHost+" are ignored in privileged mode")
		}
		for i := range found {
			n := &found[i]
			dest := path.Clean(inside + strings.TrimPrefix(n.Path, path.Clean(d.PathOnHost)))
			nodes = append(nodes, specDevice(n, dest))
			if !h.Privileged {
				rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: n.Type, Major: &n.Major, Minor: &n.Minor, Access: access})
			}
		}
	}
	for _, r := range h.DeviceCgroupRules {
		rule, err := api.ParseDeviceRule(r)
		if err != nil {
			return nil, nil, err
		}
		if !h.Privileged {
			rules = append(rules, rule)
		}
	}
	opts := []oci.Option{oci.Devices(nodes, rules)}
	if h.Privileged {
		opts = append(opts, oci.AllDevices())
	}
	return opts, warn, nil
}

func specDevice(n *DeviceNode, inside string) specs.LinuxDevice {
	mode := fs.FileMode(n.Mode & 0o7777)
	return specs.LinuxDevice{Path: inside, Type: n.Type, Major: n.Major, Minor: n.Minor, FileMode: &mode, UID: &n.UID, GID: &n.GID}
}

// ownDevice tells which of the host's devices a container always has its own
// of, or may not have: terminals belong to a devpts instance.
func ownDevice(p string) bool {
	switch p {
	case "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx":
		return true
	}
	rest, _ := strings.CutPrefix(p, "/dev/")
	dir, _, below := strings.Cut(rest, "/")
	switch dir {
	case "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev":
		return below
	}
	return false
}
