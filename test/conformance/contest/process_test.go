package contest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestEnvironment(t *testing.T) {
	b := newBundle(t, `echo "$K|$HOME"`)
	b.spec.Process.Env = append(b.spec.Process.Env, "K=a", "K=b")
	o := b.run()
	if o.code != 0 || !strings.HasPrefix(o.out, "b|") {
		t.Errorf("the last of a name wins: %v", o)
	}
}

func TestHome(t *testing.T) {
	b := newBundle(t, `echo $HOME`)
	b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	wantOut(t, b.run(), "/data") // from the container's passwd
}

func TestCwd(t *testing.T) {
	b := newBundle(t, "pwd")
	b.spec.Process.Cwd = "/data"
	wantOut(t, b.run(), "/data")
	b = newBundle(t, "pwd")
	b.spec.Process.Cwd = "data"
	refused(t, b.run()) // "This value MUST be an absolute path."
}

func TestStdin(t *testing.T) {
	b := newBundle(t, "cat")
	b.in = "text\n"
	wantOut(t, b.run(), "text")
}

func TestUser(t *testing.T) {
	b := newBundle(t, "id -u; id -g; id -G; umask")
	b.spec.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{7, 8}, Umask: ptr(uint32(0o27))}
	wantOut(t, b.run(), "1000\n1000\n1000 7 8\n0027")
}

func status(t *testing.T, o outcome, key string) string {
	t.Helper()
	for line := range strings.Lines(o.out) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Errorf("no %s in %v", key, o)
	return ""
}

func TestCapabilities(t *testing.T) {
	const kill, chown = 1 << 5, 1 << 0
	b := newBundle(t, "cat /proc/self/status")
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Permitted: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_KILL"},
		Inheritable: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"},
	}
	b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	o := b.run()
	for key, want := range map[string]int{"CapInh": kill, "CapAmb": kill, "CapPrm": kill, "CapEff": kill, "CapBnd": kill | chown} {
		if got := status(t, o, key); got != fmt.Sprintf("%016x", want) {
			t.Errorf("%s is %s, want %016x", key, got, want)
		}
	}
}

func TestNoNewPrivileges(t *testing.T) {
	b := newBundle(t, "cat /proc/self/status")
	b.spec.Process.NoNewPrivileges = true
	if got := status(t, b.run(), "NoNewPrivs"); got != "1" {
		t.Errorf("NoNewPrivs is %s", got)
	}
}

func TestRlimits(t *testing.T) {
	b := newBundle(t, "ulimit -n; ulimit -Hn; ulimit -c")
	b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 99}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}}
	wantOut(t, b.run(), "77\n99\n0")
	b = newBundle(t, "true")
	b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOSUCH", Soft: 1, Hard: 1}}
	refused(t, b.run())
	b = newBundle(t, "true")
	// "If rlimits contains duplicated entries with same type, the runtime MUST
	// generate an error."
	b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 7, Hard: 9}, {Type: "RLIMIT_NOFILE", Soft: 7, Hard: 9}}
	if world.name != "runc" && world.name != "crun" { // both take the last
		refused(t, b.run())
	}
}

func TestOOMScore(t *testing.T) {
	b := newBundle(t, "cat /proc/self/oom_score_adj")
	b.spec.Process.OOMScoreAdj = ptr(321)
	wantOut(t, b.run(), "321")
}

// TestDescriptors: nothing but the standard three, and those that were asked
// for, is open in the container.
func TestDescriptors(t *testing.T) {
	script := "for f in /proc/self/fd/*; do echo ${f##*/}; done | sort -n | tr '\\n' ' '"
	b := newBundle(t, script)
	// The shell's own pipe and directory are open as well: compare with what
	// it sees outside.
	o := b.run()
	for _, fd := range strings.Fields(o.out) {
		if len(fd) > 1 && fd != "10" { // the shell keeps 10
			t.Errorf("descriptor %s is open: %v", fd, o)
		}
	}
	if strings.Contains(o.out, " 5 ") {
		t.Errorf("too many descriptors: %v", o)
	}
}

func TestHostname(t *testing.T) {
	b := newBundle(t, "hostname; cat /proc/sys/kernel/domainname")
	b.spec.Hostname, b.spec.Domainname = "some.name", "domain.name"
	wantOut(t, b.run(), "some.name\ndomain.name")
}

func TestSysctl(t *testing.T) {
	b := newBundle(t, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced")
	b.spec.Linux.Sysctl = map[string]string{"net.core.somaxconn": "55", "kernel.shm_rmid_forced": "1"}
	wantOut(t, b.run(), "55\n1")
	b = newBundle(t, "true")
	b.spec.Linux.Sysctl = map[string]string{"kernel.panic": "1"} // not of a namespace
	refused(t, b.run())
}

func TestPersonality(t *testing.T) {
	b := newBundle(t, "uname -m")
	b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	if o := b.run(); o.code != 0 || strings.TrimSpace(o.out) == "x86_64" {
		t.Errorf("personality LINUX32: %v", o)
	}
}

func TestScheduler(t *testing.T) {
	b := newBundle(t, "cut -d' ' -f19,41 /proc/self/stat") // nice and policy
	b.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
	o := b.run()
	if world.name == "runc" && strings.TrimSpace(o.out) == "0 0" {
		t.Skip("runc has it since 1.2")
	}
	wantOut(t, o, "5 3")
}

func TestIOPriority(t *testing.T) {
	b := newBundle(t, "ionice -p $$")
	b.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	o := b.run()
	if o.code == 0 && !strings.Contains(o.out, "6") && (world.name == "runc" || world.name == "crun") {
		t.Skip("ignored before runc 1.2 and crun 1.9")
	}
	if o.code != 0 || !strings.Contains(o.out, "prio 6") {
		t.Errorf("ioPriority: %v", o)
	}
}

func TestExec(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	wantOut(t, b.runtime("exec", b.id, "/bin/echo", "in"), "in")
	if o := b.runtime("exec", b.id, "sh", "-c", "exit 9"); o.code != 9 {
		t.Errorf("exit code: %v", o)
	}
	wantOut(t, b.runtime("exec", "--user", "1000:1000", "--cwd", "/data", "--env", "A=1", b.id, "sh", "-c", "id -u; pwd; echo $A"), "1000\n/data\n1")
	o := b.runtime("exec", b.id, "no-such-program")
	refused(t, o)
	if !strings.Contains(o.err, "executable file") || !strings.Contains(o.err, "not found in $PATH") {
		t.Errorf("text of a missing program: %v", o)
	}
	// The process has the container's cgroups, root and namespaces.
	for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.state().Pid, ns))
		must(t, err)
		wantOut(t, b.runtime("exec", b.id, "readlink", "/proc/self/ns/"+ns), want)
	}
	wantOut(t, b.runtime("exec", b.id, "sh", "-c", "cmp /proc/1/cgroup /proc/self/cgroup && echo same"), "same")
}

func TestExecProcessFile(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	must(t, os.WriteFile(b.dir+"/process.json", []byte(`{"args":["/bin/sh","-c","echo $K; pwd"],"cwd":"/data","env":["K=v","PATH=/bin"],"user":{"uid":0,"gid":0}}`), 0o600))
	wantOut(t, b.runtime("exec", "--process", b.dir+"/process.json", b.id), "v\n/data")
}

func TestExecDetached(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	o := b.runtime("exec", "--detach", "--pid-file", b.dir+"/pid", b.id, "sh", "-c", "echo on >/data/on; sleep 1000")
	if o.code != 0 {
		t.Fatal(o)
	}
	appears(t, b.root+"/data/on")
	if len(strings.TrimSpace(read(t, b.dir+"/pid"))) == 0 {
		t.Error("no pid file")
	}
}

func TestTimeNamespace(t *testing.T) {
	b := newBundle(t, "cut -d. -f1 /proc/uptime")
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000000000}}
	o := b.run()
	if world.name == "runc" && o.code != 0 {
		t.Skip("runc has it since 1.2")
	}
	if o.code != 0 || len(strings.TrimSpace(o.out)) < 10 {
		t.Errorf("uptime is not shifted: %v", o)
	}
}

func TestNamespacePath(t *testing.T) {
	b := newBundle(t, "readlink /proc/self/ns/net")
	for i := range b.spec.Linux.Namespaces {
		if b.spec.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			b.spec.Linux.Namespaces[i].Path = "/proc/self/ns/net"
		}
	}
	want, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	wantOut(t, b.run(), want)
	b = newBundle(t, "true")
	for i := range b.spec.Linux.Namespaces {
		if b.spec.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			b.spec.Linux.Namespaces[i].Path = "/proc/self/ns/uts" // "If path is not associated with a namespace of type type, the runtime MUST generate an error."
		}
	}
	refused(t, b.run())
}

func TestUserNamespace(t *testing.T) {
	b := newBundle(t, "cat /proc/self/uid_map | tr -s ' '; id -u")
	b.mapped(100000)
	must(t, unix.Chown(b.root, 100000, 100000))
	must(t, os.Chmod(b.dir, 0o755))
	o := b.run()
	if o.code != 0 || !strings.Contains(o.out, "0 100000 65536") || !strings.HasSuffix(strings.TrimSpace(o.out), "\n0") {
		t.Errorf("user namespace: %v", o)
	}
}
