package engine

import (
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/spec"
)

func deviceNodes(in *ComposeInput, hostPath string) ([]DeviceNode, error) {
	if in.Devices == nil {
		return nil, fault.New(fault.Internal, "device %s: nobody to ask", hostPath)
	}
	nodes, err := in.Devices(hostPath)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "error gathering device information while adding device %s: %w", hostPath, err)
	}
	return nodes, nil
}

// devices gives what --device, --device-cgroup-rule and --privileged ask for.
func devices(in *ComposeInput) ([]spec.Option, []string, error) {
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
		case !validAccess(access):
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
		rule, err := ParseDeviceRule(r)
		if err != nil {
			return nil, nil, err
		}
		if !h.Privileged {
			rules = append(rules, rule)
		}
	}
	opts := []spec.Option{spec.Devices(nodes, rules)}
	if h.Privileged {
		opts = append(opts, spec.AllDevices())
	}
	return opts, warn, nil
}

func specDevice(n *DeviceNode, inside string) specs.LinuxDevice {
	mode := os.FileMode(n.Mode & 0o7777)
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

func validAccess(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, "rwm") == ""
}

// ParseDeviceRule reads a rule of the devices cgroup: type major:minor access,
// as "c 1:3 rwm" or "b *:* m".
func ParseDeviceRule(s string) (specs.LinuxDeviceCgroup, error) {
	bad := fault.New(fault.Invalid, "invalid device cgroup rule: %q", s)
	r := specs.LinuxDeviceCgroup{Allow: true}
	typ, rest, _ := strings.Cut(s, " ")
	numbers, access, _ := strings.Cut(rest, " ")
	major, minor, ok := strings.Cut(numbers, ":")
	if !ok || typ != "a" && typ != "b" && typ != "c" || !validAccess(access) {
		return r, bad
	}
	r.Type, r.Access = typ, access
	for _, f := range [...]struct {
		text string
		to   **int64
	}{{major, &r.Major}, {minor, &r.Minor}} {
		if f.text == "*" {
			continue
		}
		n, err := strconv.ParseUint(f.text, 10, 32)
		if err != nil {
			return r, bad
		}
		v := int64(n)
		*f.to = &v
	}
	return r, nil
}
