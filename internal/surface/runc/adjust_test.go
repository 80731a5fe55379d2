package runc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/spec/oci"
)

// foreign is a configuration as an engine writes it, with all that adjust
// looks at.
func foreign() *specs.Spec {
	return &specs.Spec{
		Version: "1.2.0",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"sh"}, Env: []string{"PATH=/bin", "HOME=/home"}, User: specs.User{UID: 7}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/a", Type: "bind", Source: "/srv/a"},
			{Destination: "/b", Source: "../b", Options: []string{"rbind", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/engine/box",
			UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}},
			Resources:   &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Access: "r"}}},
		},
	}
}

// TestAdjust compares what is made of a configuration with what each case says
// is changed of it. What all cases have in common stands in the first.
func TestAdjust(t *testing.T) {
	type edit = func(*specs.Spec)
	both := cgroup.Layout{Hierarchies: []cgroup.Hierarchy{{Mount: "/sys/fs/cgroup", Unified: true}}}
	const passwd = "root:x:0:0::/root:/bin/sh\nseven:x:7:7::/seven:/bin/sh\nempty:x:8:8:::\n"
	devices := func(s *specs.Spec) {
		s.Mounts[2].Source = "/run/b"
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, oci.DeviceRules()...)
	}
	env := func(v ...string) edit { return func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, v...) } }
	noHome := func(s *specs.Spec) { s.Process.Env = s.Process.Env[:1] }
	cgroupTo := func(path string) edit { return func(s *specs.Spec) { s.Linux.CgroupsPath = path } }
	for _, tt := range []struct {
		name  string
		given edit
		in    inputs
		want  []edit
	}{
		{"sources, devices", nil, inputs{layout: both}, []edit{devices}},
		{"no rules", func(s *specs.Spec) { s.Linux.Resources.Devices = nil }, inputs{layout: both}, []edit{func(s *specs.Spec) {
			s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}}
		}, devices}},
		{"no resources", func(s *specs.Spec) { s.Linux.Resources = nil }, inputs{layout: both}, []edit{func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
		}, devices}},
		{"a user's", nil, inputs{layout: both, userNS: true}, []edit{devices, func(s *specs.Spec) { s.Linux.Resources.Devices = nil }}},
		{"no cgroup named", cgroupTo(""), inputs{layout: both}, []edit{devices, cgroupTo("/id")}},
		{"relative cgroup", cgroupTo("x/y"), inputs{layout: both}, []edit{devices, cgroupTo("/x/y")}},
		{"no cgroups here", cgroupTo(""), inputs{}, []edit{devices}},
		{"a scope", cgroupTo("machine.slice:libpod:x"), inputs{layout: both, scope: "/machine.slice/libpod-x.scope"}, []edit{devices, cgroupTo("/machine.slice/libpod-x.scope")}},
		{"home", noHome, inputs{layout: both, passwd: passwd}, []edit{devices, env("HOME=/seven")}},
		{"no passwd", noHome, inputs{layout: both}, []edit{devices, env("HOME=/")}},
		{"passed sockets", nil, inputs{layout: both, listen: "2"}, []edit{devices, env("LISTEN_FDS=2", "LISTEN_PID=1")}},
		{"inside ids", nil, inputs{layout: both, uids: []idRange{{0, 1000, 1}, {1, 100000, 65536}}}, []edit{devices, func(s *specs.Spec) {
			s.Linux.UIDMappings[0].HostID, s.Linux.UIDMappings[1].HostID = 0, 1
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, untouched, want := foreign(), foreign(), foreign()
			edits := tt.want
			if tt.given != nil {
				tt.given(from)
				tt.given(untouched)
				edits = append([]edit{tt.given}, edits...)
			}
			for _, e := range edits {
				e(want)
			}
			tt.in.id, tt.in.bundle = "id", "/run/bundle"
			got, err := adjust(from, &tt.in)
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(untouched, from); d != "" {
				t.Errorf("what was given is changed: %s", d)
			}
			got.Process.Env[0], got.Mounts[0].Source = "x", "x"
			if d := cmp.Diff(untouched, from); d != "" {
				t.Errorf("the two share memory: %s", d)
			}
		})
	}
	_, err := adjust(foreign(), &inputs{uids: []idRange{{0, 5000, 10}}})
	if fault.KindOf(err) != fault.Denied || err.Error() != "map ids 1000 to 1000: not this user's" {
		t.Errorf("another user's ids: %v", err)
	}
}
