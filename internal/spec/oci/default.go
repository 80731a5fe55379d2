package oci

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultShmSize is the size of /dev/shm, in bytes, as Docker's.
const DefaultShmSize = 64 << 20

// The versions that a specification declares: the oldest one that knows all
// that it uses, since runtimes refuse newer ones than their own (crun 1.8 takes
// 1.1 at most).
const (
	version      = "1.1.0" // time namespaces, domainname, CPU burst
	versionIDMap = "1.2.0" // the options idmap and ridmap of a mount
)

// Default returns the specification of a container that nothing is asked of:
// namespaces, mounts, masked paths and devices equal to those of a container
// of Docker's (moby daemon/pkg/oci/defaults.go), without a process.
// ThermalCPUs are the CPUs that have a thermal_throttle directory below
// /sys/devices/system/cpu/cpuN.
func Default(thermalCPUs []int) *specs.Spec {
	return &specs.Spec{
		Version: version,
		Process: &specs.Process{Cwd: "/"},
		Root:    &specs.Root{},
		Mounts:  defaultMounts(),
		Linux: &specs.Linux{
			MaskedPaths:   maskedPaths(thermalCPUs),
			ReadonlyPaths: readonlyPaths(),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.PIDNamespace},
				{Type: specs.IPCNamespace},
				// Docker leaves this one out on cgroup v1; here it is always new,
				// so that no container sees where it sits.
				{Type: specs.CgroupNamespace},
			},
			Resources: &specs.LinuxResources{Devices: deviceRules()},
		},
	}
}

// The order is the order of mounting: parents before children.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
	}
}

func maskedPaths(thermalCPUs []int) []string {
	paths := []string{
		"/proc/acpi",
		"/proc/asound",
		"/proc/interrupts", // timing of other containers' keystrokes: GHSA-6fw5-f8r9-fgfm
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/sys/devices/virtual/powercap", // power as a side channel: GHSA-jq35-85cj-fj4p
		"/sys/firmware",
	}
	for _, cpu := range thermalCPUs {
		paths = append(paths, "/sys/devices/system/cpu/cpu"+strconv.Itoa(cpu)+"/thermal_throttle") // GHSA-6fw5-f8r9-fgfm
	}
	return paths
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// deviceRules denies everything and then allows what a container of Docker's
// ends up with: Docker's own list and the one that runc adds to it. It is
// written out so that no runtime needs a list of its own. Docker's trailing
// "deny 10:229" is left out: it denies what nothing allows.
func deviceRules() []specs.LinuxDeviceCgroup {
	return append([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, DeviceRules()...)
}

// DeviceRules allow the devices that every container has, and to make nodes.
// OCI runtimes add them to a configuration's own rules.
func DeviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Access: "m"}, // mknod is CAP_MKNOD's business; opening is not
		{Allow: true, Type: "b", Access: "m"},
	}
	for _, d := range [...][2]int64{
		{1, 3}, // null
		{1, 5}, // zero
		{1, 7}, // full
		{1, 8}, // random
		{1, 9}, // urandom
		{5, 0}, // tty
		{5, 1}, // console
		{5, 2}, // ptmx
	} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d[0], Minor: &d[1], Access: "rwm"})
	}
	pts := int64(136) // /dev/pts/*
	return append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &pts, Access: "rwm"})
}
