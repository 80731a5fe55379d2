// Package cases has the configurations that the golden files of package compose
// are of. They are taken through a whole start as well: what was composed has to
// be what is planned and cloned.
package cases

import (
	"github.com/tare-engine/tare/internal/api"
)

// Case is a configuration with the name of its golden file.
type Case struct {
	Name string
	Edit func(*api.ContainerConfig)
}

func ptr[T any](v T) *T { return &v }

// Golden returns the configurations. What they bind of the host is below dir.
func Golden(dir string) []Case {
	return []Case{
		{"default", func(*api.ContainerConfig) {}},
		{"limits", func(c *api.ContainerConfig) {
			c.HostConfig.Resources = api.Resources{
				Memory: 64 << 20, MemoryReservation: 32 << 20, NanoCPUs: 1_500_000_000, CPUShares: 512,
				CpusetCpus: "0-1", CpusetMems: "0", PidsLimit: ptr(int64(100)), BlkioWeight: 300,
				BlkioDeviceReadBps: []api.ThrottleDevice{{Path: "/dev/sda", Rate: 1 << 20}},
				Ulimits:            []api.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}, {Name: "core", Soft: -1, Hard: -1}},
			}
			c.HostConfig.OomScoreAdj = 500
		}},
		{"user", func(c *api.ContainerConfig) {
			c.User, c.WorkingDir, c.Umask = "web", "/srv/../home/web", ptr(uint32(0o27))
			c.HostConfig.GroupAdd = []string{"daemon", "4242"}
			c.Env = []string{"LANG=de_DE", "A=1", "A=2"}
			c.Tty, c.Domainname, c.Hostname = true, "example.org", "web"
		}},
		{"privileged", func(c *api.ContainerConfig) { c.HostConfig.Privileged = true }},
		{"hostns", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.NetworkMode, h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode = "host", "host", "host", "host", "host"
		}},
		{"userns", func(c *api.ContainerConfig) {
			c.HostConfig.UsernsMode = "private"
			c.TimeOffsets = []api.TimeOffset{{Clock: "monotonic", Secs: 3600}}
		}},
		{"mounts", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.ReadonlyRootfs = true
			h.Binds = []string{
				dir + "/srv/data/deep:/data/deep", dir + "/srv/data:/data:ro", "/etc/hosts:/etc/hosts:ro,bind",
				dir + "/x:/y:rslave,idmap=uids=0-1000-1;gids=0-1000-1",
			}
			h.Tmpfs = map[string]string{"/run": "size=64m,exec", "/tmp": ""}
			h.Mounts = []api.Mount{
				{Type: api.MountTmpfs, Target: "/cache", TmpfsOptions: &api.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1770}},
				{Type: api.MountBind, Source: dir + "/opt", Target: "/opt", ReadOnly: true, BindOptions: &api.BindOptions{ReadOnlyNonRecursive: true}},
				{Type: api.MountVolume, Source: dir + "/var/vol", Target: "/vol"},
			}
			h.Init, h.ShmSize = ptr(true), 1<<20
		}},
		{"devices", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.Devices = []api.DeviceMapping{
				{PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rw"},
				{PathOnHost: "/dev/snd", PathInContainer: "/dev/sound", CgroupPermissions: "rwm"},
			}
			h.DeviceCgroupRules = []string{"c 13:* rwm"}
			h.CapAdd, h.CapDrop = []string{"SYS_ADMIN"}, []string{"net_raw", "CAP_MKNOD"}
			h.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined"}
			h.Sysctls = map[string]string{"kernel.msgmax": "65536", "net.core.somaxconn": "1024"}
			h.Annotations = map[string]string{"org.example.a": "b"}
		}},
	}
}
