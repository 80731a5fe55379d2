package container

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsontest"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

type hierarchy = cgroup.Hierarchy

// TestStateJSON: hooks and those who listen to a filter are told encoding/json's
// bytes.
func TestStateJSON(t *testing.T) {
	jsontest.Same(t, appendState)
	jsontest.Same(t, appendContainerProcessState)
}

func itoa(n int) string { return strconv.Itoa(n) }

var (
	layoutV2 = cgroup.Layout{Hierarchies: []hierarchy{{
		Mount: "/sys/fs/cgroup", Root: "/", Self: "/", Unified: true,
		Controllers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"},
	}}}
	layoutV1 = cgroup.Layout{Hierarchies: []hierarchy{
		v1("cpu", "cpuacct"), v1("cpuset"), v1("memory"), v1("devices"), v1("freezer"), v1("blkio"), v1("pids"), v1("name=systemd"),
	}}
	layoutHybrid = cgroup.Layout{Hierarchies: []hierarchy{
		v1("memory"), v1("devices"), v1("pids"), v1("name=systemd"),
		{Mount: "/sys/fs/cgroup/unified", Root: "/", Self: "/", Unified: true, Controllers: []string{"cpu", "io"}},
	}}
)

func v1(controllers ...string) hierarchy {
	return hierarchy{Mount: "/sys/fs/cgroup/" + controllers[0], Root: "/", Self: "/", Controllers: controllers}
}

// pureConfig is a configuration for a machine that need not exist.
func pureConfig(edits ...edit) Config {
	cfg := Config{
		Spec: baseSpec(seccomp.Host{GOARCH: "amd64", Kernel: seccomp.Version{Major: 6, Minor: 18}}, []string{"sh", "-c", "echo hello"}),
		Root: snapshot.Mount{Config: []snapshot.FSConfig{
			{Cmd: snapshot.SetFD, Key: "lowerdir+", Open: "/var/lib/tare/layers/2/fs"},
			{Cmd: snapshot.SetFD, Key: "lowerdir+", Open: "/var/lib/tare/layers/1/fs"},
			{Cmd: snapshot.SetFD, Key: "upperdir", Open: "/var/lib/tare/overlay/c/upper"},
			{Cmd: snapshot.SetFD, Key: "workdir", Open: "/var/lib/tare/overlay/c/work"},
			{Cmd: snapshot.SetFlag, Key: "volatile"},
		}},
		Stdin: -1, Stdout: 1, Stderr: 2, Layout: layoutV2,
		IsDir: func(string) (bool, error) { return true, nil },
		Facts: host.Facts{
			Bounding: 1<<41 - 1, LastCap: 40, NoFile: [2]uint64{1024, 4096}, Arch: "amd64",
			Rlimit: func(int) [2]uint64 { return [2]uint64{0, 8192} },
		},
	}
	cfg.Spec.Linux.CgroupsPath = "/tare/c"
	apply(&cfg, edits)
	return cfg
}

func TestParseMountOptions(t *testing.T) {
	const atime = unix.MOUNT_ATTR__ATIME
	for _, tt := range []struct {
		name    string
		options []string
		want    mountOptions
	}{
		{"none", nil, mountOptions{}},
		{"ro", []string{"ro"}, mountOptions{set: unix.MOUNT_ATTR_RDONLY}},
		{"the last wins", []string{"ro", "rw"}, mountOptions{clear: unix.MOUNT_ATTR_RDONLY}},
		{"both ways", []string{"rw", "ro"}, mountOptions{set: unix.MOUNT_ATTR_RDONLY}},
		{"rro", []string{"rro"}, mountOptions{recSet: unix.MOUNT_ATTR_RDONLY}},
		{"noatime", []string{"noatime"}, mountOptions{set: unix.MOUNT_ATTR_NOATIME, clear: atime}},
		{"one atime mode", []string{"noatime", "strictatime"}, mountOptions{set: unix.MOUNT_ATTR_STRICTATIME, clear: atime}},
		{"relatime is zero", []string{"noatime", "relatime"}, mountOptions{clear: atime}},
		{"recursive atime", []string{"rnoatime"}, mountOptions{recSet: unix.MOUNT_ATTR_NOATIME, recClear: atime}},
		{"bind", []string{"bind"}, mountOptions{bind: true}},
		{"rbind", []string{"rbind"}, mountOptions{bind: true, recursive: true}},
		{"propagation", []string{"rslave"}, mountOptions{propagation: unix.MS_SLAVE, recPropagation: true}},
		{"one mount's propagation", []string{"shared"}, mountOptions{propagation: unix.MS_SHARED}},
		{"idmap", []string{"bind", "ridmap"}, mountOptions{bind: true, idmap: true, recursiveIdmap: true}},
		{"superblock", []string{"sync", "lazytime"}, mountOptions{super: []string{"sync", "lazytime"}}},
		{"remount", []string{"remount", "ro"}, mountOptions{remount: true, set: unix.MOUNT_ATTR_RDONLY}},
		{"data", []string{"size=1m", "", "mode=700"}, mountOptions{data: []string{"size=1m", "mode=700"}}},
		{"copy up", []string{"tmpcopyup"}, mountOptions{copyUp: true}},
		{"nothing to do", []string{"defaults", "async", "loud"}, mountOptions{}},
	} {
		m := specs.Mount{Destination: "/d", Type: "tmpfs", Options: tt.options}
		if got, err := parseMountOptions(&m); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", tt.name, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		options []string
		want    string
		kind    fault.Kind
	}{
		{[]string{"rbind", "size=1m,nosuidd"}, `mount /d: unknown option "nosuidd"`, fault.Invalid},
	} {
		_, err := parseMountOptions(&specs.Mount{Destination: "/d", Options: tt.options})
		if err == nil || err.Error() != tt.want || fault.KindOf(err) != tt.kind {
			t.Errorf("%q: %v, want %s", tt.options, err, tt.want)
		}
	}
}

// TestAtimeRule: mount_setattr refuses to set an atime mode unless the whole
// field is cleared (mount_setattr(2)).
func TestAtimeRule(t *testing.T) {
	for _, a := range mountFlags {
		for _, b := range mountFlags {
			m := specs.Mount{Destination: "/d", Options: []string{a.name, b.name}}
			o, err := parseMountOptions(&m)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range [][2]uint64{{o.set, o.clear}, {o.recSet, o.recClear}} {
				if touched := (p[0] | p[1]) & unix.MOUNT_ATTR__ATIME; touched != 0 && p[1]&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME {
					t.Errorf("%s,%s: set %x, clear %x", a.name, b.name, p[0], p[1])
				}
				if mode := p[0] & unix.MOUNT_ATTR__ATIME; mode == unix.MOUNT_ATTR__ATIME {
					t.Errorf("%s,%s: two atime modes", a.name, b.name)
				}
			}
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		want []string
	}{
		{"/bin/sh", []string{"PATH=/x"}, []string{"/bin/sh"}},
		{"./sh", nil, []string{"./sh"}},
		{"a/b", []string{"PATH=/x"}, []string{"a/b"}},
		{"sh", []string{"PATH=/bin:/usr/bin/"}, []string{"/bin/sh", "/usr/bin/sh"}},
		{"sh", []string{"PATH=/a", "PATH=/b"}, []string{"/b/sh"}},
		{"sh", []string{"PATH=:/a:"}, []string{"./sh", "/a/sh", "./sh"}},
		{"sh", []string{"PATH="}, nil},
		{"sh", []string{"XPATH=/a"}, nil},
		{"sh", nil, nil},
	} {
		if got := candidates(tt.name, tt.env); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s with %q: %q, want %q", tt.name, tt.env, got, tt.want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"/": ".", "": ".", ".": ".", "..": ".", "/../..": ".", "/a": "a", "a//b/": "a/b", "/a/./b/../c": "a/c", "/../../etc": "etc", "/a/..": ".",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestIDMapText(t *testing.T) {
	got := idMapText([]specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65535}})
	if want := "0 1000 1\n1 100000 65535\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExecErrorText(t *testing.T) {
	for _, tt := range []struct {
		e        ExecError
		text     string
		notFound bool
	}{
		{ExecError{"sh", unix.ENOENT}, `exec: "sh": executable file not found in $PATH`, true},
		{ExecError{"/sh", unix.ENOENT}, `exec: "/sh": no such file or directory`, true},
		{ExecError{"a/b", unix.ENOTDIR}, `exec: "a/b": not a directory`, true},
		{ExecError{"sh", unix.EACCES}, `exec: "sh": permission denied`, false},
		{ExecError{"/sh", unix.ENOEXEC}, `exec: "/sh": exec format error`, false},
	} {
		if tt.e.Error() != tt.text || tt.e.NotFound() != tt.notFound {
			t.Errorf("%v: %q, not found %v", tt.e, tt.e.Error(), tt.e.NotFound())
		}
	}
}

// TestEnvStaysSmall: what a step needs for itself is in its own file.
func TestEnvStaysSmall(t *testing.T) {
	if n := reflect.TypeFor[env]().NumField(); n >= 20 {
		t.Errorf("env has %d fields: give the new one to its step's struct", n)
	}
}

// TestStepsOrder: what the order of the table is for.
func TestStepsOrder(t *testing.T) {
	at := map[string]int{}
	for i, n := range Steps() {
		if _, twice := at[n]; twice {
			t.Errorf("step %s: twice", n)
		}
		at[n] = i
	}
	for _, o := range [][2]string{
		{"userns", "mounts"},
		{"cgroup", "mounts"},
		{"propagation", "stash"},
		{"rootfs", "mounts"},
		{"mounts", "devices"},
		{"net-devices", "caller-gates"},
		{"caller-gates", "hooks"},
		{"caller-gates", "sysctl"},
		{"devices", "console"},
		{"devices", "masked-paths"},
		{"sysctl", "masked-paths"},
		{"cwd", "readonly-root"},
		{"masked-paths", "pivot"},
		{"pivot", "session"},
		{"oom-score", "credentials"},
		{"lsm", "rlimits"},
		{"rlimits", "start-gate"},
		{"start-gate", "credentials"},
		{"capabilities", "credentials"},
		{"credentials", "seccomp"},
		{"seccomp", "exec"},
	} {
		if at[o[0]] >= at[o[1]] {
			t.Errorf("step %s is not before %s", o[0], o[1])
		}
	}
}
