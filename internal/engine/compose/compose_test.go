package compose

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/linux/host"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/engine/compose/cases"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/seccomp"
)

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

func testHost() *host.Facts {
	return &host.Facts{
		Arch: "amd64", Hostname: "machine", Kernel: seccomp.Version{Major: 6, Minor: 18},
		Bounding: capability.UpTo(40), LastCap: 40, ThermalCPUs: []int{0, 1},
	}
}

func testInput(edit ...func(*Inputs)) *Inputs {
	in := &Inputs{
		ID: testID, Config: &api.ContainerConfig{}, Host: testHost(),
		Limits: Limits{
			NCPU: 4, CPUs: "0-3", Mems: "0", Swap: true,
			Controllers: []string{"cpu", "cpuset", "cpuacct", "memory", "blkio", "pids", "devices", "freezer"},
		},
		CgroupParent: "/tare", InitPath: "/usr/libexec/tare/init",
		Image:    &api.ImageDefaults{Cmd: []string{"sh"}, Env: []string{"PATH=/usr/bin:/bin", "LANG=C"}},
		RootPath: "/var/lib/tare/containers/" + testID + "/rootfs",
		FilesDir: "/var/lib/tare/containers/" + testID + "/files",
		Accounts: Accounts{Passwd: []byte(testPasswd), Group: []byte(testGroup)},
	}
	for _, e := range edit {
		e(in)
	}
	if in.Config.HostConfig.NetworkMode == "host" { // what the host's driver prepares
		in.Hosts, in.Resolv = []byte("127.0.0.1 localhost machine\n"), []byte("nameserver 10.0.0.1\n")
	}
	in.Devices = map[string]FoundDevices{}
	for _, p := range DevicePaths(in.Config) {
		nodes, err := testDevices(p)
		in.Devices[p] = FoundDevices{nodes, err}
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

// TestComposeGolden pins the whole specification for typical configurations.
// The seccomp profile has tests of its own and is cut short.
func TestComposeGolden(t *testing.T) {
	type found struct {
		name string
		edit func(*Inputs)
	}
	list := []found{ // what comes with no configuration
		{"rootless", func(in *Inputs) { in.Host.UserNS = true }},
		{"listenfds", func(in *Inputs) { in.Passed = Passed{FDs: 2, Names: "web:admin"} }},
		{"notify", func(in *Inputs) { in.Notify = "/run/tare/live/4f1d/notify" }},
		{"exec", func(in *Inputs) { in.Exec = &Exec{Cgroup: "/tare/4f1d", AllCaps: true} }},
	}
	for _, c := range cases.Golden("") {
		list = append(list, found{c.Name, func(in *Inputs) {
			c.Edit(in.Config)
			if in.Config.HostConfig.UsernsMode != "" {
				in.UIDMap = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
				in.GIDMap = in.UIDMap
			}
		}})
	}
	for _, tt := range list {
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
			testkit.Golden(t, tt.name+".json", append(b, '\n'))
		})
	}
}
