package container

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestFeatures: what is announced is accepted.
func TestFeatures(t *testing.T) {
	f := Features()
	for _, ns := range f.Linux.Namespaces {
		if _, err := nsFlag(specs.LinuxNamespaceType(ns)); err != nil {
			t.Error(err)
		}
	}
	for _, o := range f.MountOptions {
		m := specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{o}}
		if o == "idmap" || o == "ridmap" {
			m.Type = "bind"
		}
		if got, err := parseMountOptions(&m); err != nil || len(got.data) > 0 {
			t.Errorf("mount option %s: %v, %v", o, err, got.data)
		}
	}
	for name, is := range map[string]*bool{
		"seccomp": f.Linux.Seccomp.Enabled, "cgroup v1": f.Linux.Cgroup.V1, "apparmor": f.Linux.Apparmor.Enabled,
		"netDevices": f.Linux.NetDevices.Enabled, "intelRdt": f.Linux.IntelRdt.Enabled,
	} {
		if !*is {
			t.Errorf("%s is not announced: has its step another name now?", name)
		}
	}
	if len(f.Hooks) != 6 || len(f.Linux.Capabilities) < 41 || len(f.Linux.MemoryPolicy.Modes) == 0 {
		t.Errorf("%+v", f)
	}
}
