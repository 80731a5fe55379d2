package container

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

func layout(l cgroup.Layout) edit { return func(c *Config) { c.Layout = l } }

func resources(c *Config) {
	limit, shares, pids := int64(256<<20), uint64(512), int64(64)
	quota, period := int64(50000), uint64(100000)
	c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	c.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period, Cpus: "0-1"}
	c.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
}

// TestPlan compares the printed plans of whole containers with golden files.
// They are documentation too: go test ./runtime -run TestPlan -update.
func TestPlan(t *testing.T) {
	mask := uint32(0o027)
	score := 100
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}
	for _, tt := range []struct {
		name  string
		edits []edit
	}{
		{"default-v2", nil},
		{"default-v1", []edit{layout(layoutV1)}},
		{"default-hybrid", []edit{layout(layoutHybrid)}},
		{"resources-v2", []edit{resources}},
		{"resources-v1", []edit{resources, layout(layoutV1)}},
		{"privileged", []edit{privileged, func(c *Config) {
			c.Spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		}}},
		{"terminal", []edit{terminal, user(1000, 1000)}},
		{"userns", []edit{withUserNS}},
		{"joins", []edit{func(c *Config) {
			for _, kind := range []specs.LinuxNamespaceType{specs.UserNamespace, specs.PIDNamespace, specs.NetworkNamespace, specs.UTSNamespace, specs.IPCNamespace, specs.TimeNamespace, specs.CgroupNamespace} {
				setNamespace(c.Spec, kind, "/run/ns/"+nsNames[kind])
			}
		}}},
		{"user", []edit{user(1000, 1000, 20, 24), nnp, rlimit("RLIMIT_NOFILE", 64, 128), func(c *Config) {
			c.Spec.Root.Readonly = true
			c.Spec.Process.Capabilities = &specs.LinuxCapabilities{
				Bounding: []string{"CAP_NET_BIND_SERVICE"}, Effective: []string{"CAP_NET_BIND_SERVICE"}, Permitted: []string{"CAP_NET_BIND_SERVICE"},
				Inheritable: []string{"CAP_NET_BIND_SERVICE"}, Ambient: []string{"CAP_NET_BIND_SERVICE"},
			}
			c.Spec.Process.User.Umask = &mask
			c.Spec.Process.OOMScoreAdj = &score
			c.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
			c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "8192"}
			c.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 60}}
			setNamespace(c.Spec, specs.TimeNamespace, "")
		}}},
		{"mounts", []edit{
			bind("/srv/a", "/a", "ro"), bind("/srv/b", "/b/c", "rro", "rslave"), bind("/srv/shared", "/shared", "rshared", "noatime"),
			addMount(specs.Mount{Type: "bind", Source: "/srv/ids", Destination: "/ids", Options: []string{"rbind", "ridmap"}, UIDMappings: maps, GIDMappings: maps}),
			addMount(specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/run", Options: []string{"ro", "size=1m"}}),
			bind("/files/hostname", "/etc/hostname"),
			func(c *Config) {
				c.Files = []File{{"/files/hostname", []byte("box\n")}}
				c.Spec.Linux.RootfsPropagation = "rslave"
			},
		}},
		{"gates", []edit{func(c *Config) {
			c.Gates = []Gate{{Name: "network"}, {Name: "volumes", Meet: true}}
		}}},
		{"directory", []edit{func(c *Config) { c.Root = snapshot.Mount{Bind: "/srv/rootfs", ReadOnly: true} }}},
		{"options", []edit{func(c *Config) {
			c.Root, c.RootTarget = snapshot.Mount{Options: "lowerdir=2/fs:1/fs,upperdir=../c/upper,workdir=../c/work", Base: "/var/lib/tare/layers"}, "/var/lib/tare"
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Compile(pureConfig(tt.edits...))
			must(t, err)
			var b bytes.Buffer
			must(t, p.Format(&b))
			golden := filepath.Join("testdata", tt.name+".plan")
			if *testkit.Update {
				must(t, os.WriteFile(golden, b.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("the plan is not that of %s:\n%s", golden, firstDifference(b.String(), string(want)))
			}
			var again bytes.Buffer
			p, err = Compile(pureConfig(tt.edits...))
			must(t, errors.Join(err, p.Format(&again)))
			if !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Error("two plans of one configuration differ")
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + strings.Join(w[min(i, len(w)-1):min(i+1, len(w))], "")
		}
	}
	return "got less than wanted"
}

// TestRefused has every text that a configuration can be refused with.
func TestRefused(t *testing.T) {
	low := -1001
	proc := func(f func(*specs.Process)) edit { return func(c *Config) { f(c.Spec.Process) } }
	linux := func(f func(*specs.Linux)) edit { return func(c *Config) { f(c.Spec.Linux) } }
	maps := []specs.LinuxIDMapping{{Size: 1}}
	for _, tt := range []struct {
		text string
		kind fault.Kind
		edit edit
	}{
		{"spec: process and linux are required", fault.Invalid, func(c *Config) { c.Spec.Process = nil }},
		{"spec: process and linux are required", fault.Invalid, func(c *Config) { c.Spec.Linux = nil }},
		{`poststop hook 0: path "x" is not absolute`, fault.Invalid, func(c *Config) {
			c.Spec.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}}
		}},
		{"createContainer hooks: the root file system has no path", fault.Unsupported, func(c *Config) {
			c.Spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/x"}}}
		}},
		{`scheduler policy "": unknown`, fault.Invalid, scheduler(specs.Scheduler{})},
		{"scheduler policy SCHED_ISO: no Linux has it", fault.Unsupported, scheduler(specs.Scheduler{Policy: specs.SchedISO})},
		{"scheduler nice 20: not from -20 to 19", fault.Invalid, scheduler(specs.Scheduler{Policy: specs.SchedOther, Nice: 20})},
		{"scheduler nice 1: SCHED_RR has no nice values", fault.Invalid, scheduler(specs.Scheduler{Policy: specs.SchedRR, Nice: 1, Priority: 1})},
		{"scheduler priority 1: SCHED_BATCH has no priorities", fault.Invalid, scheduler(specs.Scheduler{Policy: specs.SchedBatch, Priority: 1})},
		{"scheduler priority 100: not from 1 to 99", fault.Invalid, scheduler(specs.Scheduler{Policy: specs.SchedFIFO, Priority: 100})},
		{"scheduler runtime, deadline and period: of SCHED_DEADLINE only", fault.Invalid, scheduler(specs.Scheduler{Policy: specs.SchedIdle, Period: 1})},
		{`scheduler flag "x": unknown`, fault.Invalid, scheduler(specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"x"}})},
		{`io priority class "": unknown`, fault.Invalid, proc(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{} })},
		{"io priority 8: not from 0 to 7", fault.Invalid, proc(func(p *specs.Process) {
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
		})},
		{`exec cpu affinity "x": not a list of numbers and ranges`, fault.Invalid, proc(func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Final: "x"} })},
		{`memory policy "": unknown`, fault.Invalid, memoryPolicy(specs.LinuxMemoryPolicy{})},
		{`memory policy flag "x": unknown`, fault.Invalid, memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Flags: []specs.MemoryPolicyFlagType{"x"}})},
		{`memory policy nodes "1-0": not a list of numbers and ranges`, fault.Invalid, memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1-0"})},
		{`intel rdt class "..": not a name`, fault.Invalid, linux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{ClosID: ".."} })},
		{"intel rdt: the container has no id to name a class by", fault.Invalid, linux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{} })},
		{`intel rdt schema "x": does not begin with MB:`, fault.Invalid, linux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{ClosID: "a", MemBwSchema: "x"} })},
		{"intel rdt schema \"a\\nb\": more than one line", fault.Invalid, linux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{ClosID: "a", Schemata: []string{"a\nb"}} })},
		{"seccomp: listenerMetadata without listenerPath", fault.Invalid, linux(func(l *specs.Linux) { l.Seccomp.ListenerMetadata = "x" })},
		{"seccomp profile: write cannot be notified, it runs before the container's program", fault.Unsupported, linux(func(l *specs.Linux) {
			l.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"mkdir", "write"}, Action: specs.ActNotify}}
		})},
		{"vm: not supported on Linux", fault.Unsupported, func(c *Config) { c.Spec.VM = &specs.VM{} }},
		{"ociVersion 2.0.0: not supported on Linux", fault.Unsupported, func(c *Config) { c.Spec.Version = "2.0.0" }},
		{"process.commandLine: not supported on Linux", fault.Unsupported, proc(func(p *specs.Process) { p.CommandLine = "x" })},
		{"time offsets: the container has no time namespace of its own", fault.Invalid, linux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} })},
		{"id mappings: the container has no user namespace", fault.Invalid, linux(func(l *specs.Linux) { l.UIDMappings = maps })},
		{"pids.limit: the container has no cgroup", fault.Unsupported, func(c *Config) {
			n := int64(1)
			c.Spec.Linux.CgroupsPath, c.Spec.Linux.Resources.Pids = "", &specs.LinuxPids{Limit: &n}
		}},
		{`namespace "moon": unknown type`, fault.Invalid, linux(func(l *specs.Linux) { l.Namespaces[1].Type = "moon" })},
		{"namespace uts: given twice", fault.Invalid, linux(func(l *specs.Linux) { l.Namespaces[1].Type = specs.UTSNamespace })},
		{"namespaces: a container without a mount namespace needs a root directory", fault.Unsupported, func(c *Config) { dropNamespace(c.Spec, specs.MountNamespace) }},
		{"user namespace: uidMappings and gidMappings are required", fault.Invalid, func(c *Config) { setNamespace(c.Spec, specs.UserNamespace, "") }},
		{`propagation "sideways": unknown`, fault.Invalid, linux(func(l *specs.Linux) { l.RootfsPropagation = "sideways" })},
		{`mount /d: source "data" is not absolute`, fault.Invalid, bind("data", "/d")},
		{`mount "/..": destination is the root`, fault.Invalid, addMount(specs.Mount{Type: "tmpfs", Destination: "/.."})},
		{"mount /d: tmpcopyup of type bind: tmpfs only", fault.Invalid, bind("/s", "/d", "tmpcopyup")},
		{"mount /d: remount changes neither content nor ids", fault.Invalid, bind("/s", "/d", "remount", "idmap")},
		{"mount /d: an id mapping of type tmpfs: bind mounts only", fault.Unsupported, addMount(specs.Mount{Type: "tmpfs", Destination: "/d", Options: []string{"idmap"}})},
		{`mount /d: option "none" of a cgroup mount`, fault.Unsupported, addMount(specs.Mount{Type: "cgroup", Destination: "/d", Options: []string{"none"}})},
		{"mount /proc: only procfs itself can be mounted there", fault.Invalid, addMount(specs.Mount{Type: "tmpfs", Destination: "/proc"})},
		{`mount /d: unknown option "rw1"`, fault.Invalid, bind("/s", "/d", "rw1")},
		{"mount /d: idmap without mappings", fault.Invalid, bind("/s", "/d", "idmap")},
		{"mount /d: uidMappings and gidMappings are required together", fault.Invalid, addMount(specs.Mount{Type: "bind", Source: "/s", Destination: "/d", UIDMappings: maps})},
		{"bind source /nowhere/at/all: no such file or directory", fault.Invalid, func(c *Config) {
			c.IsDir = nil
			apply(c, []edit{bind("/nowhere/at/all", "/d")})
		}},
		{"mount root file system: no directory to mount on", fault.Internal, func(c *Config) { c.Root = snapshot.Mount{Options: "x"} }},
		{"mount root file system: an overlay with id-mapped layers needs Linux 6.14", fault.Unsupported, func(c *Config) {
			withUserNS(c)
			c.Root, c.RootTarget = snapshot.Mount{Options: "x"}, "/x"
		}},
		{`device /dev/x: unknown type "q"`, fault.Invalid, linux(func(l *specs.Linux) { l.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "q"}} })},
		{"hostname: the container has no uts namespace", fault.Invalid, func(c *Config) { dropNamespace(c.Spec, specs.UTSNamespace) }},
		{`working directory "etc": not absolute`, fault.Invalid, cwd("etc")},
		{`working directory "": not absolute`, fault.Invalid, cwd("")},
		{"stdio 1: descriptor 2 is in the way", fault.Internal, func(c *Config) { c.Stdout = 2 }},
		{"oom-score-adj -1001: not from -1000 to 1000", fault.Invalid, proc(func(p *specs.Process) { p.OOMScoreAdj = &low })},
		{`personality "VMS": unknown`, fault.Invalid, linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "VMS"} })},
		{"personality: flags", fault.Unsupported, linux(func(l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"x"}}
		})},
		{`apparmor profile "p": this kernel has no AppArmor`, fault.Unsupported, proc(func(p *specs.Process) { p.ApparmorProfile = "p" })},
		{`selinux label "p": SELinux is not enabled`, fault.Unsupported, proc(func(p *specs.Process) { p.SelinuxLabel = "p" })},
		{`selinux label "m": SELinux is not enabled`, fault.Unsupported, linux(func(l *specs.Linux) { l.MountLabel = "m" })},
		{`rlimit "RLIMIT_MOOD": unknown`, fault.Invalid, rlimit("RLIMIT_MOOD", 1, 1)},
		{"rlimit RLIMIT_CPU: soft limit 2 above hard limit 1", fault.Invalid, rlimit("RLIMIT_CPU", 2, 1)},
		{"rlimit RLIMIT_CPU: given twice", fault.Invalid, func(c *Config) {
			apply(c, []edit{rlimit("RLIMIT_CPU", 1, 1), rlimit("RLIMIT_CPU", 1, 1)})
		}},
		{"seccomp: SCMP_ACT_NOTIFY needs a listenerPath", fault.Invalid, linux(func(l *specs.Linux) {
			l.Seccomp.Syscalls = append(l.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActNotify})
			l.Seccomp.Syscalls = l.Seccomp.Syscalls[len(l.Seccomp.Syscalls)-1:]
		})},
		{"no command", fault.Invalid, proc(func(p *specs.Process) { p.Args = nil })},
		{`exec: "": executable file not found in $PATH`, fault.NotFound, proc(func(p *specs.Process) { p.Args = []string{""} })},
		{`argument or variable "a\x00b": has a NUL byte`, fault.Invalid, proc(func(p *specs.Process) { p.Args = []string{"a\x00b"} })},
		{`argument or variable "A=\x00": has a NUL byte`, fault.Invalid, proc(func(p *specs.Process) { p.Env = []string{"A=\x00"} })},
	} {
		_, err := Compile(pureConfig(tt.edit))
		if err == nil || err.Error() != tt.text || fault.KindOf(err) != tt.kind {
			t.Errorf("%v (%v)\nwant %s (%v)", err, fault.KindOf(err), tt.text, tt.kind)
		}
	}
}

// TestRlimitsPlan: what exceeds the hard limit is clamped, unless the caller
// may raise it.
func TestRlimitsPlan(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edits []edit
		want  string
		warns int
	}{
		{"may raise", nil, "{10000, 20000}", 0},
		{"may not", []edit{func(c *Config) { c.Facts.Bounding &^= 1 << unix.CAP_SYS_RESOURCE }}, "{8192, 8192}", 1},
		{"in a user namespace", []edit{withUserNS}, "{8192, 8192}", 1},
	} {
		var warnings []string
		p, err := Compile(pureConfig(append(tt.edits, collectWarnings(&warnings), rlimit("RLIMIT_NPROC", 10000, 20000))...))
		must(t, err)
		var b bytes.Buffer
		must(t, p.Format(&b))
		if !strings.Contains(b.String(), tt.want) || len(warnings) != tt.warns {
			t.Errorf("%s: no %s, or warnings %q", tt.name, tt.want, warnings)
		}
	}
}
