package compose

import (
	"slices"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// TestComposeErrors is what a user sees for requests that make no sense here.
func TestComposeErrors(t *testing.T) {
	type edit = func(*Inputs, *api.ContainerConfig, *api.HostConfig)
	for _, tt := range []struct {
		want string
		kind fault.Kind
		edit edit
	}{
		{"minimum memory limit allowed is 6MB", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Memory = 1 << 20 }},
		{"minimum memory reservation allowed is 6MB", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.MemoryReservation = 1 }},
		{"minimum memory limit can not be less than memory reservation", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Memory, h.MemoryReservation = 8<<20, 9<<20
		}},
		{"minimum memory-swap limit should be larger", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Memory, h.MemorySwap = 8<<20, 7<<20 }},
		{"always set the memory limit", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.MemorySwap = 7 << 20 }},
		{"invalid memory-swap limit -2", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.MemorySwap = -2 }},
		{"does not account swap", fault.Unsupported, func(in *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			in.Limits.Swap, h.Memory, h.MemorySwap = false, 8<<20, 9<<20
		}},
		{"valid memory swappiness range is 0-100", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.MemorySwappiness = ptr(int64(101)) }},
		{"cgroup v2 has no swappiness", fault.Unsupported, func(in *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			in.Limits.Unified, h.MemorySwappiness = true, ptr(int64(1))
		}},
		{"--memory: this machine has no memory cgroup controller", fault.Unsupported, func(in *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			in.Limits.Controllers, h.Memory = []string{"cpu"}, 8<<20
		}},
		{"--pids-limit: this machine has no pids cgroup controller", fault.Unsupported, func(in *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			in.Limits.Controllers, h.PidsLimit = nil, ptr(int64(5))
		}},
		{"range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.NanoCPUs = 4_000_000_001 }},
		{"range of CPUs is from 0.01", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.NanoCPUs = 1 }},
		{"Nano CPUs and CPU Period", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.NanoCPUs, h.CPUPeriod = 1e9, 1000 }},
		{"Nano CPUs and CPU Quota", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.NanoCPUs, h.CPUQuota = 1e9, 1000 }},
		{"CPU cfs period", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.CPUPeriod = 999 }},
		{"CPU cfs quota", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.CPUQuota = 999 }},
		{"CPU burst can not be larger than the quota", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.CPUBurst = 999 }},
		{"requested CPUs are not available - requested 0,4, available: 0-3", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.CpusetCpus = "0,4" }},
		{"requested memory nodes are not available - requested 1, available: 0", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.CpusetMems = "1" }},
		{`invalid value 0-x for cpuset-cpus: "x" is not a number`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.CpusetCpus = "0-x" }},
		{"range of blkio weight is from 10 to 1000", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.BlkioWeight = 5 }},
		{"/dev/null is not a block device", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.BlkioDeviceReadBps = []api.ThrottleDevice{{Path: "/dev/null", Rate: 1}}
		}},
		{"device /dev/nope: stat /dev/nope: no such file", fault.NotFound, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/nope"}}
		}},
		{"CDI devices are not supported yet", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Devices = []api.DeviceMapping{{PathOnHost: "nvidia.com/gpu=all"}}
		}},
		{"raw keys need cgroup v2", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Unified = map[string]string{"memory.high": "1"}
		}},
		{"not the name of a cgroup file", fault.Invalid, func(in *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			in.Limits.Unified, h.Unified = true, map[string]string{"../memory.high": "1"}
		}},
		{`sysctl "kernel.panic" is not in a namespace`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Sysctls = map[string]string{"kernel.panic": "1"}
		}},
		{`sysctl "net.core.somaxconn" is not allowed in the host's network namespace`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.NetworkMode, h.Sysctls = "host", map[string]string{"net.core.somaxconn": "1"}
		}},
		{`sysctl "kernel.hostname" has an option of its own`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Sysctls = map[string]string{"kernel.hostname": "x"}
		}},
		{"network bridge: networks are not supported yet", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.NetworkMode = "bridge" }},
		{"--network container:web: the namespace of a container cannot be shared", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.NetworkMode = "container:web" }},
		{`--pid: invalid mode "nope"`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.PidMode = "nope" }},
		{"the path of a namespace must be absolute", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.IpcMode = "ns:x" }},
		{"conflicting options: hostname and the UTS mode", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, h *api.HostConfig) { h.UTSMode, c.Hostname = "host", "x" }},
		{"no ids are set aside", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.UsernsMode = "private" }},
		{"seccomp profile: ", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.SecurityOpt = []string{"seccomp={"} }},
		{"AppArmor is not enabled", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.SecurityOpt = []string{"apparmor=x"} }},
		{"SELinux is not enabled", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.SecurityOpt = []string{"label=type:x"} }},
		{"writable-cgroups and --cgroupns host", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.CgroupnsMode, h.SecurityOpt = "host", []string{"writable-cgroups=true"}
		}},
		{"includes invalid characters for a local volume name", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"a/b:/c"} }},
		{"named volumes are not supported yet", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"data:/c"} }},
		{"invalid mode: bogus", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"/a:/c:bogus"} }},
		{"mount path must be absolute", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"/a:c"} }},
		{"destination can't be '/'", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"/a:/x/.."} }},
		{"duplicate mount point: /c", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"/a:/c", "/b:/c/"} }},
		{"invalid volume specification", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"/a::/c"} }},
		{"invalid idmap", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Binds = []string{"/a:/c:idmap=uids=0-1"} }},
		{"field Source must not be empty", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Mounts = []api.Mount{{Type: "bind", Target: "/x"}}
		}},
		{"invalid mount path: 'rel' mount path must be absolute", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Mounts = []api.Mount{{Type: "bind", Source: "rel", Target: "/x"}}
		}},
		{"invalid propagation mode", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Mounts = []api.Mount{{Type: "bind", Source: "/a", Target: "/x", BindOptions: &api.BindOptions{Propagation: "loud"}}}
		}},
		{"mount type unknown", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.Mounts = []api.Mount{{Type: "nfs", Target: "/x"}}
		}},
		{`invalid tmpfs option "bogus"`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Tmpfs = map[string]string{"/x": "bogus"} }},
		{`option "size" needs a value`, fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.Tmpfs = map[string]string{"/x": "size"} }},
		{"published ports are not supported yet", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.PublishAllPorts = true }},
		{"platform linux/arm64: this machine runs linux/amd64", fault.Unsupported, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.Platform = "linux/arm64" }},
		{"it is os/arch[/variant]", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.Platform = "amd64" }},
		{"range for oom score adj", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.OomScoreAdj = 1001 }},
		{"invalid signal", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.StopSignal = "SIGNOPE" }},
		{"no command specified", fault.Invalid, func(in *Inputs, _ *api.ContainerConfig, _ *api.HostConfig) { in.Image = &api.ImageDefaults{} }},
		{"needs to be an absolute path", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.WorkingDir = "x" }},
		{"unable to find user x", fault.NotFound, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.User = "x" }},
		{"invalid hostname", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.Hostname = "a b" }},
		{"no init program beside tare", fault.Unsupported, func(in *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			in.InitPath, h.Init = "", ptr(true)
		}},
		{"personality", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.Personality = "BSD" }},
		{"invalid umask", fault.Invalid, func(_ *Inputs, c *api.ContainerConfig, _ *api.HostConfig) { c.Umask = ptr(uint32(0o1000)) }},
		{"invalid IP address in add-host", fault.Invalid, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) {
			h.ExtraHosts = []string{"h=fe80::1%e\n1.1.1.1 x"}
		}},
		{"host-gateway needs a bridge", fault.Unsupported, func(_ *Inputs, _ *api.ContainerConfig, h *api.HostConfig) { h.ExtraHosts = []string{"h:host-gateway"} }},
	} {
		in := testInput(func(in *Inputs) { tt.edit(in, in.Config, &in.Config.HostConfig) })
		_, err := Compose(in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
			continue
		}
		if k := fault.KindOf(err); k != tt.kind {
			t.Errorf("%q is %v, want %v", err, k, tt.kind)
		}
		if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%q has more than one line", err)
		}
	}
}

// TestMemorySwap: no swap unless asked for.
func TestMemorySwap(t *testing.T) {
	for _, tt := range []struct {
		name        string
		swap        int64
		noAccount   bool
		want        *int64
		wantWarning bool
	}{
		{"default", 0, false, ptr(int64(64 << 20)), false},
		{"more", 96 << 20, false, ptr(int64(96 << 20)), false},
		{"none", 64 << 20, false, ptr(int64(64 << 20)), false},
		{"unlimited", -1, false, ptr(int64(-1)), false},
		{"default without accounting", 0, true, nil, true},
		{"unlimited without accounting", -1, true, nil, false},
	} {
		out, err := Compose(testInput(func(in *Inputs) {
			in.Config.HostConfig.Memory, in.Config.HostConfig.MemorySwap = 64<<20, tt.swap
			in.Limits.Swap = !tt.noAccount
		}))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := out.Spec.Linux.Resources.Memory.Swap
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%s: swap %v, want %v", tt.name, got, tt.want)
		}
		if (len(out.Warnings) > 0) != tt.wantWarning {
			t.Errorf("%s: warnings %q", tt.name, out.Warnings)
		}
	}
}

// TestOOMKillDisable: without a limit the whole machine is what may run out
// of memory.
func TestOOMKillDisable(t *testing.T) {
	for _, limit := range []int64{0, 64 << 20} {
		out, err := Compose(testInput(func(in *Inputs) {
			in.Config.HostConfig.Memory, in.Config.HostConfig.OomKillDisable = limit, ptr(true)
			in.Limits.Unified = false
		}))
		if err != nil || (len(out.Warnings) == 1) != (limit == 0) {
			t.Errorf("limit %d: %q, %v", limit, out.Warnings, err)
		}
	}
}

func TestCommand(t *testing.T) {
	img := &api.ImageDefaults{Entrypoint: []string{"entry"}, Cmd: []string{"cmd"}}
	for _, tt := range []struct {
		entrypoint, cmd []string
		img             *api.ImageDefaults
		want            string
	}{
		{nil, nil, img, "entry cmd"},
		{nil, []string{"mine"}, img, "entry mine"},
		{[]string{"e"}, nil, img, "e"},
		{[]string{"e"}, []string{"c"}, img, "e c"},
		{[]string{""}, nil, img, ""},
		{[]string{""}, []string{"c"}, img, "c"},
		{nil, []string{"c"}, nil, "c"},
	} {
		if got := strings.Join(Command(&api.Config{Entrypoint: tt.entrypoint, Cmd: tt.cmd}, tt.img), " "); got != tt.want {
			t.Errorf("%q %q: got %q, want %q", tt.entrypoint, tt.cmd, got, tt.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	img := &api.ImageDefaults{Env: []string{"PATH=/img", "A=1", "B=1", "HOME="}}
	got, err := environment(&api.Config{Env: []string{"B=2", "C=1", "C=2", "A", "", "EMPTY="}}, img, "host", "/root")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PATH=/img", "HOSTNAME=host", "B=2", "HOME=/root", "C=2", "EMPTY="}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"=x", "A=\x00"} {
		if _, err := environment(&api.Config{Env: []string{bad}}, nil, "", ""); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestNonRootCapabilities: another user keeps the bounding set only.
func TestNonRootCapabilities(t *testing.T) {
	out, err := Compose(testInput(func(in *Inputs) {
		in.Config.User = "web"
		in.Host.Bounding &^= capability.Of(0) // CAP_CHOWN is not ours to give
	}))
	if err != nil {
		t.Fatal(err)
	}
	c := out.Spec.Process.Capabilities
	if len(c.Bounding) != 13 || c.Permitted != nil || c.Effective != nil || c.Inheritable != nil || c.Ambient != nil {
		t.Errorf("%+v", c)
	}
}

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{"0", 0},
		{"32", 32},
		{"32b", 32},
		{"32B", 32},
		{"32k", 32 << 10},
		{"32K", 32 << 10},
		{"32kb", 32 << 10},
		{"32Kib", 32 << 10},
		{"1.5m", 3 << 19},
		{"1 g", 1 << 30},
		{".5t", 1 << 39},
		{"2p", 2 << 50},
	} {
		if got, err := api.ParseSize(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1x", "1kk", "1bb", "1..2k", "k", "1e9", "9223372036854775808", "0x10", "1  k", "1k "} {
		if got, err := api.ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d", bad, got)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{"TERM": 15, "sigkill": 9, "9": 9, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "64": 64, "SIGUSR1": 10} {
		if got, err := oci.ParseSignal(in); err != nil || int(got) != want {
			t.Errorf("ParseSignal(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "0", "65", "-1", "SIG", "FOO", "RTMIN-1", "RTMIN+40", "RTMIN+", "SIGSIGTERM"} {
		if got, err := oci.ParseSignal(bad); err == nil {
			t.Errorf("ParseSignal(%q) = %d", bad, got)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "a1": true, "A.b-c_d": true, "": false, "a": false, ".a": false, "-a": false, "a/b": false, "a b": false,
		"ä1": false, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
	} {
		if got := api.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}

// FuzzStrings throws text at the small parsers.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"0-3,5", "1.5g", "SIGRTMIN+3", "uids=0-1-2;gids=@0-1-2#3-4-5", "c 1:* rwm", "nofile=1:2", "a:[::1]", "/a:/b:ro,idmap=uids=0-0-1;gids=0-0-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = parseCPUList(s)
		if n, err := api.ParseSize(s); err == nil && n < 0 {
			t.Errorf("size %q is %d", s, n)
		}
		if n, err := oci.ParseSignal(s); err == nil && (n < 1 || n > 64) {
			t.Errorf("signal %q is %d", s, n)
		}
		_, _, _ = parseIDMap(s)
		_, _ = api.ParseDeviceRule(s)
		_, _ = api.ParseUlimit(s)
		_, _, _ = api.ParseExtraHost(s)
		_, _ = parseSecurityOpts([]string{s})
		set := &Mounts{}
		if err := set.bindString(s); err == nil && (set.Mounts[0].Destination[0] != '/' || set.Mounts[0].Source[0] != '/') {
			t.Errorf("bind %q is %+v", s, set.Mounts[0])
		}
		_ = set.tmpfs("/t", strings.Split(s, ","))
	})
}
