package engine

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/capability"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/seccomp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testID = "4f1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff0"

const testPasswd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
web:x:1000:1001:Web:/home/web:/bin/sh
`

const testGroup = `root:x:0:
daemon:x:1:
web:x:1001:
video:x:44:web,daemon
docker:x:999:web
`

func testFacts() *Facts {
	return &Facts{
		Arch: "amd64", Hostname: "machine", Kernel: seccomp.Version{Major: 6, Minor: 18},
		Caps: capability.UpTo(40), LastCap: 40, NCPU: 4, CPUs: "0-3", Mems: "0",
		ThermalCPUs: []int{0, 1}, CgroupParent: "/tare", Swap: true,
		Controllers: []string{"cpu", "cpuset", "cpuacct", "memory", "blkio", "pids", "devices", "freezer"},
		InitPath:    "/usr/libexec/tare/init",
	}
}

func testInput(edit ...func(*ComposeInput)) *ComposeInput {
	in := &ComposeInput{
		ID: testID, Config: &ContainerConfig{}, Facts: testFacts(),
		Image:    &image.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/usr/bin:/bin", "LANG=C"}},
		RootPath: "/var/lib/tare/containers/" + testID + "/rootfs",
		FilesDir: "/var/lib/tare/containers/" + testID + "/files",
		Passwd:   []byte(testPasswd), Group: []byte(testGroup),
		Hosts: []byte("127.0.0.1 localhost machine\n"), Resolv: []byte("nameserver 10.0.0.1\n"),
		Devices: testDevices,
	}
	for _, e := range edit {
		e(in)
	}
	return in
}

func testDevices(path string) ([]DeviceNode, error) {
	nodes := []DeviceNode{
		{Path: "/dev/console", Type: "c", Major: 5, Minor: 1, Mode: 0o600},
		{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, Mode: 0o666},
		{Path: "/dev/null", Type: "c", Major: 1, Minor: 3, Mode: 0o666},
		{Path: "/dev/pts/0", Type: "c", Major: 136, Minor: 0, Mode: 0o620, GID: 5},
		{Path: "/dev/sda", Type: "b", Major: 8, Minor: 0, Mode: 0o660, GID: 6},
		{Path: "/dev/snd/seq", Type: "c", Major: 116, Minor: 1, Mode: 0o660, GID: 29},
		{Path: "/dev/snd/timer", Type: "c", Major: 116, Minor: 33, Mode: 0o660, GID: 29},
	}
	var found []DeviceNode
	for _, n := range nodes {
		if n.Path == path || strings.HasPrefix(n.Path, path+"/") {
			found = append(found, n)
		}
	}
	if found == nil {
		return nil, fault.New(fault.NotFound, "stat %s: no such file or directory", path)
	}
	return found, nil
}

func ptr[T any](v T) *T { return &v }

// golden compares with testdata/name, or rewrites it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run go test -update and look at git diff. Got:\n%s", file, got)
	}
}

// TestComposeGolden pins the whole specification for typical configurations.
// The seccomp profile has tests of its own and is cut short.
func TestComposeGolden(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*ComposeInput)
	}{
		{"default", func(*ComposeInput) {}},
		{"limits", func(in *ComposeInput) {
			in.Config.HostConfig.Resources = Resources{
				Memory: 64 << 20, MemoryReservation: 32 << 20, NanoCPUs: 1_500_000_000, CPUShares: 512,
				CpusetCpus: "0-1", CpusetMems: "0", PidsLimit: ptr(int64(100)), BlkioWeight: 300,
				BlkioDeviceReadBps: []ThrottleDevice{{"/dev/sda", 1 << 20}},
				Ulimits:            []Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}, {Name: "core", Soft: -1, Hard: -1}},
			}
			in.Config.HostConfig.OomScoreAdj = 500
		}},
		{"user", func(in *ComposeInput) {
			in.Config.User = "web"
			in.Config.HostConfig.GroupAdd = []string{"daemon", "4242"}
			in.Config.WorkingDir = "/srv/../home/web"
			in.Config.Umask = ptr(uint32(0o27))
			in.Config.Env = []string{"LANG=de_DE", "A=1", "A=2"}
			in.Config.Tty = true
			in.Config.Domainname = "example.org"
			in.Config.Hostname = "web"
		}},
		{"privileged", func(in *ComposeInput) { in.Config.HostConfig.Privileged = true }},
		{"hostns", func(in *ComposeInput) {
			h := &in.Config.HostConfig
			h.NetworkMode, h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode = "host", "host", "host", "host", "host"
		}},
		{"userns", func(in *ComposeInput) {
			in.Facts.UIDMap = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
			in.Facts.GIDMap = in.Facts.UIDMap
			in.Config.HostConfig.UsernsMode = "private"
			in.Config.TimeOffsets = []TimeOffset{{Clock: "monotonic", Secs: 3600}}
		}},
		{"mounts", func(in *ComposeInput) {
			h := &in.Config.HostConfig
			h.ReadonlyRootfs = true
			h.Binds = []string{"/srv/data/deep:/data/deep", "/srv/data:/data:ro", "/etc/hosts:/etc/hosts:ro,bind", "/x:/y:rslave,idmap=uids=0-1000-1;gids=0-1000-1"}
			h.Tmpfs = map[string]string{"/run": "size=64m,exec", "/tmp": ""}
			h.Mounts = []Mount{
				{Type: MountTmpfs, Target: "/cache", TmpfsOptions: &TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1770}},
				{Type: MountBind, Source: "/opt", Target: "/opt", ReadOnly: true, BindOptions: &BindOptions{ReadOnlyNonRecursive: true}},
				{Type: MountVolume, Source: "/var/vol", Target: "/vol"},
			}
			h.Init = ptr(true)
			h.ShmSize = 1 << 20
		}},
		{"devices", func(in *ComposeInput) {
			h := &in.Config.HostConfig
			h.Devices = []DeviceMapping{{"/dev/fuse", "/dev/fuse", "rw"}, {"/dev/snd", "/dev/sound", "rwm"}}
			h.DeviceCgroupRules = []string{"c 13:* rwm"}
			h.CapAdd, h.CapDrop = []string{"SYS_ADMIN"}, []string{"net_raw", "CAP_MKNOD"}
			h.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined"}
			h.Sysctls = map[string]string{"kernel.msgmax": "65536", "net.core.somaxconn": "1024"}
			h.Annotations = map[string]string{"org.example.a": "b"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := Compose(testInput(tt.edit))
			if err != nil {
				t.Fatal(err)
			}
			if out.Spec.Linux.Seccomp != nil {
				if len(out.Spec.Linux.Seccomp.Syscalls) < 5 {
					t.Error("seccomp profile has no rules")
				}
				out.Spec.Linux.Seccomp.Syscalls = nil
			}
			files := make(map[string]string)
			for _, f := range out.Files {
				files[f.Name] = string(f.Content)
			}
			b, err := json.MarshalIndent(struct {
				Spec     *specs.Spec
				Files    map[string]string
				Dirs     []string `json:",omitempty"`
				Warnings []string `json:",omitempty"`
			}{out.Spec, files, out.Dirs, out.Warnings}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".json", append(b, '\n'))
		})
	}
}
