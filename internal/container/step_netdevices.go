package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

func hasNetDevices(s *specs.Spec) bool { return len(s.Linux.NetDevices) > 0 }

// netDevicesHost has the engine move its own devices, while the child waits in
// the container's network namespace.
func netDevicesHost(e *env) error {
	if namespace(e.spec, specs.NetworkNamespace) == nil {
		return fault.New(fault.Invalid, "network devices: the container has no network namespace")
	}
	names := make([]string, 0, len(e.spec.Linux.NetDevices))
	for name, d := range e.spec.Linux.NetDevices {
		for _, n := range []string{name, d.Name} {
			if err := validateDevice(n, n == d.Name); err != nil {
				return err
			}
		}
		names = append(names, name)
	}
	slices.Sort(names)
	e.newGate(Gate{Name: "network devices", Meet: true, Work: func(p spawn.Process) error {
		netns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", p.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open network namespace: %w", err)
		}
		defer func() { _ = unix.Close(netns) }()
		for _, name := range names {
			as := e.spec.Linux.NetDevices[name].Name
			if as == "" {
				as = name
			}
			if err := moveDevice(name, as, netns); err != nil {
				return fault.New(fault.KindOf(err), "move network device %s: %w", name, err)
			}
		}
		return nil
	}})
	return nil
}

// validateDevice checks a name as the kernel's dev_valid_name does. A new one
// may be empty, for the old one, and may have one %d.
func validateDevice(name string, renamed bool) error {
	rest := name
	if renamed {
		if name == "" {
			return nil
		}
		rest = strings.Replace(name, "%d", "", 1)
	}
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." || strings.ContainsAny(rest, "/:% \t\n\v\f\r\x00") {
		return fault.New(fault.Invalid, "network device %q: not a name", name)
	}
	return nil
}

func netDevicesChild(e *env) error {
	e.p.Note("wait for network devices")
	e.waitFor("net-devices")
	return nil
}

// moveDevice moves a device of this process's network namespace to another,
// with its permanent addresses, and brings it up.
func moveDevice(name, as string, netns int) error {
	here, err := openRtnl()
	if err != nil {
		return err
	}
	defer here.close()
	there, err := openRtnlIn(netns)
	if err != nil {
		return err
	}
	defer there.close()

	links, err := here.links()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(links, func(l link) bool { return l.name == name })
	switch {
	case i < 0:
		return unix.ENODEV
	case links[i].flags&unix.IFF_LOOPBACK != 0:
		return fault.New(fault.Invalid, "a loopback device belongs to its namespace")
	}
	addresses, err := here.addresses(links[i].index)
	if err != nil {
		return err
	}
	taken, err := there.links()
	if err != nil {
		return err
	}
	// The kernel keeps the index where it is free; where it is not, one is
	// chosen here, for the device to be known by (IFLA_NEW_IFINDEX, Linux 5.13).
	old := links[i].index
	index, free := int32(0), true
	for _, l := range taken {
		index = max(index, l.index)
		free = free && l.index != old
		if l.name == as {
			return fmt.Errorf("%s: %w", as, unix.EEXIST)
		}
	}
	b := ifinfomsg(old, 0, 0)
	if index++; free {
		index = old
	} else {
		b = attrUint32(b, iflaNewIfindex, uint32(index))
	}
	b = attrUint32(b, unix.IFLA_NET_NS_FD, uint32(netns))
	b = attrString(b, unix.IFLA_IFNAME, as)
	if _, err := here.do(unix.RTM_SETLINK, 0, b); err != nil {
		return err
	}
	for _, a := range addresses {
		if err := there.add(index, a); err != nil {
			return fmt.Errorf("keep an address: %w", err)
		}
	}
	if _, err := there.do(unix.RTM_SETLINK, 0, ifinfomsg(index, unix.IFF_UP, unix.IFF_UP)); err != nil {
		return fmt.Errorf("bring it up: %w", err)
	}
	return nil
}

// iflaNewIfindex is IFLA_NEW_IFINDEX of linux/if_link.h.
const iflaNewIfindex = 0x31
