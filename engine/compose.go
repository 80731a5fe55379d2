package engine

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/fault"
)

// ComposeInput is everything that a specification is computed from.
type ComposeInput struct {
	ID     string           // container ID, 64 hex digits
	Config *ContainerConfig //
	Image  *ImageConfig     // nil with Config.RootFS
	Facts  *Facts           // the machine

	RootPath string // absolute host path of the prepared root
	FilesDir string // absolute host path where Composed.Files will be written

	// Passwd and Group are /etc/passwd and /etc/group of the container's root,
	// nil where there are none.
	Passwd, Group []byte
	// Resolv and Hosts are the host's /etc/resolv.conf and /etc/hosts; used
	// with the host's network only.
	Resolv, Hosts []byte

	// Devices answers --device and the like: the node at an absolute host path,
	// or all nodes below a directory.
	Devices func(path string) ([]DeviceNode, error)
}

// DeviceNode is one device of the host, as stat gives it.
type DeviceNode struct {
	Path         string // absolute host path
	Type         string // "c", "b" or "p"
	Major, Minor int64
	Mode         uint32 // permission bits
	UID, GID     uint32
}

// ImageConfig is the part of an image's configuration that a container takes
// its defaults from.
type ImageConfig struct {
	User         string
	Env          []string
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	Volumes      map[string]struct{}
	Labels       map[string]string
	ExposedPorts map[string]struct{}
	StopSignal   string
}

// Facts is what a specification depends on of the machine.
type Facts struct {
	Arch         string   // GOARCH
	Kernel       [2]int   // major, minor
	Caps         uint64   // the caller's bounding set; bit i is capability i
	LastCap      int      // /proc/sys/kernel/cap_last_cap
	NCPU         int      // CPUs online
	CPUs         string   // online CPUs in list format: "0-3"; "" is unknown
	Mems         string   // online memory nodes; "" is unknown
	ThermalCPUs  []int    // CPUs that have a thermal_throttle directory
	CgroupParent string   // default parent, absolute in the hierarchy: "/tare"
	Controllers  []string // the controllers there are, v1 names: cpu, memory, …
	Unified      bool     // the resource controllers are on v2
	Swap         bool     // the memory controller accounts swap
	NoCgroupNS   bool     // the kernel has no cgroup namespaces
	NoTimeNS     bool     // the kernel has no time namespaces
	AppArmor     bool     //
	SELinux      bool     //
	InitPath     string   // host path of the binary for --init; "" is none
	Hostname     string   // of the machine, for --uts host
}

// Composed is the specification with what it needs on disk.
type Composed struct {
	Spec     *specs.Spec
	Files    []File   // to be written below FilesDir before the start
	Dirs     []string // absolute host directories to be made, 0755, if absent
	Warnings []string // one line each
}

// File is a small file that is bind-mounted into the container.
type File struct {
	Name    string // below FilesDir: "hosts", "hostname", "resolv.conf"
	Content []byte
}

// Compose computes the specification of a container. It is pure but for the
// questions that it asks in.Devices.
func Compose(in *ComposeInput) (*Composed, error) {
	return nil, fault.New(fault.Unsupported, "compose: not written yet")
}
