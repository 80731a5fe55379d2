package system

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"golang.org/x/sys/unix"
)

// Info reports on the machine and the engine.
func (sy *Room) Info(ctx context.Context) (*api.Info, error) {
	l, err := sy.Layout()
	if err != nil {
		return nil, err
	}
	containers, err := sy.containers.List(ctx, api.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	images, err := sy.ImageStore.List()
	if err != nil {
		return nil, err
	}
	i := &api.Info{
		Root: sy.Root, RunRoot: sy.RunRoot,
		Containers: len(containers), Images: len(images),
		Kernel: sy.Host.Release, Arch: runtime.GOARCH, OS: osName(),
		StorageDriver: "overlay", Security: []string{"seccomp", "cgroupns"},
	}
	_, i.NCPU = host.OnlineCPUs()
	for _, c := range containers {
		switch c.Status {
		case api.StatusRunning, api.StatusRestarting:
			i.Running++
		case api.StatusPaused:
			i.ContainersPaused++
		default:
			i.ContainersStopped++
		}
	}
	var mem unix.Sysinfo_t
	if err := unix.Sysinfo(&mem); err == nil {
		i.MemTotal = int64(mem.Totalram) * int64(mem.Unit)
	}
	v1, v2 := false, false
	for _, h := range l.Hierarchies {
		for _, c := range h.Controllers {
			switch {
			case strings.HasPrefix(c, "name="):
				continue
			case h.Unified:
				v2 = true
				i.Controllers = append(i.Controllers, c+"(v2)")
			default:
				v1 = true
				i.Controllers = append(i.Controllers, c)
			}
		}
		v2 = v2 || h.Unified && len(l.Hierarchies) == 1
	}
	slices.Sort(i.Controllers)
	switch {
	case v1 && v2:
		i.Cgroup = "hybrid"
	case v2:
		i.Cgroup = "v2"
		for k, c := range i.Controllers {
			i.Controllers[k] = strings.TrimSuffix(c, "(v2)")
		}
	case v1:
		i.Cgroup = "v1"
	default:
		i.Cgroup = "none"
	}
	if sy.Host.AppArmor {
		i.Security = append(i.Security, "apparmor")
	}
	if sy.Host.SELinux {
		i.Security = append(i.Security, "selinux")
	}
	i.Missing = sy.missing(l.Find)
	sy.dockerNames(i, l)
	return i, nil
}

// dockerNames fills in what scripts ask docker info for.
func (sy *Room) dockerNames(i *api.Info, l cgroup.Layout) {
	i.ContainersRunning, i.Name = i.Running, sy.Host.Hostname
	i.Driver, i.DockerRootDir, i.KernelVersion, i.OperatingSystem, i.OSType = i.StorageDriver, i.Root, i.Kernel, i.OS, "linux"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		i.Architecture = unix.ByteSliceToString(u.Machine[:])
	}
	i.CgroupDriver, i.CgroupVersion = "cgroupfs", "1"
	if m := l.Find("memory"); m >= 0 && l.Hierarchies[m].Unified {
		i.CgroupVersion = "2"
	}
	i.LoggingDriver, i.DefaultRuntime = "local", "tare"
	for _, s := range i.Security {
		if s == "seccomp" {
			s += ",profile=builtin"
		}
		i.SecurityOptions = append(i.SecurityOptions, "name="+s)
	}
	if sy.Host.UserNS {
		i.SecurityOptions = append(i.SecurityOptions, "name=rootless")
	}
}

// missing says what this kernel or caller lacks, one line each.
func (sy *Room) missing(find func(string) int) []string {
	var out []string
	for _, f := range host.Features() {
		if !f.Has {
			out = append(out, f.Name+": "+f.Without)
		}
	}
	for _, c := range []string{"cpu", "cpuset", "memory", "pids", "devices", "freezer", "hugetlb"} {
		if find(c) >= 0 || find("memory") >= 0 && sy.unifiedOnly(c) {
			continue
		}
		out = append(out, "cgroup controller "+c+": its limits are refused")
	}
	if find("blkio") < 0 && find("io") < 0 {
		out = append(out, "cgroup controller blkio (io): its limits are refused")
	}
	for c := capability.Cap(0); c <= sy.Host.LastCap; c++ {
		if !sy.Host.Bounding.Has(c) {
			out = append(out, c.String()+": not in this process's bounding set, so no container can have it")
		}
	}
	return out
}

// unifiedOnly reports whether a v1 controller's work is done by v2 itself.
func (sy *Room) unifiedOnly(controller string) bool {
	l, err := sy.Layout()
	return err == nil && len(l.Hierarchies) == 1 && l.Hierarchies[0].Unified && (controller == "devices" || controller == "freezer")
}

func osName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "Linux"
}
