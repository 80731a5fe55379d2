package api

import (
	"encoding/json"
	"time"
)

// Status is the state of a container's life.
type Status string

// The states, with Docker's names.
const (
	StatusCreated Status = "created"
	StatusRunning Status = "running"
	// StatusRestarting has ended and will be started again.
	StatusRestarting Status = "restarting"
	StatusPaused     Status = "paused"
	StatusExited     Status = "exited"
	StatusRemoving   Status = "removing"
	StatusDead       Status = "dead" // to be removed, and could not be
)

// ContainerSummary is one line of a list of containers.
type ContainerSummary struct {
	ID       string // 64 hex digits
	Name     string
	Image    string // as the user named it, or the path of RootFS
	ImageID  string
	Command  []string // resolved entrypoint and arguments
	Created  time.Time
	Status   Status
	Started  time.Time // zero when never started
	Finished time.Time // zero when not finished
	ExitCode int       // when Status is exited
	Pid      int       // host pid when running
	Labels   map[string]string
	Health   string // starting, healthy, unhealthy or empty

	Ports      []Port       // when running
	Mounts     []MountPoint // sorted by destination
	Networks   []string     // names
	SizeRw     int64        // bytes in the writable layer; ListOptions.Size
	SizeRootFs int64        // and in the image
}

// HealthOrNone is Health in a filter's words.
func (c *ContainerSummary) HealthOrNone() string {
	if c.Health == "" {
		return "none"
	}
	return c.Health
}

// Info says what tare and this machine can do.
type Info struct {
	Root          string
	RunRoot       string
	Containers    int
	Running       int
	Images        int
	Kernel        string // uname -r
	Arch          string // GOARCH
	OS            string // PRETTY_NAME of os-release
	NCPU          int
	MemTotal      int64    // bytes
	Cgroup        string   // "v1", "v2" or "hybrid"
	Controllers   []string // controller names, with the version where mixed: "hugetlb(v2)"
	StorageDriver string
	Security      []string // "seccomp", "apparmor", "selinux", "cgroupns"
	Missing       []string // one line per feature that this kernel or caller lacks
	Warnings      []string

	// The same, and more, under Docker's names.
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Name              string // of the machine
	Driver            string // StorageDriver
	DockerRootDir     string // Root
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string // uname -m
	CgroupDriver      string
	CgroupVersion     string // "1" or "2": of the memory controller
	LoggingDriver     string
	DefaultRuntime    string
	SecurityOptions   []string
}

// ContainerInfo is all that is known of a container, in the shape of Docker's
// API: field names, empty maps or null, times as RFC 3339 with nanoseconds.
// What Docker does not have stands at the end.
type ContainerInfo struct {
	ID              string `json:"Id"`
	Created         string
	Path            string
	Args            []string
	State           ContainerState
	Image           string // ID
	ResolvConfPath  string // empty: these files exist in the container only
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string // with a slash in front
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      HostConfigInfo
	GraphDriver     GraphDriver
	SizeRw          *int64 `json:",omitempty"`
	SizeRootFs      *int64 `json:",omitempty"`
	Mounts          []MountPoint
	Config          Config
	NetworkSettings NetworkSettings

	CgroupPath  string          // below the mount of each hierarchy
	RootFS      string          `json:",omitempty"` // --rootfs
	Personality string          `json:",omitempty"`
	Umask       *uint32         `json:",omitempty"`
	TimeOffsets []TimeOffset    `json:",omitempty"`
	Receipt     json.RawMessage `json:",omitempty"` // of the last run
}

// ContainerState is State of Docker's API.
type ContainerState struct {
	Status     Status
	Running    bool // also when paused
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  string
	FinishedAt string
	Health     json.RawMessage `json:",omitempty"`
}

// HostConfigInfo is HostConfig with what exists in Docker's for Windows and
// for device plug-ins only.
type HostConfigInfo struct {
	HostConfig
	DeviceRequests     []struct{}
	CPUCount           int64 `json:"CpuCount"`
	CPUPercent         int64 `json:"CpuPercent"`
	IOMaximumIOps      uint64
	IOMaximumBandwidth uint64
}

// NetworkSettings are what a container has of its networks.
type NetworkSettings struct {
	Bridge                 string
	SandboxID              string
	SandboxKey             string // path of the network namespace, while it runs
	Ports                  map[string][]PortBinding
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []struct{}
	SecondaryIPv6Addresses []struct{}
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
	Networks               map[string]*EndpointInfo
}

// EndpointInfo is a container's place in one network.
type EndpointInfo struct {
	IPAMConfig          *struct{}
	Links               []string
	Aliases             []string
	MacAddress          string
	DriverOpts          map[string]string
	GwPriority          int
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// Port is a port of a container, with Docker's names.
type Port struct {
	IP          string `json:",omitempty"` // of the host; empty when it is not published
	PrivatePort uint16
	PublicPort  uint16 `json:",omitempty"` // of the host
	Type        string // "tcp", "udp" or "sctp"
}

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

// ListOptions choose containers.
type ListOptions struct {
	All   bool // also those that do not run
	Limit int  // the newest so many, in any state; 0 is all
	Brief bool // leave out Mounts and Networks
	Size  bool // add SizeRw and SizeRootFs, which walks the writable layers
	Filters
	// Regexp compiles the values of the filters name and id that are more than
	// a text with an anchor. With nil they are refused.
	Regexp func(pattern string) (func(s string) bool, error)
}
