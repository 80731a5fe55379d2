package engine

import "encoding/json"

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

// GraphDriver says where a root file system is: UpperDir, LowerDir, WorkDir
// and, while it is mounted, MergedDir.
type GraphDriver struct {
	Data map[string]string
	Name string
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

// ImageInfo is all that is known of an image, in the shape of Docker's API.
type ImageInfo struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Parent        string // always empty: there are no intermediate images
	Comment       string `json:",omitempty"`
	Created       string `json:",omitempty"`
	DockerVersion string
	Author        string `json:",omitempty"`
	Config        ImageConfig
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	Size          int64 // bytes, unpacked
	GraphDriver   GraphDriver
	RootFS        ImageRootFS
	Metadata      struct{ LastTagTime string }
}

// ImageConfig is what an image gives to its containers.
type ImageConfig struct {
	User         string              `json:",omitempty"`
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Env          []string            `json:",omitempty"`
	Entrypoint   []string            `json:",omitempty"`
	Cmd          []string            `json:",omitempty"`
	Volumes      map[string]struct{} `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	Labels       map[string]string   `json:",omitempty"`
	StopSignal   string              `json:",omitempty"`
	Healthcheck  *Healthcheck        `json:",omitempty"`
	OnBuild      []string            `json:",omitempty"`
	Shell        []string            `json:",omitempty"`
}

// ImageRootFS names the layers by the digests of their content, lowest first.
type ImageRootFS struct {
	Type   string
	Layers []string
}
