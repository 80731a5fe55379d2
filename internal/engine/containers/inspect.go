package containers

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/engine/compose"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"
)

// Inspect returns all that is known of a container, and with size what it has
// written, which walks its writable layer.
func (e *Room) Inspect(ref string, size bool) (*api.ContainerInfo, error) {
	r, st, err := e.named(ref)
	if err != nil {
		return nil, err
	}
	en := &entry{e: e, images: map[string]*store.Image{}, record: r, summary: summary(r, st)}
	c, err := en.cfg()
	if err != nil {
		return nil, err
	}
	info := containerInfo(r, &en.summary, c, en.image(), oci.Default(e.Host.ThermalCPUs).Linux)
	info.GraphDriver = e.graphDriver(en)
	if info.ExecIDs, err = e.Execs.IDs(r); err != nil {
		return nil, err
	}
	if log, err := e.logConfig(r, c); err == nil && log.File != "" { // else its start says what is wrong
		if info.LogPath = log.File; !path.IsAbs(log.File) {
			info.LogPath = e.LogDir(r.ID) + "/" + log.File
		}
	}
	if size {
		s, err := en.complete(&api.ListOptions{Brief: true, Size: true})
		if err != nil {
			return nil, err
		}
		info.SizeRw, info.SizeRootFs = &s.SizeRw, &s.SizeRootFs
	}
	return info, nil
}

// containerInfo computes it from the record, what the process is doing, the
// configuration that was asked for, the image, which may be nil, and the
// defaults of every container.
func containerInfo(r *state.Record, s *api.ContainerSummary, c *api.ContainerConfig, img *store.Image, defaults *specs.Linux) *api.ContainerInfo {
	info := &api.ContainerInfo{
		ID: r.ID, Created: api.Stamp(r.Created), Args: []string{}, Image: r.ImageID, Name: "/" + r.Name,
		Driver: api.StorageDriver, Platform: "linux", RestartCount: r.Restarts,
		State: api.ContainerState{
			Status: s.Status, Paused: s.Status == api.StatusPaused, Restarting: s.Status == api.StatusRestarting,
			Running:   s.Status == api.StatusRunning || s.Status == api.StatusPaused || s.Status == api.StatusRestarting,
			OOMKilled: r.OOM, Dead: s.Status == api.StatusDead, Pid: s.Pid, ExitCode: s.ExitCode, Error: r.Error,
			StartedAt: api.Stamp(s.Started), FinishedAt: api.Stamp(s.Finished), Health: r.Health,
		},
		Mounts: slices.Clip(mountPoints(c)), CgroupPath: r.Cgroup, Receipt: r.Receipt,
		RootFS: c.RootFS, Personality: c.Personality, Umask: c.Umask, TimeOffsets: c.TimeOffsets,
	}
	if info.Mounts == nil {
		info.Mounts = []api.MountPoint{}
	}
	if len(r.Command) > 0 {
		info.Path, info.Args = r.Command[0], append(info.Args, r.Command[1:]...)
	}
	var ic *api.ImageDefaults
	if img != nil {
		ic = &img.Config
	}
	info.Config = effectiveConfig(r.ID, &c.Config, ic)
	info.HostConfig = effectiveHostConfig(&c.HostConfig, defaults)
	info.NetworkSettings = networkSettings(r.ID, s, c, ic)
	return info
}

// effectiveConfig is the configuration with what the image adds, as Docker
// keeps it.
func effectiveConfig(id string, asked *api.Config, img *api.ImageDefaults) api.Config {
	c := *asked
	if c.Hostname == "" {
		c.Hostname = id[:min(compose.ShortID, len(id))]
	}
	c.Env = slices.Clone(c.Env)
	c.Labels = maps.Clone(c.Labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if img != nil {
		for _, v := range img.Env {
			name, _, _ := strings.Cut(v, "=")
			if compose.IndexEnv(c.Env, name) < 0 {
				c.Env = append(c.Env, v)
			}
		}
		for k, v := range img.Labels {
			if _, ours := c.Labels[k]; !ours {
				c.Labels[k] = v
			}
		}
		if c.Entrypoint == nil && len(c.Cmd) == 0 {
			c.Cmd = img.Cmd
		}
		if c.Entrypoint == nil {
			c.Entrypoint = img.Entrypoint
		}
		c.User = compose.UserString(&c, img)
		if c.WorkingDir == "" {
			c.WorkingDir = img.WorkingDir
		}
		if c.StopSignal == "" {
			c.StopSignal = img.StopSignal
		}
		if len(c.Shell) == 0 {
			c.Shell = img.Shell
		}
		c.Healthcheck = mergeHealthcheck(c.Healthcheck, img.Healthcheck)
		c.ExposedPorts = merged(c.ExposedPorts, img.ExposedPorts)
		c.Volumes = merged(c.Volumes, img.Volumes)
	}
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil
	}
	if c.Env == nil {
		c.Env = []string{}
	}
	return c
}

func merged(set map[string]struct{}, more []string) map[string]struct{} {
	if len(more) == 0 {
		return set
	}
	out := maps.Clone(set)
	if out == nil {
		out = make(map[string]struct{}, len(more))
	}
	for _, k := range more {
		out[k] = struct{}{}
	}
	return out
}

// effectiveHostConfig fills in the defaults that Docker shows: empty lists
// where it has none of null.
func effectiveHostConfig(asked *api.HostConfig, defaults *specs.Linux) api.HostConfigInfo {
	h := *asked
	orDefault := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	orDefault(&h.NetworkMode, "none")
	orDefault(&h.IpcMode, "private")
	orDefault(&h.CgroupnsMode, "private")
	orDefault(&h.RestartPolicy.Name, "no")
	orDefault(&h.LogConfig.Type, "local")
	orDefault(&h.Runtime, "tare")
	if h.LogConfig.Config == nil {
		h.LogConfig.Config = map[string]string{}
	}
	if h.PortBindings == nil {
		h.PortBindings = map[string][]api.PortBinding{}
	}
	if h.ShmSize == 0 {
		h.ShmSize = oci.DefaultShmSize
	}
	for _, l := range []*[]string{&h.DNS, &h.DNSOptions, &h.DNSSearch} {
		if *l == nil {
			*l = []string{}
		}
	}
	for _, l := range []*[]api.ThrottleDevice{&h.BlkioDeviceReadBps, &h.BlkioDeviceWriteBps, &h.BlkioDeviceReadIOps, &h.BlkioDeviceWriteIOps} {
		if *l == nil {
			*l = []api.ThrottleDevice{}
		}
	}
	if h.BlkioWeightDevice == nil {
		h.BlkioWeightDevice = []api.WeightDevice{}
	}
	if h.Devices == nil {
		h.Devices = []api.DeviceMapping{}
	}
	if h.Ulimits == nil {
		h.Ulimits = []api.Ulimit{}
	}
	masked, readonly := defaults.MaskedPaths, defaults.ReadonlyPaths
	if h.Privileged || slices.Contains(h.SecurityOpt, "systempaths=unconfined") {
		masked, readonly = []string{}, []string{}
	}
	if h.MaskedPaths == nil {
		h.MaskedPaths = masked
	}
	if h.ReadonlyPaths == nil {
		h.ReadonlyPaths = readonly
	}
	return api.HostConfigInfo{HostConfig: h}
}

func networkSettings(id string, s *api.ContainerSummary, c *api.ContainerConfig, img *api.ImageDefaults) api.NetworkSettings {
	n := api.NetworkSettings{Ports: map[string][]api.PortBinding{}, Networks: map[string]*api.EndpointInfo{}}
	for _, name := range networks(c) {
		n.Networks[name] = &api.EndpointInfo{}
	}
	if s.Pid == 0 {
		return n
	}
	n.SandboxID, n.SandboxKey = id, "/proc/"+strconv.Itoa(s.Pid)+"/ns/net"
	var exposed []string
	if img != nil {
		exposed = img.ExposedPorts
	}
	for _, p := range ports(c, exposed) {
		key := strconv.Itoa(int(p.PrivatePort)) + "/" + p.Type
		list := n.Ports[key] // nil: exposed only
		if p.PublicPort != 0 {
			list = append(list, api.PortBinding{HostIP: p.IP, HostPort: strconv.Itoa(int(p.PublicPort))})
		}
		n.Ports[key] = list
	}
	return n
}

func (e *Room) graphDriver(en *entry) api.GraphDriver {
	g := api.GraphDriver{Name: api.StorageDriver, Data: map[string]string{}}
	if m := en.image(); m != nil {
		snap := e.Snapshots.At(en.summary.ID, parentOf(m), en.record.Remove)
		g.Data["UpperDir"], g.Data["WorkDir"], g.Data["LowerDir"] = snap.Upper, snap.Work, strings.Join(m.Lower, ":")
	}
	if en.summary.Pid != 0 {
		g.Data["MergedDir"] = "/proc/" + strconv.Itoa(en.summary.Pid) + "/root"
	}
	return g
}
