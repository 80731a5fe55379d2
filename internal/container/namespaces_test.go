package container

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// nsNames are the files of /proc/PID/ns, by type.
var nsNames = map[specs.LinuxNamespaceType]string{
	specs.MountNamespace: "mnt", specs.NetworkNamespace: "net", specs.UTSNamespace: "uts", specs.PIDNamespace: "pid",
	specs.IPCNamespace: "ipc", specs.CgroupNamespace: "cgroup", specs.TimeNamespace: "time", specs.UserNamespace: "user",
}

// inside are the namespaces of a container's process, by file name.
func inside(t *testing.T, edits ...edit) map[string]string {
	t.Helper()
	out := sh(t, "cd /proc/self/ns; for n in mnt net uts pid ipc cgroup time user; do echo $n $(readlink $n); done", edits...)
	got := make(map[string]string)
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		name, id, _ := strings.Cut(l, " ")
		got[name] = id
	}
	return got
}

// share edits a configuration so that it has no namespace of a type.
func share(kind specs.LinuxNamespaceType) edit {
	return func(c *Config) {
		dropNamespace(c.Spec, kind)
		if kind == specs.UTSNamespace {
			c.Spec.Hostname = ""
		}
	}
}

func fresh(kind specs.LinuxNamespaceType) edit {
	return func(c *Config) {
		if kind == specs.UserNamespace {
			withUserNS(c)
			return
		}
		setNamespace(c.Spec, kind, "")
	}
}

func TestNamespacesNew(t *testing.T) {
	testkit.Containers(t)
	got := inside(t, fresh(specs.TimeNamespace), fresh(specs.UserNamespace))
	for _, name := range nsNames {
		if own := readlink(t, "/proc/self/ns/"+name); got[name] == own || got[name] == "" {
			t.Errorf("%s namespace is %q, the host's is %q", name, got[name], own)
		}
	}
}

func TestNamespacesOfHost(t *testing.T) {
	testkit.Containers(t)
	for kind, name := range nsNames {
		if kind == specs.MountNamespace {
			continue // refused: TestErrors
		}
		got := inside(t, share(kind))
		if own := readlink(t, "/proc/self/ns/"+name); got[name] != own {
			t.Errorf("%s namespace is %q, the host's is %q", name, got[name], own)
		}
		if other := readlink(t, "/proc/self/ns/mnt"); got["mnt"] == other {
			t.Errorf("%s shared: the mount namespace is the host's too", name)
		}
	}
}

func TestNamespacesJoined(t *testing.T) {
	testkit.Containers(t)
	for kind, name := range nsNames {
		if kind == specs.MountNamespace {
			continue // a container's root belongs to its own mount namespace
		}
		t.Run(name, func(t *testing.T) {
			s := sleeper(t, fresh(kind))
			got := inside(t, func(c *Config) {
				setNamespace(c.Spec, kind, s.nsPath(name))
				switch kind { //nolint:exhaustive // the others need nothing
				case specs.UTSNamespace:
					c.Spec.Hostname = ""
				case specs.UserNamespace:
					c.Root = s.env.cfg.Root
					must(t, unix.Chmod(c.Root.Bind, 0o755))
				}
			})
			if want := readlink(t, s.nsPath(name)); got[name] != want {
				t.Errorf("%s namespace is %q, joined %q", name, got[name], want)
			}
		})
	}
}

// TestPidJoined: a joined pid namespace is entered by a fork, and all that
// the engine holds is the forked process.
func TestPidJoined(t *testing.T) {
	s := sleeper(t)
	join := func(c *Config) { setNamespace(c.Spec, specs.PIDNamespace, s.nsPath("pid")) }
	out := sh(t, "echo $$; ps -o pid,args", join)
	lines := strings.Split(out, "\n")
	if pid, err := strconv.Atoi(lines[0]); err != nil || pid < 2 {
		t.Errorf("pid %q in the namespace of another", lines[0])
	}
	if !strings.Contains(out, "read x") {
		t.Errorf("the joined namespace's process 1 is not visible:\n%s", out)
	}
	_, code, err := output(t, newConfig(t, shell("exit 42"), join))
	if err != nil || code != 42 {
		t.Errorf("exit code %d, %v, want 42", code, err)
	}
	// A failure after the fork is the new process's.
	_, _, err = output(t, newConfig(t, []string{"/nonexistent"}, join))
	if err == nil || err.Error() != `exec: "/nonexistent": no such file or directory` {
		t.Errorf("error %v", err)
	}
}

func TestPidNamespaceIsIsolated(t *testing.T) {
	// The shell expands the pattern itself, before it has a child.
	out := sh(t, "echo $$ /proc/[0-9]*; cut -d' ' -f4 /proc/self/stat; true")
	if out != "1 /proc/1\n1\n" {
		t.Errorf("pid, processes and a child's parent: %q", out)
	}
}

func TestUTS(t *testing.T) {
	before, err := os.Hostname()
	must(t, err)
	out := sh(t, "hostname; cat /proc/sys/kernel/domainname", func(c *Config) {
		c.Spec.Hostname, c.Spec.Domainname = "inner", "example.org"
	})
	if out != "inner\nexample.org\n" {
		t.Errorf("names %q", out)
	}
	if after, err := os.Hostname(); err != nil || after != before {
		t.Errorf("the host is %q now, was %q (%v)", after, before, err)
	}
}

func TestLoopback(t *testing.T) {
	out := sh(t, "ping -c 1 -W 2 127.0.0.1 >/dev/null && cat /sys/class/net/lo/flags; ls /sys/class/net")
	if !strings.HasPrefix(out, "0x9\n") || !strings.Contains(out, "lo") {
		t.Errorf("loopback is not up, or not there:\n%s", out)
	}
}

// TestTimeOffsets: the clocks of a container, also of one in a user namespace,
// whose processes have no right to set them.
func TestTimeOffsets(t *testing.T) {
	for _, edits := range [][]edit{{}, {withUserNS}} {
		var before, after unix.Timespec
		must(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &before))
		out := sh(t, "cat /proc/uptime; cat /proc/self/timens_offsets", append(edits, fresh(specs.TimeNamespace), func(c *Config) {
			c.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1 << 20}, "monotonic": {Secs: 7, Nanosecs: 5}}
		})...)
		must(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &after))
		uptime, err := strconv.ParseFloat(strings.Fields(out)[0], 64)
		must(t, err)
		if uptime < float64(before.Sec)+1<<20 || uptime > float64(after.Sec)+1+1<<20 {
			t.Errorf("uptime %v, the host's is %d", uptime, after.Sec)
		}
		if want := "monotonic 7 5 boottime 1048576 0"; !strings.HasSuffix(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("offsets:\n%swant %s", out, want)
		}
	}
}

func TestUserNamespace(t *testing.T) {
	out := sh(t, "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g; touch /made; stat -c '%u %g' /bin/busybox /made /dev/null",
		withUserNS, func(c *Config) {
			t.Cleanup(func() {
				var st unix.Stat_t
				if err := unix.Stat(c.Root.Bind+"/made", &st); err != nil || st.Uid != 0 || st.Gid != 0 {
					t.Errorf("the idmapped root's new file belongs to %d:%d, %v", st.Uid, st.Gid, err)
				}
			})
		})
	want := "0 100000 65536 0 200000 65536 0 0 0 0 0 0 65534 65534"
	if got := strings.Join(strings.Fields(out), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestUserNamespaceUser: another user than root in a user namespace.
func TestUserNamespaceUser(t *testing.T) {
	out := sh(t, "id -u; id -g; id -G; grep CapEff /proc/self/status; echo x 2>&1 >/etc/x", withUserNS, func(c *Config) {
		c.Spec.Process.Args[2] += "; true"
		c.Spec.Process.User = specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{35}}
	})
	if !strings.HasPrefix(out, "33\n34\n34 35\nCapEff:\t0000000000000000\n") || !strings.Contains(out, "Permission denied") {
		t.Errorf("got:\n%s", out)
	}
}

// TestCgroupNamespace: every group that the container sees is its own root.
func TestCgroupNamespace(t *testing.T) {
	out := sh(t, "cat /proc/self/cgroup")
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		if !strings.HasSuffix(l, ":/") {
			t.Errorf("sees its place in the hierarchy: %s", l)
		}
	}
	s := sleeper(t)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", s.Process.Pid))
	must(t, err)
	if !strings.Contains(string(b), ":"+parentGroup()+"/sleeper\n") {
		t.Errorf("not in its cgroup:\n%s", b)
	}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		// The unified hierarchy of a hybrid host as well.
		if !strings.HasSuffix(l, parentGroup()+"/sleeper") {
			t.Errorf("not in its cgroup: %s", l)
		}
	}
}

// TestIPC: a System V queue of one container is not in another's namespace,
// unless it is joined.
func TestIPC(t *testing.T) {
	s := sleeper(t)
	out := sh(t, "wc -l </proc/sysvipc/msg; ls -A /dev/mqueue; ls -A /dev/shm")
	if out != "1\n" {
		t.Errorf("queues in a new namespace: %q", out)
	}
	// limits belong to the namespace: they show whose it is
	set := func(c *Config) { c.Spec.Linux.Sysctl = map[string]string{"kernel.msgmax": "12345"} }
	sh(t, "[ $(cat /proc/sys/kernel/msgmax) = 12345 ]", set, func(c *Config) {
		setNamespace(c.Spec, specs.IPCNamespace, s.nsPath("ipc"))
	})
	if out := sh(t, "cat /proc/sys/kernel/msgmax", func(c *Config) {
		setNamespace(c.Spec, specs.IPCNamespace, s.nsPath("ipc"))
	}); out != "12345\n" {
		t.Errorf("the joined namespace has msgmax %s", out)
	}
	if out := sh(t, "cat /proc/sys/kernel/msgmax"); out == "12345\n" {
		t.Error("another namespace has the joined one's msgmax")
	}
}

// TestNetNSThread: the thread that makes a network namespace is never the
// main one, whose namespaces are what others see of this process.
func TestNetNSThread(t *testing.T) {
	testkit.Containers(t)
	before := readlink(t, "/proc/self/ns/net")
	for range 50 {
		NewNetNS().Close()
		if now := readlink(t, "/proc/self/ns/net"); now != before {
			t.Fatalf("this process is in %s now, was in %s", now, before)
		}
	}
}
