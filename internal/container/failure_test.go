package container

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// TestFailureLeavesNothing: one failing call in each phase of a start.
func TestFailureLeavesNothing(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	path := "/proc/self/ns/net"
	for _, tt := range []struct {
		name, want string // the object that the error begins with
		edits      []edit
	}{
		{"host: bind source", "mount /v: no such file or directory", []edit{bind("/nowhere/at/all", "/v"), isDir}},
		{"host: namespace path", "join network namespace /nowhere: ", []edit{func(c *Config) { setNamespace(c.Spec, specs.NetworkNamespace, "/nowhere") }}},
		{"host: namespace of another type", "join ipc namespace " + path, []edit{func(c *Config) { setNamespace(c.Spec, specs.IPCNamespace, path) }}},
		{"host: not a namespace", "join ipc namespace " + v + "/file", []edit{func(c *Config) { setNamespace(c.Spec, specs.IPCNamespace, v+"/file") }}},
		{"host: overlay layer", "mount root file system: ", []edit{func(c *Config) {
			c.Root = snapshot.Mount{Config: []snapshot.FSConfig{{Cmd: snapshot.SetFD, Key: "lowerdir+", Open: "/nowhere"}}}
		}}},
		{"host: overlay without layers", "mount root file system: ", []edit{func(c *Config) {
			c.Root = snapshot.Mount{Config: []snapshot.FSConfig{{Cmd: snapshot.SetString, Key: "nonsense", Value: "x"}}}
		}}},
		{"host: rootfs", "mount root file system: ", []edit{func(c *Config) { c.Root.Bind += "/nowhere" }}},
		{"host: idmap", "mount /v: ", []edit{addMount(specs.Mount{
			Type: "bind", Source: "/proc", Destination: "/v", Options: []string{"bind", "idmap"},
			UIDMappings: []specs.LinuxIDMapping{{HostID: 1, Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{HostID: 1, Size: 1}},
		})}},
		{"cgroup: limit", "set cpu.cpus to ", []edit{func(c *Config) {
			c.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "99999"}
		}}},
		{"gate: id map", "write uid_map: ", []edit{withUserNS, func(c *Config) {
			c.Spec.Linux.UIDMappings = append(c.Spec.Linux.UIDMappings, c.Spec.Linux.UIDMappings[0])
			c.IdmapRoot = false
		}}},
		{"child: dead before the gate", "join uts namespace: operation not permitted", []edit{withUserNS, func(c *Config) {
			c.IdmapRoot = false // its root may not join what belongs to the host
			setNamespace(c.Spec, specs.UTSNamespace, "/proc/self/ns/uts")
			c.Spec.Hostname = ""
		}}},
		{"child: overlay by path", "mount root file system: ", []edit{func(c *Config) {
			c.Root = snapshot.Mount{Options: "lowerdir=nowhere:nothing", Base: v}
			c.RootTarget = v
		}}},
		{"child: mount point", "mount /link: no such file or directory", []edit{bind(v, "/link"), func(c *Config) {
			must(t, os.Symlink("nowhere/x", c.Root.Bind+"/link"))
		}}},
		{"child: file system", "mount /v: no such device", []edit{addMount(specs.Mount{Type: "nonsensefs", Source: "x", Destination: "/v"})}},
		{"child: file system option", "mount /v: invalid argument", []edit{addMount(specs.Mount{Type: "tmpfs", Source: "x", Destination: "/v", Options: []string{"nonsense=1"}})}},
		{"child: sysctl", "sysctl net.ipv4.nothing_of_this_name: no such file or directory", []edit{func(c *Config) {
			c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.nothing_of_this_name": "1"}
		}}},
		{"child: sysctl value", "sysctl kernel.msgmax: invalid argument", []edit{func(c *Config) {
			c.Spec.Linux.Sysctl = map[string]string{"kernel.msgmax": "many"}
		}}},
		{"child: hostname", "set hostname ", []edit{func(c *Config) { c.Spec.Hostname = strings.Repeat("x", 65) }}},
		{"child: device", "make device /dev/null/b: not a directory", []edit{func(c *Config) {
			c.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/null/b", Type: "c", Major: 1, Minor: 3}}
		}}},
		{"child: console", "open a terminal: ", []edit{terminal, func(c *Config) { c.Spec.Mounts = c.Spec.Mounts[:2] }}},
		{"child: working directory", "working directory /bin/sh: not a directory", []edit{cwd("/bin/sh")}},
		{"child: user", "set user id: ", []edit{withUserNS, user(100000, 0)}},
	} {
		cfg := newConfig(t, shell("echo ran"), tt.edits...)
		noTraces(t, func() {
			out, _, err := output(t, cfg)
			switch {
			case err == nil:
				t.Errorf("%s: no error, %q", tt.name, out)
			case !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n"):
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		})
	}
}

// isDir answers for the host, so that the error is the kernel's.
func isDir(c *Config) { c.IsDir = func(string) (bool, error) { return true, nil } }

// TestAbandon: a container that is not started is gone without a trace.
func TestAbandon(t *testing.T) {
	testkit.Containers(t)
	for name, edits := range map[string][]edit{
		"plain": nil, "terminal": {terminal}, "userns": {withUserNS}, "time": {fresh(specs.TimeNamespace)},
	} {
		cfg := newConfig(t, shell("true"), edits...)
		noTraces(t, func() {
			c, err := Make(cfg, nil)
			must(t, err)
			if st, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.Process.Pid)); err != nil {
				t.Errorf("%s: no process, %q: %v", name, st, err)
			}
			c.Abandon()
		})
	}
}

// TestKilledAtTheGate: a child that is killed is not taken for a program that
// runs.
func TestKilledAtTheGate(t *testing.T) {
	cfg := newConfig(t, shell("true"))
	noTraces(t, func() {
		c, err := Make(cfg, nil)
		must(t, err)
		must(t, c.Process.Signal(unix.SIGKILL))
		err = c.Start()
		var e *ExecError
		if err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), "killed") {
			t.Errorf("error %v", err)
		}
	})
}

// TestKinds: errors have the kind that a surface maps.
func TestKinds(t *testing.T) {
	testkit.Containers(t)
	for _, tt := range []struct {
		kind fault.Kind
		edit edit
	}{
		{fault.NotFound, func(c *Config) { setNamespace(c.Spec, specs.NetworkNamespace, "/nowhere") }},
		{fault.Invalid, cwd("/bin/sh")},
	} {
		_, _, err := output(t, newConfig(t, shell("true"), tt.edit))
		if fault.KindOf(err) != tt.kind {
			t.Errorf("%v is %v, want %v", err, fault.KindOf(err), tt.kind)
		}
	}
}

// TestGroupExists: a group of another container is refused and left alone.
func TestGroupExists(t *testing.T) {
	s := sleeper(t)
	_, _, err := output(t, newConfig(t, shell("true"), func(c *Config) { c.Spec.Linux.CgroupsPath = parentGroup() + "/sleeper" }))
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	_, err = s.in.WriteString("go\n")
	must(t, err)
	if st, err := s.Process.Wait(); err != nil || st.ExitCode() != 0 {
		t.Errorf("the other container ended with %+v, %v", st, err)
	}
}
