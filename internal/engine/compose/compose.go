// Package compose computes the specification of a container: from what was
// asked for, what the image says, and what was found on the host. It asks
// nobody anything (a test holds its imports to that), and what it returns is
// not changed afterwards.
package compose

import (
	"maps"
	"path"
	"slices"

	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/userdb"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// Accounts are /etc/passwd and /etc/group of a root, nil where there are none.
type Accounts struct {
	Passwd, Group []byte
	Unread        error // why one that is there cannot be read
}

// Inputs is everything that a specification is computed from.
type Inputs struct {
	ID     string               // container ID, 64 hex digits
	Config *api.ContainerConfig //
	Image  *api.ImageDefaults   // nil with Config.RootFS
	Host   *host.Facts          // the machine and the caller
	Limits Limits               // what this machine can limit

	CgroupParent   string // default parent in the hierarchy: "/tare"
	InitPath       string // host path of the binary for --init; "" is none
	UIDMap, GIDMap []specs.LinuxIDMapping

	RootPath string // absolute host path of the prepared root
	FilesDir string // absolute host path where Composition.Files will be written

	VolumesDir  string        // absolute host path of the container's anonymous volumes
	VolumesFrom []specs.Mount // of the containers that --volumes-from names

	Accounts
	// Net says that a driver answers for the network that was asked for. Resolv
	// and Hosts are the texts that it has prepared, nil where the container gets
	// its own.
	Net           bool
	Resolv, Hosts []byte

	// Shared are the namespaces of other containers that are joined: the path
	// by the option, "network", "ipc" or "pid".
	Shared map[string]string

	// Devices are what is at the paths that DevicePaths names.
	Devices map[string]FoundDevices

	// Filtered says that the compiled default filter is there already: the
	// profile that it is of is left out.
	Filtered bool

	// Passed are the descriptors from 3 on that a service manager has opened
	// for the container (sd_listen_fds(3)).
	Passed Passed
	// Notify is the host path of the socket over which the container says that
	// it is ready (sd_notify(3)); "" is none.
	Notify string

	// Exec composes a further process of a container that runs; nil for a
	// container.
	Exec *Exec
}

// Passed are descriptors that a container gets from the caller.
type Passed struct {
	FDs   int
	Names string // LISTEN_FDNAMES: one for each, with colons between; or ""
}

// Exec is what a further process of a container has apart.
type Exec struct {
	Cgroup  string // the container's
	AllCaps bool   // every capability of the caller, as with exec --privileged
}

// FoundDevices is the node at a host's path, or all nodes below it, where it is
// a directory; or why there is none. Links are followed at the path itself and
// not below it.
type FoundDevices struct {
	Nodes []DeviceNode
	Err   error
}

// DeviceNode is one device of the host, as stat gives it.
type DeviceNode struct {
	Path         string // absolute host path
	Type         string // "c" or "b"
	Major, Minor int64
	Mode         uint32 // permission bits
	UID, GID     uint32
}

// Limits is what of the machine the limits depend on.
type Limits struct {
	NCPU        int      // CPUs online
	CPUs        string   // online CPUs in list format: "0-3"; "" is unknown
	Mems        string   // online memory nodes; "" is unknown
	Controllers []string // v1 names on v2 too: cpu, cpuset, memory, blkio, pids, …
	Unified     bool     // the resource controllers are on v2
	Swap        bool     // the memory controller accounts swap
}

// Composition is the specification with what it needs on disk.
type Composition struct {
	// Spec is not to be changed by anybody: what is started is what was computed,
	// and what --plan shows (TestEqual, in internal/engine/containers).
	Spec     *specs.Spec
	Files    []File   // to be written below FilesDir before the start, 0644
	Dirs     []string // absolute host directories to be made, 0755, if absent
	Volumes  []Volume // to be made, and filled with what the image has there
	Notify   string   // host path of a socket to be made, or ""
	Warnings []string // one line each
}

// Makes reports whether a host's directory is made with the container.
func (c *Composition) Makes(dir string) bool {
	return slices.Contains(c.Dirs, dir) || slices.ContainsFunc(c.Volumes, func(v Volume) bool { return v.Path == dir })
}

// File is a small file that is bind-mounted into the container.
type File struct {
	Name    string // below FilesDir: "hosts", "hostname", "resolv.conf"
	Content []byte
}

// ShortID is how many digits of an id are shown where a short one is.
const ShortID = 12

// InitPath is where --init has its program in the container, as Docker's
// docker-init.
const InitPath = "/sbin/tare-init"

// Compose computes the specification of a container.
func Compose(in *Inputs) (*Composition, error) {
	c, h := in.Config, &in.Config.HostConfig
	if err := Check(c, in.Host); err != nil {
		return nil, err
	}
	m, err := namespaceModes(in)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Hostname != "" && m.uts.word != "private":
		return nil, fault.New(fault.Invalid, "conflicting options: hostname and the UTS mode")
	case c.Domainname != "" && m.uts.word != "private":
		return nil, fault.New(fault.Invalid, "conflicting options: domainname and the UTS mode")
	}
	hostname := hostnameOf(in, &m)

	out := &Composition{Notify: in.Notify}
	process, err := processOptions(in, &m, hostname)
	if err != nil {
		return nil, err
	}
	limits, warn, err := Resources(in)
	if err != nil {
		return nil, err
	}
	out.Warnings = append(out.Warnings, warn...)
	nss, err := namespaces(in, &m)
	if err != nil {
		return nil, err
	}
	mounts, err := mountOptions(in, out, &m, hostname)
	if err != nil {
		return nil, err
	}
	devs, warn, err := devices(in)
	if err != nil {
		return nil, err
	}
	out.Warnings = append(out.Warnings, warn...)
	sec, warn, err := security(in, &m)
	if err != nil {
		return nil, err
	}
	out.Warnings = append(out.Warnings, warn...)

	opts := slices.Concat(
		[]oci.Option{oci.Root(in.RootPath, h.ReadonlyRootfs), oci.CgroupsPath(CgroupPath(c, in.ID, in.CgroupParent))},
		nss, process, mounts, devs,
		[]oci.Option{oci.Resources(limits), oci.OOMScoreAdj(h.OomScoreAdj), oci.Annotations(h.Annotations)},
		sec, passed(in), callers(in), further(in),
	)
	out.Spec, err = oci.Compose(oci.Default(in.Host.ThermalCPUs), opts...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Check refuses what later versions will do, by name, so that nobody
// is left without it in silence.
func Check(c *api.ContainerConfig, f *host.Facts) error {
	h := &c.HostConfig
	for _, n := range [...]struct {
		asked bool
		what  string
	}{
		{len(h.PortBindings) > 0 || h.PublishAllPorts, "published ports"},
		{len(h.Links) > 0, "links"},
		{h.VolumeDriver != "" && h.VolumeDriver != "local", "volume drivers"},
		{len(h.StorageOpt) > 0, "storage options"},
		{h.Runtime != "", "other runtimes"},
		{len(c.NetworkingConfig.EndpointsConfig) > 0, "networks"},
	} {
		if n.asked {
			return fault.New(fault.Unsupported, "%s are not supported yet", n.what)
		}
	}
	if c.Platform != "" {
		if err := api.CheckPlatform(c.Platform, f.Arch); err != nil {
			return err
		}
	}
	if c.StopSignal != "" {
		if _, err := oci.ParseSignal(c.StopSignal); err != nil {
			return err
		}
	}
	if h.ShmSize < 0 {
		return fault.New(fault.Invalid, "SHM size can not be less than 0")
	}
	if err := checkHostname("hostname", c.Hostname); err != nil {
		return err
	}
	return checkHostname("domainname", c.Domainname)
}

// CgroupPath is the container's place below the root of every hierarchy. It
// cannot climb out of it.
func CgroupPath(c *api.ContainerConfig, id, standard string) string {
	parent := c.HostConfig.CgroupParent
	if parent == "" {
		parent = standard
	}
	return path.Join("/", path.Join("/", parent), id)
}

func processOptions(in *Inputs, m *modes, hostname string) ([]oci.Option, error) {
	c, h := in.Config, &in.Config.HostConfig
	who := UserString(&c.Config, in.Image)
	if in.Unread != nil && (who != "" && who != "0" || len(h.GroupAdd) > 0) {
		return nil, in.Unread // without them a user has another group, or none
	}
	user, err := userdb.Lookup(in.Passwd, in.Group, who, h.GroupAdd)
	if err != nil {
		return nil, err
	}
	user.Umask = c.Umask
	if c.Umask != nil && *c.Umask > 0o777 {
		return nil, fault.New(fault.Invalid, "invalid umask %#o", *c.Umask)
	}
	args := Command(&c.Config, in.Image)
	if len(args) == 0 {
		return nil, fault.New(fault.Invalid, "no command specified")
	}
	if h.Init != nil && *h.Init && !m.pid.host && m.pid.path == "" {
		if in.InitPath == "" {
			return nil, fault.New(fault.Unsupported, "--init: no init program beside tare")
		}
		args = append([]string{InitPath, "--"}, args...)
	}
	env, err := environment(&c.Config, in.Image, hostname, user.Home)
	if err != nil {
		return nil, err
	}
	cwd, err := workingDir(&c.Config, in.Image)
	if err != nil {
		return nil, err
	}
	limits, err := rlimits(h.Ulimits)
	if err != nil {
		return nil, err
	}
	opts := []oci.Option{oci.Process(args, env, cwd, user.User, c.Tty), oci.Rlimits(limits)}
	if m.uts.word == "private" {
		opts = append(opts, oci.Hostname(hostname, c.Domainname))
	}
	if c.Tty && h.ConsoleSize != [2]uint{} {
		opts = append(opts, func(s *specs.Spec) error {
			s.Process.ConsoleSize = &specs.Box{Height: h.ConsoleSize[0], Width: h.ConsoleSize[1]}
			return nil
		})
	}
	if c.Personality != "" {
		opts = append(opts, oci.Personality(c.Personality))
	}
	return append(opts, sysctls(h, m)...), nil
}

// sysctls are Docker's two defaults for a new network namespace, ping without
// CAP_NET_RAW and low ports without CAP_NET_BIND_SERVICE, and the ones asked for.
func sysctls(h *api.HostConfig, m *modes) []oci.Option {
	var opts []oci.Option
	if m.net.word == "none" || m.net.word == "default" {
		opts = append(opts, oci.Sysctl("net.ipv4.ip_unprivileged_port_start", "0"))
		if m.user.host { // the range would name ids that a user namespace lacks
			opts = append(opts, oci.Sysctl("net.ipv4.ping_group_range", "0 2147483647"))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(h.Sysctls)) {
		opts = append(opts, oci.Sysctl(k, h.Sysctls[k]))
	}
	return opts
}

// hostnameOf is the name of a container, in its own UTS namespace or not.
func hostnameOf(in *Inputs, m *modes) string {
	switch name := in.Config.Hostname; {
	case name != "":
		return name
	case m.uts.host || m.net.host:
		return in.Host.Hostname
	}
	return in.ID[:min(ShortID, len(in.ID))]
}

// mountsAskedFor are those of the user, of other containers, and of the image.
func mountsAskedFor(in *Inputs) (*Mounts, error) {
	set, err := UserMounts(in.Config, in.VolumesDir)
	if err != nil {
		return nil, err
	}
	for _, m := range in.VolumesFrom {
		if !slices.ContainsFunc(set.Mounts, func(u specs.Mount) bool { return u.Destination == m.Destination }) {
			set.Mounts = append(set.Mounts, m)
		}
	}
	if in.Image != nil {
		for _, p := range slices.Sorted(slices.Values(in.Image.Volumes)) {
			if slices.ContainsFunc(set.Mounts, func(u specs.Mount) bool { return u.Destination == path.Clean(p) }) {
				continue
			}
			if err := set.anonymous(p, false); err != nil {
				return nil, err
			}
		}
	}
	return set, nil
}

// NetworkFiles returns the files of a container that tell of its network, without
// those that it has a mount of its own over. They may change while it runs.
func NetworkFiles(in *Inputs) ([]File, error) {
	m, err := namespaceModes(in)
	if err != nil {
		return nil, err
	}
	set, err := mountsAskedFor(in)
	if err != nil {
		return nil, err
	}
	files, _, err := networkFiles(in, set.Mounts, hostnameOf(in, &m), m.net.host)
	return files, err
}

func mountOptions(in *Inputs, out *Composition, m *modes, hostname string) ([]oci.Option, error) {
	h := &in.Config.HostConfig
	set, err := mountsAskedFor(in)
	if err != nil {
		return nil, err
	}
	out.Dirs, out.Volumes = set.Dirs, set.Own
	files, fileMounts, err := networkFiles(in, set.Mounts, hostname, m.net.host)
	if err != nil {
		return nil, err
	}
	out.Files = files
	mounts := append(set.Mounts, fileMounts...)
	if h.Init != nil && *h.Init && !m.pid.host && m.pid.path == "" {
		mounts = append(mounts, specs.Mount{Destination: InitPath, Type: "bind", Source: in.InitPath, Options: []string{"bind", "ro"}})
	}
	size := h.ShmSize
	if size == 0 {
		size = oci.DefaultShmSize
	}
	opts := []oci.Option{oci.ShmSize(size), oci.Mounts(mounts...)}
	if set.shared || set.slave {
		propagation := "rslave"
		if set.shared {
			propagation = "shared"
		}
		opts = append(opts, func(s *specs.Spec) error {
			s.Linux.RootfsPropagation = propagation
			return nil
		})
	}
	return opts, nil
}
