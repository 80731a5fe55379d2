package contest

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rounds is how often a race is run: a few times, or hundreds in a soak.
func rounds(few int) int {
	if os.Getenv("TARE_SOAK") != "" {
		return 200
	}
	return few
}

// outside is a directory of the host that no container may reach.
func outside(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/mark", []byte("host\n"), 0o644))
	return dir
}

// untouched fails when something has been made in an outside directory.
func untouched(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || read(t, dir+"/mark") != "host\n" {
		t.Errorf("the host's directory was reached: %v", entries)
	}
}

// bare takes the mount on /dev away: the image's own directory is used.
func (b *bundle) bare() {
	var kept []specs.Mount
	for _, m := range b.spec.Mounts {
		if !strings.HasPrefix(m.Destination, "/dev") {
			kept = append(kept, m)
		}
	}
	b.spec.Mounts = kept
}

// TestCVE2016_9962: a process of the container must get no hold
// of one that is joining it: neither its descriptors nor its memory.
func TestCVE2016_9962(t *testing.T) {
	watch := `while [ ! -e /data/stop ]; do for p in /proc/[0-9]*; do
		e=$(readlink $p/exe) || continue
		case $e in /bin/busybox) ;; *) echo "exe $e" >>/data/seen;; esac
		for f in $p/fd/*; do l=$(readlink $f) || continue; case $l in
			/proc*|/bin*|pipe:*|/dev/null|/|/data*|*/out[0-9]*|*/err[0-9]*) ;; *) echo "fd $l" >>/data/seen;; esac; done
	done; done`
	b := newBundle(t, watch)
	b.started()
	for range rounds(15) {
		wantOut(t, b.runtime("exec", b.id, "/bin/true"), "")
	}
	must(t, os.WriteFile(b.root+"/data/stop", nil, 0o644))
	b.becomes(specs.StateStopped)
	if seen, err := os.ReadFile(b.root + "/data/seen"); err == nil {
		t.Errorf("the container saw:\n%s", seen)
	}
}

// TestCVE2016_9962HostPID is the same beside the host's processes, by a
// process with the uid of the containers that start.
func TestCVE2016_9962HostPID(t *testing.T) {
	watch := `while [ ! -e /data/stop ]; do for p in /proc/[0-9]*; do
		e=$(readlink $p/exe) || continue
		case $e in */busybox) ;; *) [ -w $p/mem ] && (: <>$p/mem) 2>/dev/null && echo "$e" >>/data/seen;; esac
	done; done`
	b := newBundle(t, watch)
	b.without(specs.PIDNamespace)
	b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	b.spec.Process.Capabilities = nil
	must(t, os.Chmod(b.root+"/data", 0o777))
	b.started()
	for range rounds(15) {
		c := newBundle(t, "true")
		c.spec.Process.User = specs.User{UID: 1000, GID: 1000}
		c.spec.Process.Capabilities = nil
		if o := c.run(); o.code != 0 {
			t.Fatal(o)
		}
	}
	must(t, os.WriteFile(b.root+"/data/stop", nil, 0o644))
	b.becomes(specs.StateStopped)
	if seen, err := os.ReadFile(b.root + "/data/seen"); err == nil {
		t.Errorf("memory of these was open for writing:\n%s", seen)
	}
}

// TestCVE2019_5736: a program that is /proc/self/exe, and a process that
// waits for the runtime's, must not get to write the runtime's binary.
func TestCVE2019_5736(t *testing.T) {
	before := hash(t)
	watch := `while [ ! -e /data/stop ]; do for p in /proc/[0-9]*; do
		[ "$(readlink $p/exe)" = /bin/busybox ] && continue
		(: >>$p/exe) 2>/dev/null && echo opened >>/data/seen
	done; done`
	b := newBundle(t, watch)
	must(t, os.WriteFile(b.root+"/bin/evil", []byte("#!/proc/self/exe\n"), 0o755))
	b.started()
	for range rounds(15) {
		o := b.runtime("exec", b.id, "/bin/evil") // becomes busybox, not the runtime
		if strings.Contains(o.out+o.err, "OCI") || strings.Contains(o.out+o.err, "runtime") && !strings.Contains(o.err, "exec") {
			t.Errorf("the runtime's binary ran inside: %v", o)
		}
	}
	must(t, os.WriteFile(b.root+"/data/stop", nil, 0o644))
	b.becomes(specs.StateStopped)
	if _, err := os.Stat(b.root + "/data/seen"); err == nil {
		t.Error("the container opened the runtime's binary for writing")
	}
	if hash(t) != before {
		t.Fatal("the runtime's binary was overwritten")
	}
}

func hash(t *testing.T) [32]byte {
	t.Helper()
	b, err := os.ReadFile(world.runtime)
	must(t, err)
	return sha256.Sum256(b)
}

// TestCVE2019_16884: nothing but procfs may be mounted on /proc, nor below it.
func TestCVE2019_16884(t *testing.T) {
	for _, dest := range []string{"/proc", "/proc/self", "/proc/sys/kernel"} {
		b := newBundle(t, "true")
		b.mount(specs.Mount{Destination: dest, Source: t.TempDir(), Type: "bind", Options: []string{"bind"}})
		refused(t, b.run())
	}
}

// TestCVE2019_19921 is CVE-2019-19921 and CVE-2023-27561: /proc of the image
// is a link. The masks must hold, or the container must not start.
func TestCVE2019_19921(t *testing.T) {
	for _, target := range []string{"data", "/data", "../../../../data"} {
		b := newBundle(t, "mount | grep -c 'proc on .*/sys type proc (ro' ; cat /proc/kcore | head -c1 | wc -c")
		must(t, os.Remove(b.root+"/proc"))
		must(t, os.Symlink(target, b.root+"/proc"))
		o := b.run()
		if o.code == 0 && strings.TrimSpace(o.out) != "1\n0" {
			t.Errorf("/proc is a link to %s: %v", target, o)
		}
	}
}

// TestCVE2021_30465: a directory in a shared volume becomes a link to the
// host's while containers mount below it.
func TestCVE2021_30465(t *testing.T) {
	host := outside(t)
	volume := t.TempDir()
	must(t, os.Mkdir(volume+"/swap", 0o755))
	must(t, os.Symlink(host, volume+"/link"))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, volume+"/swap", unix.AT_FDCWD, volume+"/link", unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range rounds(20) {
		b := newBundle(t, "[ -e /volume/swap/mark ] && echo reached; [ -e /volume/swap/made/mark ] && echo reached; true")
		b.mount(specs.Mount{Destination: "/volume", Source: volume, Type: "bind", Options: []string{"rbind"}})
		b.mount(specs.Mount{Destination: "/volume/swap/made", Source: "tmpfs", Type: "tmpfs"})
		// The race may make the start fail; it must not make it reach the host.
		if o := b.run(); strings.Contains(o.out, "reached") {
			t.Errorf("the container sees the host: %v", o)
		}
	}
	close(stop)
	<-done
	untouched(t, host)
}

// TestCVE2024_21626: a working directory that is one of the runtime's
// descriptors leads out of the container.
func TestCVE2024_21626(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	for fd := range 20 {
		for _, cwd := range []string{"/proc/self/fd/" + strconv.Itoa(fd), "/proc/self/fd/" + strconv.Itoa(fd) + "/../../..", "/proc/thread-self/fd/" + strconv.Itoa(fd)} {
			c := newBundle(t, "ls -d ../../../../../../../.."+world.dir+" 2>/dev/null")
			c.spec.Process.Cwd = cwd
			if o := c.run(); strings.Contains(o.out, world.dir) {
				t.Errorf("run with cwd %s sees the host: %v", cwd, o)
			} else if o.code == 0 && fd > 2 {
				t.Errorf("run with cwd %s is not refused: %v", cwd, o)
			}
			if o := b.runtime("exec", "--cwd", cwd, b.id, "/bin/ls", "-d", "../../../../../../../.."+world.dir); strings.Contains(o.out, world.dir) {
				t.Errorf("exec with cwd %s sees the host: %v", cwd, o)
			}
		}
	}
}

// TestCVE2024_21626Link: the same through a link of the image.
func TestCVE2024_21626Link(t *testing.T) {
	b := newBundle(t, "ls -d ../../../../../../../.."+world.dir+" 2>/dev/null")
	must(t, os.Symlink("/proc/self/fd/7", b.root+"/data/cwd"))
	b.spec.Process.Cwd = "/data/cwd"
	if o := b.run(); strings.Contains(o.out, world.dir) {
		t.Errorf("the container sees the host: %v", o)
	}
}

// TestCVE2025_31133: the null device that hides a masked path is the image's
// link to something else.
func TestCVE2025_31133(t *testing.T) {
	b := newBundle(t, "cat /data/masked; echo more >>/data/masked; true")
	b.bare()
	must(t, os.WriteFile(b.root+"/data/masked", []byte("masked\n"), 0o644))
	must(t, os.WriteFile(b.root+"/data/target", []byte("target\n"), 0o644))
	must(t, os.Symlink("/data/target", b.root+"/dev/null"))
	b.spec.Linux.MaskedPaths = []string{"/data/masked"}
	o := b.run()
	if strings.Contains(o.out, "masked") || strings.Contains(o.out, "target") {
		t.Errorf("not hidden: %v", o)
	}
	if got := read(t, b.root+"/data/target"); got != "target\n" {
		t.Errorf("what the link leads to was written: %q", got)
	}
}

// TestCVE2025_52565: /dev/console and the terminals' directory are links.
func TestCVE2025_52565(t *testing.T) {
	for _, link := range []string{"console", "pts", "ptmx"} {
		host := outside(t)
		b := newBundle(t, "true")
		b.bare()
		b.mount(specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"}})
		must(t, os.Symlink(host+"/made", b.root+"/dev/"+link))
		b.spec.Process.Terminal = true
		b.write()
		l, err := net.Listen("unix", filepath.Join(b.dir, "console"))
		must(t, err)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
			}
		}()
		o := b.create("--console-socket", b.dir+"/console")
		if o.code == 0 {
			b.runtime("start", b.id)
			b.becomes(specs.StateStopped)
		}
		l.Close()
		untouched(t, host)
	}
}

// TestCVE2025_52881: what the runtime writes to procfs goes to procfs.
func TestCVE2025_52881(t *testing.T) {
	b := newBundle(t, "true")
	must(t, os.Remove(b.root+"/proc"))
	must(t, os.MkdirAll(b.root+"/data/fake/sys/net/core", 0o755))
	must(t, os.MkdirAll(b.root+"/data/fake/self/attr", 0o755))
	must(t, os.WriteFile(b.root+"/data/fake/sys/net/core/somaxconn", []byte("kept\n"), 0o644))
	must(t, os.Symlink("/data/fake", b.root+"/proc"))
	b.spec.Linux.Sysctl = map[string]string{"net.core.somaxconn": "55"}
	b.run()
	if got := read(t, b.root+"/data/fake/sys/net/core/somaxconn"); got != "kept\n" {
		t.Errorf("a sysctl was written to the image: %q", got)
	}
}

// TestCVE2022_0492: no release_agent can be written.
func TestCVE2022_0492(t *testing.T) {
	b := newBundle(t, `for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release); do (echo 1 >$f) 2>/dev/null && echo wrote $f; done
		mkdir /data/c && mount -t cgroup -o memory none /data/c 2>/dev/null && echo mounted; true`)
	if o := b.run(); o.code != 0 || o.out != "" {
		t.Errorf("release_agent: %v", o)
	}
}

// TestCVE2022_29162 is CVE-2022-24769 and CVE-2022-29162: capabilities that
// nobody asked to be inheritable are not.
func TestCVE2022_29162(t *testing.T) {
	b := newBundle(t, "while :; do sleep 1; done")
	b.started()
	for _, args := range [][]string{{"exec", b.id}, {"exec", "--cap", "CAP_KILL", b.id}} {
		o := b.runtime(append(args, "cat", "/proc/self/status")...)
		if got := status(t, o, "CapInh"); got != fmt.Sprintf("%016x", 0) {
			t.Errorf("%v: CapInh is %s", args, got)
		}
	}
}

// TestCVE2026_41579 is CVE-2026-41579 and CVE-2026-47766: /dev of the image is
// a link out of it, where device nodes and links would be made.
func TestCVE2026_41579(t *testing.T) {
	for _, tmpfs := range []bool{false, true} {
		for _, up := range []string{"", "/../../../../../../../.."} {
			host := outside(t)
			b := newBundle(t, "true")
			if !tmpfs {
				b.bare()
			}
			must(t, os.Remove(b.root+"/dev"))
			must(t, os.Symlink(up+host, b.root+"/dev"))
			b.run() // it may be refused
			untouched(t, host)
		}
	}
}
