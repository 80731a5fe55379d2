package engine

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/reference"
	"github.com/tare-engine/tare/spec"
	"github.com/tare-engine/tare/state"
)

// storageDriver is the name of the one there is.
const storageDriver = "overlay"

// Inspect returns all that is known of a container, and with size what it has
// written, which walks its writable layer.
func (cs *Containers) Inspect(_ context.Context, ref string, size bool) (*ContainerInfo, error) {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return nil, err
	}
	r, st, err := e.seen(id)
	if err != nil {
		return nil, err
	}
	en := &entry{e: e, images: map[string]*image.Image{}, record: r, summary: summary(r, st)}
	c, err := en.cfg()
	if err != nil {
		return nil, err
	}
	info := containerInfo(r, &en.summary, c, en.image(), spec.Default(e.host.ThermalCPUs).Linux)
	info.GraphDriver = e.graphDriver(en)
	if info.ExecIDs, err = e.execIDs(r); err != nil {
		return nil, err
	}
	if log, err := e.logConfig(r, c); err == nil && log.File != "" { // else its start says what is wrong
		if info.LogPath = log.File; !path.IsAbs(log.File) {
			info.LogPath = e.logDir(id) + "/" + log.File
		}
	}
	if size {
		s, err := en.complete(&ListOptions{Brief: true, Size: true})
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
func containerInfo(r *state.Record, s *ContainerSummary, c *ContainerConfig, img *image.Image, defaults *specs.Linux) *ContainerInfo {
	info := &ContainerInfo{
		ID: r.ID, Created: stamp(r.Created), Args: []string{}, Image: r.ImageID, Name: "/" + r.Name,
		Driver: storageDriver, Platform: "linux", RestartCount: r.Restarts,
		State: ContainerState{
			Status: s.Status, Paused: s.Status == StatusPaused, Restarting: s.Status == StatusRestarting,
			Running:   s.Status == StatusRunning || s.Status == StatusPaused || s.Status == StatusRestarting,
			OOMKilled: r.OOM, Dead: s.Status == StatusDead, Pid: s.Pid, ExitCode: s.ExitCode, Error: r.Error,
			StartedAt: stamp(s.Started), FinishedAt: stamp(s.Finished), Health: r.Health,
		},
		Mounts: slices.Clip(mountPoints(c)), CgroupPath: r.Cgroup, Receipt: r.Receipt,
		RootFS: c.RootFS, Personality: c.Personality, Umask: c.Umask, TimeOffsets: c.TimeOffsets,
	}
	if info.Mounts == nil {
		info.Mounts = []MountPoint{}
	}
	if len(r.Command) > 0 {
		info.Path, info.Args = r.Command[0], append(info.Args, r.Command[1:]...)
	}
	var ic *image.Config
	if img != nil {
		ic = &img.Config
	}
	info.Config = effectiveConfig(r.ID, &c.Config, ic)
	info.HostConfig = effectiveHostConfig(&c.HostConfig, defaults)
	info.NetworkSettings = networkSettings(r.ID, s, c, ic)
	return info
}

// stamp is a time in Docker's form; the zero time too.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// effectiveConfig is the configuration with what the image adds, as Docker
// keeps it.
func effectiveConfig(id string, asked *Config, img *image.Config) Config {
	c := *asked
	if c.Hostname == "" {
		c.Hostname = id[:min(shortID, len(id))]
	}
	c.Env = slices.Clone(c.Env)
	c.Labels = maps.Clone(c.Labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if img != nil {
		for _, v := range img.Env {
			name, _, _ := strings.Cut(v, "=")
			if indexEnv(c.Env, name) < 0 {
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
		c.User = userString(&c, img)
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
func effectiveHostConfig(asked *HostConfig, defaults *specs.Linux) HostConfigInfo {
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
		h.PortBindings = map[string][]PortBinding{}
	}
	if h.ShmSize == 0 {
		h.ShmSize = spec.DefaultShmSize
	}
	for _, l := range []*[]string{&h.DNS, &h.DNSOptions, &h.DNSSearch} {
		if *l == nil {
			*l = []string{}
		}
	}
	for _, l := range []*[]ThrottleDevice{&h.BlkioDeviceReadBps, &h.BlkioDeviceWriteBps, &h.BlkioDeviceReadIOps, &h.BlkioDeviceWriteIOps} {
		if *l == nil {
			*l = []ThrottleDevice{}
		}
	}
	if h.BlkioWeightDevice == nil {
		h.BlkioWeightDevice = []WeightDevice{}
	}
	if h.Devices == nil {
		h.Devices = []DeviceMapping{}
	}
	if h.Ulimits == nil {
		h.Ulimits = []Ulimit{}
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
	return HostConfigInfo{HostConfig: h}
}

func networkSettings(id string, s *ContainerSummary, c *ContainerConfig, img *image.Config) NetworkSettings {
	n := NetworkSettings{Ports: map[string][]PortBinding{}, Networks: map[string]*EndpointInfo{}}
	for _, name := range networks(c) {
		n.Networks[name] = &EndpointInfo{}
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
			list = append(list, PortBinding{HostIP: p.IP, HostPort: strconv.Itoa(int(p.PublicPort))})
		}
		n.Ports[key] = list
	}
	return n
}

func (e *Engine) graphDriver(en *entry) GraphDriver {
	g := GraphDriver{Name: storageDriver, Data: map[string]string{}}
	if m := en.image(); m != nil {
		snap := e.snapshots.At(en.summary.ID, parentOf(m), en.record.Remove)
		g.Data["UpperDir"], g.Data["WorkDir"], g.Data["LowerDir"] = snap.Upper, snap.Work, strings.Join(m.Lower, ":")
	}
	if en.summary.Pid != 0 {
		g.Data["MergedDir"] = "/proc/" + strconv.Itoa(en.summary.Pid) + "/root"
	}
	return g
}

// Inspect returns all that is known of an image.
func (is *Images) Inspect(_ context.Context, ref string) (*ImageInfo, error) {
	s := is.e.images
	m, err := s.Resolve(ref, image.Platform{})
	if err != nil {
		return nil, err
	}
	f, err := s.Details(&m)
	if err != nil {
		return nil, err
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	info := &ImageInfo{
		ID: m.ID, RepoTags: []string{}, RepoDigests: []string{}, Created: stamp(m.Created), Author: f.Author,
		Architecture: m.Platform.Arch, Variant: m.Platform.Variant, Os: m.Platform.OS, Size: m.Size,
		Config: imageConfig(&m.Config),
		RootFS: ImageRootFS{Type: "layers", Layers: f.DiffIDs},
	}
	info.Metadata.LastTagTime = stamp(time.Time{})
	if n := len(f.History); n > 0 {
		info.Comment = f.History[n-1].Comment
	}
	for i := range all {
		if n := &all[i]; n.ID == m.ID && n.Name != "" {
			r, err := reference.Parse(n.Name)
			if err != nil {
				return nil, err
			}
			if r.Tag != "" {
				info.RepoTags = append(info.RepoTags, r.Familiar())
			}
			switch digest := n.Digest(); {
			case r.Digest != "":
				info.RepoDigests = append(info.RepoDigests, r.FamiliarName()+"@"+r.Digest)
			case digest != "":
				info.RepoDigests = append(info.RepoDigests, r.FamiliarName()+"@"+digest)
			}
		}
	}
	slices.Sort(info.RepoTags)
	slices.Sort(info.RepoDigests)
	info.RepoDigests = slices.Compact(info.RepoDigests)
	info.GraphDriver = GraphDriver{Name: storageDriver, Data: map[string]string{}}
	if len(m.Lower) > 0 {
		info.GraphDriver.Data["UpperDir"] = m.Lower[0]
		info.GraphDriver.Data["WorkDir"] = path.Dir(m.Lower[0])
	}
	if len(m.Lower) > 1 {
		info.GraphDriver.Data["LowerDir"] = strings.Join(m.Lower[1:], ":")
	}
	return info, nil
}

func imageConfig(c *image.Config) ImageConfig {
	out := ImageConfig{
		User: c.User, ExposedPorts: merged(nil, c.ExposedPorts), Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
		Volumes: merged(nil, c.Volumes), WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal,
		OnBuild: c.OnBuild, Shell: c.Shell,
	}
	if len(c.Healthcheck) > 0 {
		var h Healthcheck
		if json.Unmarshal(c.Healthcheck, &h) == nil { // else it is none that could be run
			out.Healthcheck = &h
		}
	}
	return out
}
