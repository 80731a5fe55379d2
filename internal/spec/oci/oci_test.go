package oci

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

// TestDefaultGolden pins the default, to be compared with Docker's by eye.
func TestDefaultGolden(t *testing.T) {
	got, err := json.MarshalIndent(Default([]int{0}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/default.json"
	if *testkit.Update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the default differs from %s; run go test -update and look at git diff. Got:\n%s", file, got)
	}
}

// TestDefaultIsFresh: what one container changes must not reach the next.
func TestDefaultIsFresh(t *testing.T) {
	marshal := func() string {
		b, err := json.Marshal(Default([]int{1}))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := marshal()
	_, err := Compose(Default([]int{1}), WritableMount("/sys"), SystemPaths([]string{}, []string{}), AllDevices(),
		HostNamespace(specs.NetworkNamespace), Namespace(specs.PIDNamespace, "/x"), ShmSize(1), NoMount("/dev/mqueue"))
	if err != nil {
		t.Fatal(err)
	}
	if marshal() != before {
		t.Error("a default changed under an option")
	}
}

func TestComposeStops(t *testing.T) {
	called := false
	_, err := Compose(Default(nil), OOMScoreAdj(2000), func(*specs.Spec) error { called = true; return nil })
	if fault.KindOf(err) != fault.Invalid || called {
		t.Errorf("error %v, next option called: %v", err, called)
	}
}

func TestMounts(t *testing.T) {
	s, err := Compose(Default(nil), Mounts(
		specs.Mount{Destination: "/a/b/c"}, specs.Mount{Destination: "/proc"},
		specs.Mount{Destination: "/a/b"}, specs.Mount{Destination: "/dev"}, specs.Mount{Destination: "/a"},
	))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.Mounts {
		got = append(got, m.Destination)
	}
	want := []string{"/sys", "/sys/fs/cgroup", "/proc", "/dev", "/a", "/a/b", "/a/b/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNamespaces(t *testing.T) {
	s, err := Compose(Default(nil), HostNamespace(specs.IPCNamespace), Namespace(specs.NetworkNamespace, "/run/netns/x"),
		TimeOffset("boottime", -5, 7))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := HasNamespace(s, specs.IPCNamespace); ok {
		t.Error("ipc is still there")
	}
	if p, ok := HasNamespace(s, specs.NetworkNamespace); !ok || p != "/run/netns/x" {
		t.Errorf("network is %q, %v", p, ok)
	}
	if p, ok := HasNamespace(s, specs.TimeNamespace); !ok || p != "" {
		t.Errorf("time is %q, %v", p, ok)
	}
}

func TestSysctl(t *testing.T) {
	for _, tt := range []struct {
		key  string
		host specs.LinuxNamespaceType // shared with the host
		ok   bool
	}{
		{"net.ipv4.ip_forward", "", true},
		{"net.ipv4.ip_forward", specs.NetworkNamespace, false},
		{"net.ipv4.ip_forward", specs.IPCNamespace, true},
		{"kernel.msgmax", "", true},
		{"kernel.msgmax", specs.IPCNamespace, false},
		{"kernel.sem", "", true},
		{"kernel.shm_rmid_forced", "", true},
		{"fs.mqueue.msg_max", "", true},
		{"fs.mqueue.msg_max", specs.IPCNamespace, false},
		{"fs.file-max", "", false},
		{"fs.mqueue.", "", false},
		{"kernel.panic", "", false},
		{"kernel.core_pattern", "", false},
		{"kernel.hostname", "", false},
		{"kernel.shmx", "", false},
		{"net.", "", false},
		{"net", "", false},
		{"", "", false},
		{"net..ipv4", "", false},
		{"net/../kernel/core_pattern", "", false},
		{"net.ipv4/../../kernel/core_pattern", "", false},
		{"net/ipv4/ip_forward", "", true},
		{"net/ipv4/conf/eth0.1/forwarding", "", true},
		{"net.ipv4.conf.eth0/1.forwarding", "", true},
		{"kernel/core_pattern", "", false},
		{"/net/ipv4/ip_forward", "", false},
		{"net.ipv4./", "", false},
		{"vm.overcommit_memory", "", false},
	} {
		opts := []Option{}
		if tt.host != "" {
			opts = append(opts, HostNamespace(tt.host))
		}
		s, err := Compose(Default(nil), append(opts, Sysctl(tt.key, "1"))...)
		if (err == nil) != tt.ok {
			t.Errorf("%q with the host's %q: %v", tt.key, tt.host, err)
		}
		if err == nil && s.Linux.Sysctl[tt.key] != "1" {
			t.Errorf("%q is not set", tt.key)
		}
	}
}

// FuzzSysctl: no key that is taken leads out of the directories of the
// container's namespaces when its dots become slashes.
func FuzzSysctl(f *testing.F) {
	f.Add("net.ipv4.ip_forward")
	f.Add("net./../x")
	f.Fuzz(func(t *testing.T, key string) {
		ns, path, err := SysctlNamespace(key)
		if err != nil {
			return
		}
		for part := range strings.SplitSeq(path, "/") {
			if part == "" || part == "." || part == ".." {
				t.Fatalf("%q has the path %q", key, path)
			}
		}
		if ns == specs.NetworkNamespace && !strings.HasPrefix(path, "net/") {
			t.Fatalf("%q is not below net", key)
		}
	})
}

func TestHostnameNeedsItsNamespace(t *testing.T) {
	if _, err := Compose(Default(nil), HostNamespace(specs.UTSNamespace), Hostname("x", "")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a hostname for the host: %v", err)
	}
	s, err := Compose(Default(nil), Hostname("x", "y"))
	if err != nil || s.Hostname != "x" || s.Domainname != "y" {
		t.Errorf("%v, %v", s, err)
	}
}

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		args []string
		cwd  string
	}{{nil, "/"}, {[]string{"sh"}, "x"}, {[]string{"sh"}, ""}} {
		if _, err := Compose(Default(nil), Process(tt.args, nil, tt.cwd, specs.User{}, false)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q in %q: %v", tt.args, tt.cwd, err)
		}
	}
}
