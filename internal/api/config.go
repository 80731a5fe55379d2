// Package api is what surfaces and the engine speak about: data, and the text
// forms of its values. Nothing here does anything.
package api

//go:generate go run ../lib/jsongen -o config_json.go ContainerConfig ExecConfig Healthcheck SandboxConfig

import "github.com/tare-engine/tare/internal/lib/jsonread"

// ContainerConfig is the persisted intent of one container, written once as
// config.json. Its JSON is a superset of Docker's create request: the fields
// of Config stand at the top level, HostConfig and NetworkingConfig below it,
// with Docker's names and units, so that an inspect can give back what a
// create was asked for.
//
// Everything that depends on the caller's environment (working directory,
// files named on the command line, variables of the host) is resolved by the
// surface before it gets here: paths are absolute, a seccomp profile is the
// JSON text, Env holds NAME=VALUE only.
type ContainerConfig struct {
	Config
	HostConfig       HostConfig
	NetworkingConfig NetworkingConfig

	// Name is the name asked for; empty means that the engine makes one up.
	Name string `json:",omitempty"`
	// Platform is os/arch[/variant] as asked for, or empty for the host's.
	Platform string `json:",omitempty"`
	// RootFS is an absolute host directory to use as the root instead of an
	// image. Image is empty then.
	RootFS string `json:",omitempty"`
	// TimeOffsets shift the clocks of a new time namespace.
	TimeOffsets []TimeOffset `json:",omitempty"`
	// Umask of the first process; nil leaves the engine's default, 0022.
	Umask *uint32 `json:",omitempty"`
	// Timeout in ns ends a run that takes longer; 0 is none.
	Timeout int64 `json:",omitempty"`
	// Requires are containers to be started before this one.
	Requires []string `json:",omitempty"`
	// SdNotify says who tells the service manager that the container is
	// ready: "container" (default), "conmon" (tare, when it runs) or "ignore".
	SdNotify string `json:",omitempty"`
	// HealthOnFailure is what follows when the container is unhealthy: none,
	// kill, restart or stop.
	HealthOnFailure string `json:",omitempty"`
	// ReceiptFile is where the receipt of each run is written; absolute.
	ReceiptFile string `json:",omitempty"`
	// Personality is "LINUX" or "LINUX32", or empty for the kernel's own.
	Personality string `json:",omitempty"`
}

// Config is the part of a container's configuration that does not depend on
// the host; an image carries defaults for most of it.
type Config struct {
	Hostname        string              // empty: the first 12 digits of the ID
	Domainname      string              // NIS domain name
	User            string              // user[:group], names or numbers
	AttachStdin     bool                //
	AttachStdout    bool                //
	AttachStderr    bool                //
	ExposedPorts    map[string]struct{} `json:",omitempty"` // "80/tcp"
	Tty             bool                // a terminal instead of three pipes
	OpenStdin       bool                // stdin is open, else /dev/null
	StdinOnce       bool                // close stdin with its first client
	Env             []string            // NAME=VALUE; the last of a name wins
	Cmd             []string            // arguments, or the command itself
	Healthcheck     *Healthcheck        `json:",omitempty"`
	Image           string              // as the user named it
	Volumes         map[string]struct{} // paths that get an anonymous volume
	WorkingDir      string              //
	Entrypoint      []string            // nil: the image's; [""]: none
	NetworkDisabled bool                `json:",omitempty"`
	OnBuild         []string            `json:",omitempty"` //
	Labels          map[string]string   //
	StopSignal      string              `json:",omitempty"` // name or number
	StopTimeout     *int                `json:",omitempty"` // seconds
	Shell           []string            `json:",omitempty"`
}

// Healthcheck is the command that tells whether a container works. Times are
// nanoseconds.
type Healthcheck struct {
	Test          []string `json:",omitempty"`
	Interval      int64    `json:",omitempty"`
	Timeout       int64    `json:",omitempty"`
	StartPeriod   int64    `json:",omitempty"`
	StartInterval int64    `json:",omitempty"`
	Retries       int      `json:",omitempty"`
}

// HostConfig is the part that depends on the host.
type HostConfig struct {
	Binds           []string                 // source:target[:options]
	ContainerIDFile string                   //
	LogConfig       LogConfig                //
	NetworkMode     string                   // none, host; empty is none
	PortBindings    map[string][]PortBinding // keyed "80/tcp"
	RestartPolicy   RestartPolicy            //
	AutoRemove      bool                     // --rm
	VolumeDriver    string                   //
	VolumesFrom     []string                 //
	ConsoleSize     [2]uint                  // height, width
	Annotations     map[string]string        `json:",omitempty"`

	CapAdd          []string          //
	CapDrop         []string          //
	CgroupnsMode    string            // private (default) or host
	DNS             []string          `json:"Dns"`
	DNSOptions      []string          `json:"DnsOptions"`
	DNSSearch       []string          `json:"DnsSearch"`
	ExtraHosts      []string          // name:address
	GroupAdd        []string          // names or numbers
	IpcMode         string            // private (default), host, none, ns:PATH
	Cgroup          string            //
	Links           []string          //
	OomScoreAdj     int               // -1000 to 1000
	PidMode         string            // private (default), host, ns:PATH
	Privileged      bool              //
	PublishAllPorts bool              //
	ReadonlyRootfs  bool              //
	SecurityOpt     []string          // key[=value]; seccomp=JSON text
	StorageOpt      map[string]string `json:",omitempty"`
	Tmpfs           map[string]string `json:",omitempty"` // path to options
	UTSMode         string            // private (default), host, ns:PATH
	UsernsMode      string            // host (default), private, ns:PATH
	ShmSize         int64             // bytes; 0 is 64 MiB
	Sysctls         map[string]string `json:",omitempty"`
	Runtime         string            `json:",omitempty"`
	Isolation       string            //

	Resources

	Mounts        []Mount  `json:",omitempty"`
	MaskedPaths   []string // nil: the default list
	ReadonlyPaths []string // nil: the default list
	Init          *bool    `json:",omitempty"`
}

// Resources are the cgroup limits. Zero means unlimited, and sizes are bytes,
// unless a field says otherwise.
type Resources struct {
	CPUShares            int64 `json:"CpuShares"` // v1 shares, 2 to 262144
	Memory               int64
	NanoCPUs             int64 `json:"NanoCpus"` // billionths of a CPU
	CgroupParent         string
	BlkioWeight          uint16 // 10 to 1000
	BlkioWeightDevice    []WeightDevice
	BlkioDeviceReadBps   []ThrottleDevice
	BlkioDeviceWriteBps  []ThrottleDevice
	BlkioDeviceReadIOps  []ThrottleDevice
	BlkioDeviceWriteIOps []ThrottleDevice
	CPUPeriod            int64  `json:"CpuPeriod"` // microseconds
	CPUQuota             int64  `json:"CpuQuota"`  // microseconds
	CPURealtimePeriod    int64  `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime   int64  `json:"CpuRealtimeRuntime"`
	CPUBurst             int64  `json:"CpuBurst,omitempty"` // microseconds; tare's
	CpusetCpus           string // list format: 0-2,5
	CpusetMems           string
	Devices              []DeviceMapping
	DeviceCgroupRules    []string // "c 1:3 rwm"
	MemoryReservation    int64
	MemorySwap           int64  // memory plus swap; 0 is no swap, -1 unlimited
	MemorySwappiness     *int64 // 0 to 100
	OomKillDisable       *bool
	PidsLimit            *int64 // 0 or -1 is unlimited
	Ulimits              []Ulimit
	Unified              map[string]string `json:",omitempty"` // raw cgroup v2 keys; tare's
}

// WeightDevice is a share of one block device's time.
type WeightDevice struct {
	Path   string
	Weight uint16
}

// ThrottleDevice is a limit in bytes or operations per second.
type ThrottleDevice struct {
	Path string
	Rate uint64
}

// DeviceMapping gives the container a device of the host.
type DeviceMapping struct {
	PathOnHost        string
	PathInContainer   string
	CgroupPermissions string // of "rwm"
}

// Ulimit is one resource limit; -1 is unlimited.
type Ulimit struct {
	Name string
	Hard int64
	Soft int64
}

// LogConfig says where the output goes.
type LogConfig struct {
	Type   string
	Config map[string]string
}

// PortBinding is a port of the host.
type PortBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// RestartPolicy says what follows an exit.
type RestartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// The types of a Mount.
const (
	MountBind   = "bind"
	MountVolume = "volume"
	MountTmpfs  = "tmpfs"
)

// Mount is one mount of --mount, in Docker's form.
type Mount struct {
	Type          string
	Source        string `json:",omitempty"`
	Target        string
	ReadOnly      bool           `json:",omitempty"`
	Consistency   string         `json:",omitempty"`
	BindOptions   *BindOptions   `json:",omitempty"`
	VolumeOptions *VolumeOptions `json:",omitempty"`
	TmpfsOptions  *TmpfsOptions  `json:",omitempty"`
}

// BindOptions refine a bind mount.
type BindOptions struct {
	Propagation            string `json:",omitempty"` // rprivate (default), rslave, …
	NonRecursive           bool   `json:",omitempty"`
	CreateMountpoint       bool   `json:",omitempty"` // make a missing source
	ReadOnlyNonRecursive   bool   `json:",omitempty"`
	ReadOnlyForceRecursive bool   `json:",omitempty"`
	// IDMap maps the owners of files: "uids=C-H-N#C-H-N;gids=…" as Podman
	// writes it, or "" for no mapping. tare's.
	IDMap string `json:",omitempty"`
}

// VolumeOptions refine a volume.
type VolumeOptions struct {
	NoCopy  bool              `json:",omitempty"`
	Labels  map[string]string `json:",omitempty"`
	Subpath string            `json:",omitempty"`
}

// TmpfsOptions refine a tmpfs.
type TmpfsOptions struct {
	SizeBytes int64      `json:",omitempty"`
	Mode      uint32     `json:",omitempty"`
	Options   [][]string `json:",omitempty"`
}

// NetworkingConfig holds the endpoints asked for, by network.
type NetworkingConfig struct {
	EndpointsConfig map[string]EndpointSettings
}

// EndpointSettings is one container's place in one network.
type EndpointSettings struct {
	Aliases    []string
	MacAddress string
}

// TimeOffset shifts one clock of a time namespace.
type TimeOffset struct {
	Clock    string // "monotonic" or "boottime"
	Secs     int64
	Nanosecs uint32 `json:",omitempty"`
}

// ExecConfig is a command for a running container, in the form of Docker's
// exec create request.
type ExecConfig struct {
	User         string   // user[:group]; empty is the container's
	Privileged   bool     // with all capabilities
	Tty          bool     // a terminal instead of three pipes
	ConsoleSize  [2]uint  // height, width
	AttachStdin  bool     //
	AttachStderr bool     //
	AttachStdout bool     //
	Detach       bool     // nobody waits for its end
	DetachKeys   string   // "ctrl-p,ctrl-q"; empty is that
	Env          []string // NAME=VALUE, added to the container's; NAME removes
	WorkingDir   string   // absolute; empty is the container's
	Cmd          []string //
}

// Append appends the JSON text of c: that of encoding/json, without reflection.
func (c *ContainerConfig) Append(b []byte) []byte { return appendContainerConfig(b, c) }

// Append appends the JSON text of c: that of encoding/json, without reflection.
func (c *ExecConfig) Append(b []byte) []byte { return appendExecConfig(b, c) }

// Append appends the JSON text of h: that of encoding/json, without reflection.
func (h *Healthcheck) Append(b []byte) []byte { return appendHealthcheck(b, h) }

// ReadContainerConfig reads a JSON text into c, as package jsonread does.
func ReadContainerConfig(text []byte, c *ContainerConfig) error {
	return jsonread.Decode(text, c, readContainerConfig)
}

// ReadExecConfig reads a JSON text into c, as package jsonread does.
func ReadExecConfig(text []byte, c *ExecConfig) error {
	return jsonread.Decode(text, c, readExecConfig)
}

// ReadHealthcheck reads a JSON text into h, as package jsonread does.
func ReadHealthcheck(text []byte, h *Healthcheck) error {
	return jsonread.Decode(text, h, readHealthcheck)
}
