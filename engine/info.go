package engine

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/tare-engine/tare/capability"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/host"
	"golang.org/x/sys/unix"
)

// Info reports on the machine and the engine.
func (e *Engine) Info(ctx context.Context) (*Info, error) {
	l, err := e.layout()
	if err != nil {
		return nil, err
	}
	containers, err := e.Containers.List(ctx, ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	images, err := e.images.List()
	if err != nil {
		return nil, err
	}
	i := &Info{
		Root: e.opt.Root, RunRoot: e.opt.RunRoot,
		Containers: len(containers), Images: len(images),
		Kernel: e.host.Release, Arch: runtime.GOARCH, OS: osName(),
		StorageDriver: "overlay", Security: []string{"seccomp", "cgroupns"},
	}
	_, i.NCPU = host.OnlineCPUs()
	for _, c := range containers {
		switch c.Status {
		case StatusRunning, StatusRestarting:
			i.Running++
		case StatusPaused:
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
	if e.host.AppArmor {
		i.Security = append(i.Security, "apparmor")
	}
	if e.host.SELinux {
		i.Security = append(i.Security, "selinux")
	}
	i.Missing = e.missing(l.Find)
	e.dockerNames(i, l)
	return i, nil
}

// dockerNames fills in what scripts ask docker info for.
func (e *Engine) dockerNames(i *Info, l cgroup.Layout) {
	i.ContainersRunning, i.Name = i.Running, e.host.Hostname
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
	if e.host.UserNS {
		i.SecurityOptions = append(i.SecurityOptions, "name=rootless")
	}
}

// missing says what this kernel or caller lacks, one line each.
func (e *Engine) missing(find func(string) int) []string {
	var out []string
	for _, f := range host.Features() {
		if !f.Has {
			out = append(out, f.Name+": "+f.Without)
		}
	}
	for _, c := range []string{"cpu", "cpuset", "memory", "pids", "devices", "freezer", "hugetlb"} {
		if find(c) >= 0 || find("memory") >= 0 && e.unifiedOnly(c) {
			continue
		}
		out = append(out, "cgroup controller "+c+": its limits are refused")
	}
	if find("blkio") < 0 && find("io") < 0 {
		out = append(out, "cgroup controller blkio (io): its limits are refused")
	}
	for c := capability.Cap(0); c <= e.host.LastCap; c++ {
		if !e.host.Bounding.Has(c) {
			out = append(out, c.String()+": not in this process's bounding set, so no container can have it")
		}
	}
	return out
}

// unifiedOnly reports whether a v1 controller's work is done by v2 itself.
func (e *Engine) unifiedOnly(controller string) bool {
	l, err := e.layout()
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
