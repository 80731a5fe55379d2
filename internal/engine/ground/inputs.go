package ground

import (
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/state"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// Inputs reads what every process of a container is computed from.
func (g *Ground) Inputs(id string, c *api.ContainerConfig) (*compose.Inputs, error) {
	limits, err := g.Limits(c)
	if err != nil {
		return nil, err
	}
	in := &compose.Inputs{
		ID: id, Config: c, Host: &g.Host, Limits: *limits, CgroupParent: CgroupParent, Devices: FindDevices(c),
	}
	if c.HostConfig.Init != nil && *c.HostConfig.Init {
		in.InitPath = g.Helper("tare-base")
	}
	return in, nil
}

// VolumesFrom are the mounts that a container has from others; res may be nil.
func VolumesFrom(res *state.Resolved) []specs.Mount {
	if res == nil {
		return nil
	}
	var list []specs.Mount
	for _, m := range res.VolumesFrom {
		list = append(list, specs.Mount{Destination: m.Destination, Type: "bind", Source: m.Source, Options: m.Options})
	}
	return list
}

// Limits finds out what this machine can limit. CPUs and memory nodes are read
// only when a limit names them.
func (g *Ground) Limits(c *api.ContainerConfig) (*compose.Limits, error) {
	l, err := g.Layout()
	if err != nil {
		return nil, err
	}
	f := &compose.Limits{NCPU: runtime.NumCPU(), Swap: c.HostConfig.Memory == 0 || hasSwapFile(l)}
	for _, h := range l.Hierarchies {
		f.Controllers = append(f.Controllers, v1Names(h.Controllers)...)
		f.Unified = f.Unified || h.Unified && contains(h.Controllers, "memory")
	}
	r := &c.HostConfig.Resources
	if r.NanoCPUs != 0 || r.CpusetCpus != "" || r.CpusetMems != "" {
		f.CPUs, f.NCPU = host.OnlineCPUs()
		f.Mems = host.OnlineMems()
	}
	return f, nil
}

// FindDevices looks at the devices that a configuration wants.
func FindDevices(c *api.ContainerConfig) map[string]compose.FoundDevices {
	paths := compose.DevicePaths(c)
	if len(paths) == 0 {
		return nil
	}
	found := make(map[string]compose.FoundDevices, len(paths))
	for _, p := range paths {
		nodes, err := hostDevices(p)
		found[p] = compose.FoundDevices{Nodes: nodes, Err: err}
	}
	return found
}

// hasSwapFile reports whether the memory controller accounts swap. On v2 the
// root group has no limit files: a missing one is found out when it is
// written.
func hasSwapFile(l cgroup.Layout) bool {
	i := l.Find("memory")
	if i < 0 || l.Hierarchies[i].Unified {
		return true
	}
	_, err := os.Stat(l.Hierarchies[i].Mount + "/memory.memsw.limit_in_bytes")
	return err == nil
}

// CgroupParent is the cgroup of the containers that name none.
const CgroupParent = "/tare"

// v1Names gives the controllers their v1 names, which the options are named
// after.
func v1Names(names []string) []string {
	var out []string
	for _, n := range names {
		switch n {
		case "io":
			out = append(out, "blkio")
		case "cpu":
			out = append(out, "cpu", "cpuacct")
		default:
			out = append(out, n)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// Overlay is what overlayfs can do here.
func (g *Ground) Overlay() snapshot.Features {
	f := snapshot.FeaturesOf(g.Host.Kernel.Major, g.Host.Kernel.Minor)
	f.UserXattr = g.Host.UserNS
	return f
}

// maxSmall bounds what is read of a file that is a container's own.
const maxSmall = 16 << 20

// Accounts reads the passwd and the group file of a root, which open opens. What
// is not there is nil. An error is kept, for whoever needs to know who somebody is.
func Accounts(open func(name string) (*os.File, error)) (a compose.Accounts) {
	for _, f := range []struct {
		name string
		to   *[]byte
	}{{"etc/passwd", &a.Passwd}, {"etc/group", &a.Group}} {
		b, err := ReadSmall(open(f.name))
		switch {
		case err == nil:
			*f.to = b
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) && a.Unread == nil:
			a.Unread = fault.New(fault.KindOf(err), "read /%s of the container: %w", f.name, err)
		}
	}
	return a
}

// ReadSmall reads a file of a container's and closes it; err is that of opening it.
// The error is Invalid for one that is larger than 16 MiB.
func ReadSmall(f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if len(b) > maxSmall {
		return nil, fault.New(fault.Invalid, "larger than %d bytes", maxSmall)
	}
	return b, err
}
