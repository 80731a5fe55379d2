package containers

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
)

type equalConfig struct {
	name string
	edit func(*api.ContainerConfig)
}

func ptr[T any](v T) *T { return &v }

// equalConfigs are configurations that use every field of one that means
// something: TestEqualFields holds them to it. Dir is for what they need on the
// host; "other" is a container that is there.
func equalConfigs(dir string) []equalConfig {
	return []equalConfig{
		{"plain", func(*api.ContainerConfig) {}},
		{"warnings", func(c *api.ContainerConfig) { c.HostConfig.OomKillDisable = ptr(true) }},
		{"process", func(c *api.ContainerConfig) {
			c.Hostname, c.Domainname, c.User, c.WorkingDir = "inside", "example.org", "1:2", "/tmp"
			c.Env, c.Umask, c.Personality, c.Platform = []string{"A=1", "B=2", "A=3"}, ptr(uint32(0o27)), "LINUX", "linux/amd64"
			c.Entrypoint, c.Cmd, c.Shell = []string{"/bin/sh"}, []string{"-c", "exit 3"}, []string{"/bin/sh", "-c"}
			c.StopSignal, c.StopTimeout, c.Labels = "SIGINT", ptr(7), map[string]string{"a": "1", "b": "2"}
			c.ExposedPorts, c.OnBuild, c.NetworkDisabled = map[string]struct{}{"80/tcp": {}}, []string{"RUN true"}, true
			c.AttachStdin, c.AttachStdout, c.AttachStderr = true, true, true
			c.HostConfig.GroupAdd, c.HostConfig.Ulimits = []string{"5"}, []api.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
			c.HostConfig.OomScoreAdj, c.HostConfig.Sysctls = 100, map[string]string{"net.ipv4.ip_forward": "1"}
		}},
		{"userns", func(c *api.ContainerConfig) { c.HostConfig.UsernsMode = "private" }},
		{"init", func(c *api.ContainerConfig) { c.HostConfig.Init = ptr(true) }},
		{"input", func(c *api.ContainerConfig) { c.OpenStdin, c.StdinOnce = true, true }},
		{"terminal", func(c *api.ContainerConfig) { c.Tty, c.HostConfig.ConsoleSize = true, [2]uint{24, 80} }},
		{"watched", func(c *api.ContainerConfig) {
			c.Timeout, c.ReceiptFile = 1e12, dir+"/receipt.json"
			c.Healthcheck, c.HealthOnFailure = &api.Healthcheck{
				Test: []string{"CMD", "true"}, Interval: 1e10, Timeout: 2e9, StartPeriod: 3e9, StartInterval: 4e9, Retries: 5,
			}, "kill"
			c.HostConfig.LogConfig = api.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}}
			c.SdNotify, c.HostConfig.ContainerIDFile = "conmon", dir+"/cid"
			c.HostConfig.Annotations = map[string]string{"org.example.a": "b"}
		}},
		{"files", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.Binds = []string{dir + ":/data:ro", dir + "/new:/new", "/anonymous"}
			h.Tmpfs = map[string]string{"/run": "size=1m"}
			h.Mounts = []api.Mount{
				{Type: api.MountBind, Source: dir, Target: "/bound", ReadOnly: true, BindOptions: &api.BindOptions{Propagation: "rslave"}},
				{Type: api.MountVolume, Target: "/own"},
				{Type: api.MountTmpfs, Target: "/cache", TmpfsOptions: &api.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1777}},
			}
			c.Volumes = map[string]struct{}{"/volume": {}}
			h.ReadonlyRootfs, h.ShmSize = true, 1<<20
			h.MaskedPaths, h.ReadonlyPaths = []string{"/proc/kcore"}, []string{"/proc/sys"}
		}},
		{"others", func(c *api.ContainerConfig) {
			c.Requires, c.HostConfig.VolumesFrom = []string{"other"}, []string{"other:ro"}
		}},
		{"names", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.DNS, h.DNSOptions, h.DNSSearch = []string{"10.0.0.1"}, []string{"ndots:1"}, []string{"example.org"}
			h.ExtraHosts = []string{"db:10.0.0.2"}
		}},
		{"host", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.NetworkMode, h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode = "host", "host", "host", "host", "host"
		}},
		{"clocks", func(c *api.ContainerConfig) {
			c.TimeOffsets = []api.TimeOffset{{Clock: "boottime", Secs: 60, Nanosecs: 1}}
		}},
		{"rights", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.CapAdd, h.CapDrop, h.SecurityOpt = []string{"SYS_TIME"}, []string{"NET_RAW"}, []string{"no-new-privileges"}
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/nil", CgroupPermissions: "rw"}}
			h.DeviceCgroupRules = []string{"c 13:* r"}
		}},
		{"privileged", func(c *api.ContainerConfig) { c.HostConfig.Privileged = true }},
		{"memory", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.Memory, h.MemoryReservation, h.PidsLimit = 64<<20, 32<<20, ptr(int64(50))
		}},
		{"swap", func(c *api.ContainerConfig) { c.HostConfig.Memory, c.HostConfig.MemorySwap = 64<<20, 96<<20 }},
		{"swappiness", func(c *api.ContainerConfig) { c.HostConfig.MemorySwappiness = ptr(int64(10)) }},
		{"cpu", func(c *api.ContainerConfig) {
			h := &c.HostConfig
			h.CPUShares, h.CpusetCpus, h.CpusetMems = 512, "0", "0"
			h.CPUPeriod, h.CPUQuota, h.CPUBurst = 100000, 50000, 1000
		}},
		{"cpus", func(c *api.ContainerConfig) { c.HostConfig.NanoCPUs = 1e9 }},
		{"raw", func(c *api.ContainerConfig) { c.HostConfig.Unified = map[string]string{"memory.high": "67108864"} }},
		{"rootfs", func(c *api.ContainerConfig) { c.Image, c.RootFS = "", dir+"/rootfs" }},
	}
}

// allConfigs are those and the golden cases of package compose.
func allConfigs(dir string) []equalConfig { return append(equalConfigs(dir), goldenConfigs(dir)...) }

// unequal are the fields that no configuration of TestEqual has, and why.
var unequal = map[string]string{
	"Name": "runWay", "AutoRemove": "the way", "RestartPolicy.Name": "TestEqualRetry", "RestartPolicy.MaximumRetryCount": "TestEqualRetry",
	"PortBindings": "refused", "PublishAllPorts": "refused", "Links": "refused", "VolumeDriver": "refused", "StorageOpt": "refused",
	"Runtime": "refused", "NetworkingConfig.EndpointsConfig": "refused",
	"Cgroup": "Docker's, without a meaning here", "Isolation": "Docker's, without a meaning here",
	"BlkioWeight": "wants a controller that few machines have", "BlkioWeightDevice": "the same",
	"BlkioDeviceReadBps": "wants a block device", "BlkioDeviceWriteBps": "the same", "BlkioDeviceReadIOps": "the same",
	"BlkioDeviceWriteIOps": "the same", "CPURealtimePeriod": "wants a controller that few machines have", "CPURealtimeRuntime": "the same",
}

// TestEqualFields: every field of a configuration is in one of those that
// TestEqual compares, or says why not.
func TestEqualFields(t *testing.T) {
	set := map[string]bool{}
	for _, tt := range equalConfigs("/dir") {
		c := testContainer("true")
		tt.edit(c)
		fields(reflect.ValueOf(c).Elem(), "", set)
	}
	for name, used := range set {
		_, excused := unequal[name]
		if used == excused {
			t.Errorf("%s: used %v, excused %v", name, used, excused)
		}
	}
}

// fields notes for each field whether it is set.
func fields(v reflect.Value, prefix string, set map[string]bool) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		switch {
		case f.Anonymous, f.Name == "HostConfig":
			fields(value, prefix, set)
		case value.Kind() == reflect.Struct:
			fields(value, prefix+f.Name+".", set)
		default:
			set[prefix+f.Name] = set[prefix+f.Name] || !value.IsZero()
		}
	}
}

// equalHost makes what the configurations need: a root file system, and another
// container.
func equalHost(t *testing.T, e *house) string {
	t.Helper()
	forget(t, e)
	dir := t.TempDir()
	tree := dir + "/rootfs"
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tree+"/bin/busybox", b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("busybox", tree+"/bin/sh"); err != nil {
		t.Fatal(err)
	}
	goldenHost(t, dir)
	c := testContainer("sleep", "1000")
	c.Name, c.Volumes = "other", map[string]struct{}{"/shared": {}}
	if _, err := e.Begin(t.Context(), &Request{Config: c}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// lacks reports whether this machine cannot give what a configuration wants.
func lacks(err error) bool {
	return fault.KindOf(err) == fault.Unsupported && !strings.Contains(err.Error(), "not supported yet")
}
