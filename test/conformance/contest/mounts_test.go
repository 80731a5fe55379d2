package contest

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestBindMounts(t *testing.T) {
	b := newBundle(t, "cat /made/for/it/file; touch /ro/x 2>&1; touch /rw/y; ls -ld /file | cut -c1")
	src := t.TempDir()
	must(t, os.WriteFile(src+"/file", []byte("text\n"), 0o644))
	b.mount(specs.Mount{Destination: "/made/for/it", Source: src, Type: "bind", Options: []string{"rbind"}})
	b.mount(specs.Mount{Destination: "/ro", Source: src, Type: "bind", Options: []string{"rbind", "ro"}})
	b.mount(specs.Mount{Destination: "/rw", Source: src, Type: "bind", Options: []string{"bind"}})
	b.mount(specs.Mount{Destination: "/file", Source: src + "/file", Type: "bind", Options: []string{"bind"}})
	o := b.run()
	if !strings.HasPrefix(o.out, "text\n") || !strings.Contains(o.out, "Read-only file system") || !strings.HasSuffix(o.out, "-\n") {
		t.Errorf("bind mounts: %v", o)
	}
	if _, err := os.Stat(src + "/y"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(src + "/x"); err == nil {
		t.Error("a read-only mount was written")
	}
}

// TestMissingSource: a bind mount of what is not there is an error, and
// nothing is made.
func TestMissingSource(t *testing.T) {
	b := newBundle(t, "true")
	b.mount(specs.Mount{Destination: "/d", Source: "/no/such/source", Type: "bind", Options: []string{"bind"}})
	refused(t, b.run())
	if _, err := os.Stat("/no"); err == nil {
		t.Error("the source was made")
	}
}

// TestRecursiveReadOnly: "rro" makes the mounts below read-only too.
func TestRecursiveReadOnly(t *testing.T) {
	src := t.TempDir()
	must(t, os.Mkdir(src+"/sub", 0o755))
	must(t, unix.Mount("tmpfs", src+"/sub", "tmpfs", 0, ""))
	defer func() { must(t, unix.Unmount(src+"/sub", unix.MNT_DETACH)) }()
	b := newBundle(t, "touch /d/sub/x 2>&1")
	b.mount(specs.Mount{Destination: "/d", Source: src, Type: "bind", Options: []string{"rbind", "rro"}})
	if o := b.run(); !strings.Contains(o.out, "Read-only file system") {
		t.Errorf("rro: %v", o)
	}
}

func TestTmpfs(t *testing.T) {
	b := newBundle(t, "stat -c %a /t; grep ' /t ' /proc/mounts; stat -c %a /data/sub")
	must(t, os.Mkdir(b.root+"/data/sub", 0o1751))
	must(t, os.Chmod(b.root+"/data/sub", 0o1751|os.ModeSticky))
	b.mount(specs.Mount{Destination: "/t", Source: "tmpfs", Type: "tmpfs", Options: []string{"nosuid", "noexec", "mode=1770", "size=64k"}})
	b.mount(specs.Mount{Destination: "/data/sub", Source: "tmpfs", Type: "tmpfs"})
	o := b.run()
	if !strings.HasPrefix(o.out, "1770\n") || !strings.Contains(o.out, "size=64k") || !strings.Contains(o.out, "noexec") {
		t.Errorf("tmpfs: %v", o)
	}
	if world.name != "crun" && !strings.HasSuffix(o.out, "\n1751\n") { // runc: a tmpfs has the mode of what it covers
		t.Errorf("mode of what is covered: %v", o)
	}
}

func TestTmpCopyUp(t *testing.T) {
	b := newBundle(t, "cat /data/file; grep -c ' /data tmpfs' /proc/mounts")
	must(t, os.WriteFile(b.root+"/data/file", []byte("text\n"), 0o644))
	b.mount(specs.Mount{Destination: "/data", Source: "tmpfs", Type: "tmpfs", Options: []string{"tmpcopyup"}})
	wantOut(t, b.run(), "text\n1")
}

func TestReadOnlyRoot(t *testing.T) {
	b := newBundle(t, "touch /x 2>&1; touch /dev/shm/x && echo fine")
	b.spec.Root.Readonly = true
	if o := b.run(); !strings.Contains(o.out, "Read-only file system") || !strings.Contains(o.out, "fine") {
		t.Errorf("read-only root: %v", o)
	}
}

func TestMaskedAndReadOnlyPaths(t *testing.T) {
	b := newBundle(t, "cat /data/secret; ls /data/dir; echo x 2>&1 >/data/ro || true; echo 1 2>&1 >/proc/sys/kernel/core_pattern || echo denied")
	must(t, os.WriteFile(b.root+"/data/secret", []byte("secret\n"), 0o644))
	must(t, os.WriteFile(b.root+"/data/ro", []byte("kept\n"), 0o644))
	must(t, os.Mkdir(b.root+"/data/dir", 0o755))
	must(t, os.WriteFile(b.root+"/data/dir/secret", nil, 0o644))
	b.spec.Linux.MaskedPaths = append(b.spec.Linux.MaskedPaths, "/data/secret", "/data/secret", "/data/dir", "/no/such")
	b.spec.Linux.ReadonlyPaths = append(b.spec.Linux.ReadonlyPaths, "/data/ro", "/no/such")
	o := b.run()
	if strings.Contains(o.out, "secret") || !strings.Contains(o.out, "denied") {
		t.Errorf("masked paths: %v", o)
	}
	if got := read(t, b.root+"/data/ro"); got != "kept\n" {
		t.Errorf("a read-only path was written: %q", got)
	}
}

// TestDestinationLink: a link in the image leads to the image's own files.
func TestDestinationLink(t *testing.T) {
	b := newBundle(t, "cat /link/file")
	must(t, os.Symlink("/data", b.root+"/link"))
	src := t.TempDir()
	must(t, os.WriteFile(src+"/file", []byte("text\n"), 0o644))
	b.mount(specs.Mount{Destination: "/link", Source: src, Type: "bind", Options: []string{"bind"}})
	wantOut(t, b.run(), "text")
}

func TestDevices(t *testing.T) {
	b := newBundle(t, "for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done; for l in fd stdin stdout stderr; do readlink /dev/$l; done; "+
		"stat -c '%t:%T %a %u:%g' /dev/made; echo x >/dev/null && head -c1 /dev/zero | wc -c; cat /dev/made >/dev/null && echo read")
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/made", Type: "c", Major: 1, Minor: 5, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(3)), GID: ptr(uint32(4))}}
	b.spec.Linux.Resources.Devices = append(b.spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(5)), Access: "rwm"})
	b.spec.Process.Args[2] = strings.Replace(b.spec.Process.Args[2], "cat /dev/made >/dev/null", "head -c1 /dev/made >/dev/null", 1)
	wantOut(t, b.run(), "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n1:5 640 3:4\n1\nread")
}

func TestDeviceDenied(t *testing.T) {
	b := newBundle(t, "mknod /data/kmsg c 1 11 && cat /data/kmsg 2>&1")
	if o := b.run(); !strings.Contains(o.out, "Operation not permitted") {
		t.Errorf("a device that no rule allows: %v", o)
	}
}

func TestPropagation(t *testing.T) {
	for _, tt := range []struct{ option, want string }{
		{"rprivate", ""}, {"rslave", "master:"}, {"rshared", "shared:"},
	} {
		src := t.TempDir()
		must(t, unix.Mount("tmpfs", src, "tmpfs", 0, ""))
		must(t, unix.Mount("", src, "", unix.MS_SHARED, ""))
		b := newBundle(t, "grep ' /d ' /proc/self/mountinfo")
		b.mount(specs.Mount{Destination: "/d", Source: src, Type: "bind", Options: []string{"rbind", tt.option}})
		o := b.run()
		if o.code != 0 || tt.want != "" && !strings.Contains(o.out, tt.want) || tt.want == "" && (strings.Contains(o.out, "master:") || strings.Contains(o.out, "shared:")) {
			t.Errorf("%s: %v", tt.option, o)
		}
		must(t, unix.Unmount(src, unix.MNT_DETACH))
	}
}

func TestIDMappedMount(t *testing.T) {
	src := t.TempDir()
	must(t, os.WriteFile(src+"/file", nil, 0o644))
	must(t, os.Chown(src+"/file", 1, 1))
	b := newBundle(t, "stat -c %u:%g /d/file")
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1000}}
	b.mount(specs.Mount{Destination: "/d", Source: src, Type: "bind", Options: []string{"bind", "idmap"}, UIDMappings: m, GIDMappings: m})
	o := b.run()
	if world.name == "runc" && o.code != 0 {
		t.Skip("runc has it since 1.2")
	}
	wantOut(t, o, "1001:1001")
}

// TestHostMounts: a namespace that is not listed is inherited; what the
// container mounted goes with it.
func TestHostMounts(t *testing.T) {
	b := newBundle(t, "cat /proc/self/uid_map >/dev/null && while :; do sleep 1; done")
	b.without(specs.MountNamespace)
	b.without(specs.CgroupNamespace)
	o := b.create()
	if o.code != 0 && (world.name == "runc" || world.name == "crun") {
		t.Skip("not with this runtime")
	}
	if o.code != 0 {
		t.Fatal(o)
	}
	if o := b.runtime("start", b.id); o.code != 0 {
		t.Fatal(o)
	}
	b.runtime("delete", "--force", b.id)
	if world.name == "runc" || world.name == "crun" {
		return // they leave the mounts
	}
	n := strings.Count(read(t, "/proc/self/mountinfo"), b.root)
	if n != 1 {
		t.Errorf("%d mounts are left on the root:\n%s", n, read(t, "/proc/self/mountinfo"))
	}
}

// TestPtmxDevice: privileged containers list the host's terminal multiplexer
// among their devices; they get their own.
func TestPtmxDevice(t *testing.T) {
	b := newBundle(t, "readlink /dev/ptmx")
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2}}
	wantOut(t, b.run(), "pts/ptmx")
}
