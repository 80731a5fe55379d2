package container

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// edit changes a configuration before it is used.
type edit func(*Config)

// apply makes edits part of a configuration.
func apply(cfg *Config, edits []edit) {
	for _, e := range edits {
		e(cfg)
	}
}

// baseSpec is Docker's default container running args.
func baseSpec(h seccomp.Host, args []string) *specs.Spec {
	s := oci.Default(nil)
	s.Process.Args = args
	s.Process.Env = []string{"PATH=/bin"}
	caps := capability.Default().Names()
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.Hostname = "box"
	h.Caps = caps
	s.Linux.Seccomp = seccomp.Default(h)
	return s
}

const busybox = "/bin/busybox"

// applets are the commands of a test's root file system.
var applets = strings.Fields(`[ awk cat chmod cut dd echo env false find grep head hostname id kill ln ls mkdir mount
	mv ping printf ps pwd readlink rm rmdir seq sh sleep sort stat stty sync tail test touch tr true tty umount uname
	unshare wc xargs yes`)

// newRoot makes a root file system of busybox.
func newRoot(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "run"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.Mkdir(root+"/tmp", 0o700))
	must(t, os.Chmod(root+"/tmp", 0o777|os.ModeSticky))
	must(t, os.Chmod(root, 0o755))
	must(t, os.Chmod(filepath.Dir(root), 0o755)) // other users walk through it
	b, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(root+"/bin/busybox", b, 0o755))
	for _, a := range applets {
		must(t, os.Symlink("busybox", root+"/bin/"+a))
	}
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parentGroup is where this process's containers have their cgroups.
func parentGroup() string { return fmt.Sprintf("/tare-test-%d", os.Getpid()) }

// newConfig is a configuration for this machine, with a root file system of
// its own. Warnings fail the test unless an edit expects them.
func newConfig(t testing.TB, args []string, edits ...edit) Config {
	t.Helper()
	testkit.Containers(t)
	f, err := host.Probe()
	must(t, err)
	layout, err := cgroupfs.Probe()
	must(t, err)
	t.Cleanup(func() {
		if err := cgroupfs.RemoveParent(layout, parentGroup()); err != nil {
			t.Error(err)
		}
	})
	cfg := Config{
		Spec:  baseSpec(seccomp.Host{GOARCH: f.Arch, Kernel: f.Kernel}, args),
		Root:  snapshot.Mount{Bind: newRoot(t)},
		Stdin: -1, Stdout: -1, Stderr: -1, Layout: layout,
		Warn:  func(s string) { t.Error("warning:", s) },
		Facts: f,
	}
	cfg.Spec.Linux.CgroupsPath = parentGroup() + "/box"
	apply(&cfg, edits)
	return cfg
}

// shell is the arguments of a script.
func shell(script string) []string { return []string{"sh", "-c", script} }

// sh runs a script in a container and returns what it wrote. The script has
// to succeed.
func sh(t testing.TB, script string, edits ...edit) string {
	t.Helper()
	out, code, err := output(t, newConfig(t, shell(script), edits...))
	must(t, err)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	return out
}

// output runs a container and returns what it wrote and its exit code.
func output(t testing.TB, cfg Config) (string, int, error) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cfg.Stdout, cfg.Stderr = int(w.Fd()), int(w.Fd())
	c, err := Make(cfg, nil)
	if err == nil {
		err = c.Start()
	}
	must(t, w.Close())
	if err != nil {
		return "", 0, err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	must(t, err)
	return b.String(), finish(t, c), nil
}

// finish waits for a container and removes what it had.
func finish(t testing.TB, c *Container) int {
	t.Helper()
	st, err := c.Process.Wait()
	must(t, err)
	c.Process.Release()
	c.closeConsole()
	c.removeGroup()
	return st.ExitCode()
}

// running is a container that runs until its standard input ends.
type running struct {
	*Container
	in  *os.File
	out *bufio.Reader
}

// start runs args with pipes. The container is killed with the test.
func start(t testing.TB, cfg Config) *running {
	t.Helper()
	inR, in, err := os.Pipe()
	must(t, err)
	out, outW, err := os.Pipe()
	must(t, err)
	cfg.Stdin, cfg.Stdout, cfg.Stderr = int(inR.Fd()), int(outW.Fd()), int(outW.Fd())
	c, err := Make(cfg, nil)
	if err == nil {
		err = c.Start()
	}
	must(t, errors.Join(inR.Close(), outW.Close()))
	must(t, err)
	r := &running{c, in, bufio.NewReader(out)}
	t.Cleanup(func() {
		r.stop()
		_, _ = in.Close(), out.Close()
	})
	return r
}

// stop kills the container, if it runs, and removes it.
func (r *running) stop() {
	_ = r.Process.Signal(unix.SIGKILL) // it may have ended,
	_, _ = r.Process.Wait()            // and have been waited for
	if r.Process.Pidfd >= 0 {
		r.Process.Release()
		r.Process.Pidfd = -1
	}
	r.removeGroup()
}

// line reads one line of the container's output.
func (r *running) line(t testing.TB) string {
	t.Helper()
	s, err := r.out.ReadString('\n')
	must(t, err)
	return strings.TrimSuffix(s, "\n")
}

// sleeper is a container that waits, to join the namespaces of.
func sleeper(t testing.TB, edits ...edit) *running {
	t.Helper()
	cfg := newConfig(t, shell("echo ready; read x"), edits...)
	cfg.Spec.Linux.CgroupsPath = parentGroup() + "/sleeper"
	r := start(t, cfg)
	if s := r.line(t); s != "ready" {
		t.Fatalf("container says %q", s)
	}
	return r
}

// nsPath is a namespace of the container's process on the host.
func (c *Container) nsPath(name string) string {
	return fmt.Sprintf("/proc/%d/ns/%s", c.Process.Pid, name)
}

func readlink(t testing.TB, path string) string {
	t.Helper()
	s, err := os.Readlink(path)
	must(t, err)
	return s
}

// privateMounts gives the test's thread a mount namespace of its own, with a
// tmpfs to mount below. The thread ends with the test.
func privateMounts(t testing.TB) string {
	t.Helper()
	testkit.Containers(t)
	dir := t.TempDir()
	goruntime.LockOSThread()
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// setNamespace replaces, adds or with remove takes away a namespace.
func setNamespace(s *specs.Spec, kind specs.LinuxNamespaceType, path string) {
	dropNamespace(s, kind)
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

func dropNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

// withUserNS gives the container a user namespace whose ids begin at 100000.
func withUserNS(c *Config) {
	setNamespace(c.Spec, specs.UserNamespace, "")
	c.Spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	c.Spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}}
	c.IdmapRoot = true
}

func addMount(m specs.Mount) edit {
	return func(c *Config) { c.Spec.Mounts = append(c.Spec.Mounts, m) }
}

func bind(src, dst string, options ...string) edit {
	return addMount(specs.Mount{Type: "bind", Source: src, Destination: dst, Options: append([]string{"rbind"}, options...)})
}

// collectWarnings makes warnings expected.
func collectWarnings(list *[]string) edit {
	return func(c *Config) { c.Warn = func(s string) { *list = append(*list, s) } }
}

// mountLine is one line of mountinfo.
type mountLine struct {
	id, parent, dev, root, point, opts, tags, fstype, source, super string
}

func parseMountinfo(t testing.TB, text string) []mountLine {
	t.Helper()
	var list []mountLine
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		left, right, ok := strings.Cut(l, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 6 || len(g) < 3 {
			t.Fatalf("mountinfo line %q", l)
		}
		list = append(list, mountLine{f[0], f[1], f[2], f[3], f[4], f[5], strings.Join(f[6:], " "), g[0], g[1], g[2]})
	}
	return list
}

func findMount(t testing.TB, list []mountLine, point string) mountLine {
	t.Helper()
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].point == point {
			return list[i]
		}
	}
	t.Fatalf("no mount at %s", point)
	return mountLine{}
}

// traces is what a start must not leave behind.
type traces struct{ fds, mounts, groups []string }

func takeTraces(t testing.TB) traces {
	t.Helper()
	var tr traces
	entries, err := os.ReadDir("/proc/thread-self/fd")
	must(t, err)
	for _, e := range entries {
		// The directory's own descriptor is closed by now.
		if to, err := os.Readlink("/proc/thread-self/fd/" + e.Name()); err == nil {
			tr.fds = append(tr.fds, e.Name()+" "+to)
		}
	}
	b, err := os.ReadFile("/proc/thread-self/mountinfo")
	must(t, err)
	tr.mounts = strings.Split(string(b), "\n")
	l, err := cgroupfs.Probe()
	must(t, err)
	tr.groups = groupsBelow(t, l, parentGroup())
	return tr
}

// groupsBelow lists the groups in path in all hierarchies.
func groupsBelow(t testing.TB, l cgroup.Layout, path string) []string {
	t.Helper()
	var list []string
	for _, h := range l.Hierarchies {
		entries, err := os.ReadDir(filepath.Join(h.Mount, path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				list = append(list, filepath.Join(h.Mount, path, e.Name()))
			}
		}
	}
	return list
}

// noTraces does what is given and compares what is left on the machine with
// what was there before: descriptors, mounts, cgroups, children.
func noTraces(t testing.TB, do func()) {
	t.Helper()
	r, w, err := os.Pipe() // Go's poller opens its descriptors here
	must(t, err)
	must(t, errors.Join(r.Close(), w.Close()))
	before, children := takeTraces(t), childrenOf(t)
	do()
	after := takeTraces(t)
	for _, d := range []struct {
		what          string
		before, after []string
	}{{"descriptors", before.fds, after.fds}, {"mounts", before.mounts, after.mounts}, {"cgroups", before.groups, after.groups}} {
		if !slices.Equal(d.before, d.after) {
			t.Errorf("%s changed:\nbefore %q\nafter  %q", d.what, d.before, d.after)
		}
	}
	if left := childrenOf(t); left != children {
		t.Errorf("children before %q, after %q", children, left)
	}
}

// childrenOf lists the children of this process, zombies included.
func childrenOf(t testing.TB) string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	must(t, err)
	list := ""
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		list += string(b)
	}
	pids := strings.Fields(list)
	slices.Sort(pids)
	return strings.Join(pids, " ")
}

// harden does what a rootful engine does before it makes containers, for the
// time of one test.
func harden(*Config) { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

func ownerOf(fi os.FileInfo) uint32 { return fi.Sys().(*syscall.Stat_t).Uid }
