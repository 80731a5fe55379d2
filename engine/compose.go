package engine

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/capability"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/seccomp"
	"github.com/tare-engine/tare/spec"
)

// ComposeInput is everything that a specification is computed from.
type ComposeInput struct {
	ID     string           // container ID, 64 hex digits
	Config *ContainerConfig //
	Image  *image.Config    // nil with Config.RootFS
	Facts  *Facts           // the machine

	RootPath string // absolute host path of the prepared root
	FilesDir string // absolute host path where Composed.Files will be written

	VolumesDir  string        // absolute host path of the container's anonymous volumes
	VolumesFrom []specs.Mount // of the containers that --volumes-from names

	// Passwd and Group are /etc/passwd and /etc/group of the container's root,
	// nil where there are none.
	Passwd, Group []byte
	// Resolv and Hosts are the host's /etc/resolv.conf and /etc/hosts; used
	// with the host's network only.
	Resolv, Hosts []byte

	// Shared are the namespaces of other containers that are joined: the path
	// by the option, "network", "ipc" or "pid".
	Shared map[string]string

	// Devices answers --device and the like: the node at an absolute host path,
	// or all nodes below a directory. Links are followed at the path itself and
	// not below it.
	Devices func(path string) ([]DeviceNode, error)
}

// DeviceNode is one device of the host, as stat gives it.
type DeviceNode struct {
	Path         string // absolute host path
	Type         string // "c" or "b"
	Major, Minor int64
	Mode         uint32 // permission bits
	UID, GID     uint32
}

// Facts is what a specification depends on of the machine.
type Facts struct {
	Arch            string // GOARCH
	Hostname        string // of the machine, for its own UTS or network namespace
	Kernel          seccomp.Version
	Caps            capability.Set // the caller's bounding set
	LastCap         capability.Cap // /proc/sys/kernel/cap_last_cap
	NCPU            int            // CPUs online
	CPUs            string         // online CPUs in list format: "0-3"; "" is unknown
	Mems            string         // online memory nodes; "" is unknown
	ThermalCPUs     []int          // CPUs that have a thermal_throttle directory
	CgroupParent    string         // default parent in the hierarchy: "/tare"
	Controllers     []string       // v1 names on v2 too: cpu, cpuset, memory, blkio, pids, …
	Unified         bool           // the resource controllers are on v2
	Swap            bool           // the memory controller accounts swap
	NoCgroupNS      bool           // the kernel has no cgroup namespaces
	NoTimeNS        bool           // the kernel has no time namespaces
	AppArmor        bool           //
	AppArmorProfile string         // default profile, loaded; "" is none
	SELinux         bool           //
	// Seccomp returns the default profile; nil is seccomp.Default. The engine
	// answers nil where it has the compiled program already.
	Seccomp        func(seccomp.Host) *specs.LinuxSeccomp
	InitPath       string // host path of the binary for --init; "" is none
	UIDMap, GIDMap []specs.LinuxIDMapping
}

// Composed is the specification with what it needs on disk.
type Composed struct {
	Spec     *specs.Spec
	Files    []File   // to be written below FilesDir before the start, 0644
	Dirs     []string // absolute host directories to be made, 0755, if absent
	volumes  []anonymousVolume
	Warnings []string // one line each
}

// File is a small file that is bind-mounted into the container.
type File struct {
	Name    string // below FilesDir: "hosts", "hostname", "resolv.conf"
	Content []byte
}

const (
	shortID  = 12
	initPath = "/sbin/tare-init" // in the container, as Docker's docker-init
)

// Compose computes the specification of a container. It is pure but for the
// questions that it asks in.Devices.
func Compose(in *ComposeInput) (*Composed, error) {
	c, h := in.Config, &in.Config.HostConfig
	if err := checkSupported(c, in.Facts); err != nil {
		return nil, err
	}
	m, err := namespaceModes(in)
	if err != nil {
		return nil, err
	}
	hostname := c.Hostname
	switch {
	case hostname != "" && m.uts.word != "private":
		return nil, fault.New(fault.Invalid, "conflicting options: hostname and the UTS mode")
	case c.Domainname != "" && m.uts.word != "private":
		return nil, fault.New(fault.Invalid, "conflicting options: domainname and the UTS mode")
	case hostname == "" && (m.uts.host || m.net.host):
		hostname = in.Facts.Hostname
	case hostname == "":
		hostname = in.ID[:min(shortID, len(in.ID))]
	}

	out := &Composed{}
	process, err := processOptions(in, &m, hostname)
	if err != nil {
		return nil, err
	}
	limits, warn, err := resources(in)
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
		[]spec.Option{spec.Root(in.RootPath, h.ReadonlyRootfs), spec.CgroupsPath(cgroupPath(in))},
		nss, process, mounts, devs,
		[]spec.Option{spec.Resources(limits), spec.OOMScoreAdj(h.OomScoreAdj), spec.Annotations(h.Annotations)},
		sec,
	)
	out.Spec, err = spec.Compose(spec.Default(in.Facts.ThermalCPUs), opts...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// checkSupported refuses what later versions will do, by name, so that nobody
// is left without it in silence.
func checkSupported(c *ContainerConfig, f *Facts) error {
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
		if err := CheckPlatform(c.Platform, f.Arch); err != nil {
			return err
		}
	}
	if c.StopSignal != "" {
		if _, err := ParseSignal(c.StopSignal); err != nil {
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

// CheckPlatform refuses a platform, os/arch[/variant], that is not the host's.
func CheckPlatform(platform, goarch string) error {
	system, rest, _ := strings.Cut(platform, "/")
	arch, _, _ := strings.Cut(rest, "/")
	switch arch {
	case "x86_64", "x86-64":
		arch = "amd64"
	case "aarch64":
		arch = "arm64"
	}
	if system == "" || rest == "" {
		return fault.New(fault.Invalid, "platform %q: it is os/arch[/variant]", platform)
	}
	if system != "linux" || arch != goarch {
		return fault.New(fault.Unsupported, "platform %s: this machine runs linux/%s", platform, goarch)
	}
	return nil
}

// cgroupPath is the container's place below the root of every hierarchy. It
// cannot climb out of it.
func cgroupPath(in *ComposeInput) string {
	parent := in.Config.HostConfig.CgroupParent
	if parent == "" {
		parent = in.Facts.CgroupParent
	}
	return path.Join("/", path.Join("/", parent), in.ID)
}

func processOptions(in *ComposeInput, m *modes, hostname string) ([]spec.Option, error) {
	c, h := in.Config, &in.Config.HostConfig
	user, err := lookupUser(in.Passwd, in.Group, userString(&c.Config, in.Image), h.GroupAdd)
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
		if in.Facts.InitPath == "" {
			return nil, fault.New(fault.Unsupported, "--init: no init program beside tare")
		}
		args = append([]string{initPath, "--"}, args...)
	}
	env, err := environment(&c.Config, in.Image, hostname, user.home)
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
	opts := []spec.Option{spec.Process(args, env, cwd, user.User, c.Tty), spec.Rlimits(limits)}
	if m.uts.word == "private" {
		opts = append(opts, spec.Hostname(hostname, c.Domainname))
	}
	if c.Tty && h.ConsoleSize != [2]uint{} {
		opts = append(opts, func(s *specs.Spec) error {
			s.Process.ConsoleSize = &specs.Box{Height: h.ConsoleSize[0], Width: h.ConsoleSize[1]}
			return nil
		})
	}
	if c.Personality != "" {
		opts = append(opts, spec.Personality(c.Personality))
	}
	return append(opts, sysctls(h, m)...), nil
}

// sysctls are Docker's two defaults for a new network namespace, ping without
// CAP_NET_RAW and low ports without CAP_NET_BIND_SERVICE, and the ones asked for.
func sysctls(h *HostConfig, m *modes) []spec.Option {
	var opts []spec.Option
	if m.net.word == "none" || m.net.word == "default" {
		opts = append(opts, spec.Sysctl("net.ipv4.ip_unprivileged_port_start", "0"))
		if m.user.host { // the range would name ids that a user namespace lacks
			opts = append(opts, spec.Sysctl("net.ipv4.ping_group_range", "0 2147483647"))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(h.Sysctls)) {
		opts = append(opts, spec.Sysctl(k, h.Sysctls[k]))
	}
	return opts
}

func mountOptions(in *ComposeInput, out *Composed, m *modes, hostname string) ([]spec.Option, error) {
	h := &in.Config.HostConfig
	set, err := userMounts(in.Config, in.VolumesDir)
	if err != nil {
		return nil, err
	}
	for _, m := range in.VolumesFrom {
		if !slices.ContainsFunc(set.mounts, func(u specs.Mount) bool { return u.Destination == m.Destination }) {
			set.mounts = append(set.mounts, m)
		}
	}
	if in.Image != nil {
		for _, p := range slices.Sorted(slices.Values(in.Image.Volumes)) {
			if slices.ContainsFunc(set.mounts, func(u specs.Mount) bool { return u.Destination == path.Clean(p) }) {
				continue
			}
			if err := set.anonymous(p, false); err != nil {
				return nil, err
			}
		}
	}
	out.Dirs, out.volumes = set.dirs, set.own
	files, fileMounts, err := networkFiles(in, hostname, m.net.host)
	if err != nil {
		return nil, err
	}
	mounts := set.mounts
	for i, f := range files {
		taken := slices.ContainsFunc(set.mounts, func(u specs.Mount) bool { return u.Destination == fileMounts[i].Destination })
		if !taken {
			out.Files = append(out.Files, f)
			mounts = append(mounts, fileMounts[i])
		}
	}
	if h.Init != nil && *h.Init && !m.pid.host && m.pid.path == "" {
		mounts = append(mounts, specs.Mount{Destination: initPath, Type: "bind", Source: in.Facts.InitPath, Options: []string{"bind", "ro"}})
	}
	size := h.ShmSize
	if size == 0 {
		size = spec.DefaultShmSize
	}
	opts := []spec.Option{spec.ShmSize(size), spec.Mounts(mounts...)}
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
