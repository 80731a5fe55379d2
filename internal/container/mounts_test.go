package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// volume makes a directory with a file, on the disk of the root file system.
func volume(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(dir+"/file", []byte("volume\n"), 0o644))
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func TestBind(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	out := sh(t, `cat /data/file /etc/one /deep/er/file; echo new >/data/new; echo more >>/etc/one; stat -c %a /deep /deep/er
		cat /ro/file; touch /ro/x 2>&1; true`,
		bind(v, "/data"), bind(v+"/file", "/etc/one"), bind(v, "/deep/er"), bind(v, "/ro", "ro"))
	want := "volume\nvolume\nvolume\n755\n755\nvolume\nmore\ntouch: /ro/x: Read-only file system\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if got := read(t, v+"/new") + read(t, v+"/file"); got != "new\nvolume\nmore\n" {
		t.Errorf("the volume has %q", got)
	}
}

// TestBindTargets: missing mount points are made, existing ones kept as they
// are, whatever they are.
func TestBindTargets(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	var root string
	sh(t, "cat /dir/file /file /new/dir/file /new/file /link/file", bind(v, "/dir"), bind(v+"/file", "/file"),
		bind(v, "/new/dir"), bind(v+"/file", "/new/file"), bind(v, "/link"), func(c *Config) {
			root = c.Root.Bind
			must(t, os.Mkdir(root+"/dir", 0o700))
			must(t, os.Chmod(root+"/dir", 0o2770|os.ModeSetgid))
			must(t, os.WriteFile(root+"/file", []byte("image"), 0o600))
			must(t, os.Symlink("dir", root+"/link"))
		})
	for path, mode := range map[string]os.FileMode{
		"/dir": os.ModeDir | os.ModeSetgid | 0o770, "/file": 0o600, "/new": os.ModeDir | 0o755,
		"/new/dir": os.ModeDir | 0o755, "/new/file": 0o644, "/link": os.ModeSymlink | 0o777,
	} {
		if fi, err := os.Lstat(root + path); err != nil || fi.Mode() != mode {
			t.Errorf("%s: mode %v, %v, want %v", path, fi.Mode(), err, mode)
		}
	}
	if read(t, root+"/file") != "image" {
		t.Error("the image's file was written")
	}
}

// TestBindRecursive: ro is one mount's, rro all of them (runtime-spec 1.1).
func TestBindRecursive(t *testing.T) {
	dir := privateMounts(t)
	must(t, os.MkdirAll(dir+"/vol/sub", 0o755))
	must(t, unix.Mount("tmpfs", dir+"/vol/sub", "tmpfs", 0, ""))
	script := "touch /v/x 2>/dev/null && echo top; touch /v/sub/x 2>/dev/null && echo sub; true"
	for _, tt := range []struct {
		options string
		want    string
	}{
		{"rbind", "top\nsub\n"},
		{"rbind,ro", "sub\n"},
		{"rbind,rro", ""},
		{"bind", "top\nsub\n"}, // the directory below the mount
		{"bind,ro", ""},
		{"rbind,rnosuid,rnodev,rnoexec,rro", ""},
	} {
		m := specs.Mount{Type: "bind", Source: dir + "/vol", Destination: "/v", Options: strings.Split(tt.options, ",")}
		if out := sh(t, script, addMount(m)); out != tt.want {
			t.Errorf("%s: writable: %q, want %q", tt.options, out, tt.want)
		}
		_ = os.Remove(dir + "/vol/x")
		_ = os.Remove(dir + "/vol/sub/x")
	}
	out := sh(t, "cat /proc/self/mountinfo", bind(dir+"/vol", "/v", "rnosuid", "rnodev", "rnoexec", "rnoatime"))
	for _, p := range []string{"/v", "/v/sub"} {
		if m := findMount(t, parseMountinfo(t, out), p); m.opts != "rw,nosuid,nodev,noexec,noatime" {
			t.Errorf("%s: %s", p, m.opts)
		}
	}
}

// TestBindAttributes reads back what the kernel made of the options.
func TestBindAttributes(t *testing.T) {
	v := privateMounts(t) // a mount keeps the attributes of its source
	for options, want := range map[string]string{
		"":                            "rw,relatime",
		"ro,nosuid,nodev,noexec":      "ro,nosuid,nodev,noexec,relatime",
		"noatime":                     "rw,noatime",
		"strictatime":                 "rw",
		"noatime,relatime":            "rw,relatime",
		"relatime,noatime,nodiratime": "rw,noatime,nodiratime",
		"ro,rw":                       "rw,relatime",
		"nosymfollow":                 "rw,relatime,nosymfollow",
		"noexec,exec":                 "rw,relatime",
	} {
		var list []string
		if options != "" {
			list = strings.Split(options, ",")
		}
		out := sh(t, "cat /proc/self/mountinfo", bind(v, "/v", list...))
		m := findMount(t, parseMountinfo(t, out), "/v")
		for _, o := range strings.Split(want, ",") {
			if !strings.Contains(","+m.opts+",", ","+o+",") {
				t.Errorf("%q: %s, want %s", options, m.opts, want)
			}
		}
		if n := len(strings.Split(m.opts, ",")); n != len(strings.Split(want, ",")) {
			t.Errorf("%q: %s, want %s", options, m.opts, want)
		}
	}
}

// TestBindPropagation: a mount made on the host later reaches a slave and a
// shared volume; one made inside reaches the host from a shared one only.
func TestBindPropagation(t *testing.T) {
	dir := privateMounts(t)
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	must(t, os.MkdirAll(dir+"/vol/host", 0o755))
	must(t, os.MkdirAll(dir+"/vol/inner", 0o755))
	for _, tt := range []struct {
		options []string
		in, out bool // a mount is seen inside, a mount from inside is seen outside
	}{
		{nil, false, false},
		{[]string{"rprivate"}, false, false},
		{[]string{"rslave"}, true, false},
		{[]string{"rshared"}, true, true},
	} {
		s := start(t, newConfig(t, shell("mount -t tmpfs inner /v/inner; echo ready; read x; ls /v/host; umount /v/inner; echo end"),
			bind(dir+"/vol", "/v", tt.options...), privileged))
		if l := s.line(t); l != "ready" {
			t.Fatalf("says %q", l)
		}
		var inner, vol unix.Stat_t
		must(t, unix.Stat(dir+"/vol/inner", &inner))
		must(t, unix.Stat(dir+"/vol", &vol))
		if got := inner.Dev != vol.Dev; got != tt.out {
			t.Errorf("%v: the host sees the container's mount: %v", tt.options, got)
		}
		must(t, unix.Mount("tmpfs", dir+"/vol/host", "tmpfs", 0, ""))
		must(t, os.WriteFile(dir+"/vol/host/seen", nil, 0o644))
		_, err := s.in.WriteString("go\n")
		must(t, err)
		if got := s.line(t) == "seen"; got != tt.in {
			t.Errorf("%v: the container sees the host's mount: %v", tt.options, got)
		}
		s.stop()
		must(t, unix.Unmount(dir+"/vol/host", unix.MNT_DETACH))
	}
}

// privileged gives all that the caller has, and no seccomp.
func privileged(c *Config) {
	names := c.Facts.Bounding.Names()
	c.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	c.Spec.Linux.Seccomp = nil
	c.Spec.Linux.MaskedPaths, c.Spec.Linux.ReadonlyPaths = nil, nil
}

// TestBindStaysInside: a mount point's links are resolved inside the root; no
// host file is made or covered.
func TestBindStaysInside(t *testing.T) {
	testkit.Containers(t)
	v, outside := volume(t), t.TempDir()
	before, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	var root string
	out := sh(t, "cat /up/file /abs/data/file /loop/in/file /chain/file; cat "+outside+"/data/file",
		bind(v, "/up"), bind(v, "/abs/data"), bind(v, "/loop/in"), bind(v, "/chain"), func(c *Config) {
			root = c.Root.Bind
			must(t, os.Mkdir(root+"/target", 0o755))
			must(t, os.Symlink("../../../../../../../../target", root+"/up"))
			must(t, os.MkdirAll(root+outside, 0o755))
			must(t, os.Symlink(outside, root+"/abs"))
			must(t, os.Symlink(".", root+"/loop"))
			must(t, os.Mkdir(root+"/end", 0o755))
			must(t, os.Symlink("/a", root+"/chain"))
			must(t, os.Symlink("/proc/../../b", root+"/a"))
			must(t, os.Symlink("end", root+"/b"))
		})
	if out != strings.Repeat("volume\n", 5) {
		t.Errorf("got %q", out)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 0 {
		t.Errorf("the host's directory has %v, %v", list, err)
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if string(after) != string(before) {
		t.Error("the host's mount table changed")
	}
}

// TestBindRefused: what cannot be mounted on is one clear error.
func TestBindRefused(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	for _, tt := range []struct {
		name, dst, want string
		prepare         func(root string) error
	}{
		{"dangling link", "/link", "mount /link: no such file or directory", func(r string) error { return os.Symlink("nowhere/at/all", r+"/link") }},
		{"dangling directory", "/link/x", "mount /link/x: no such file or directory", func(r string) error { return os.Symlink("nowhere", r+"/link") }},
		{"link to itself", "/self", "mount /self: too many levels of symbolic links", func(r string) error { return os.Symlink("self", r+"/self") }},
		{"magic link", "/proc/self/fd/1", "mount /proc/self/fd/1: only procfs", nil},
		{"magic link in between", "/proc/self/cwd/x", "mount /proc/self/cwd/x: only procfs", nil},
		{"magic link by way of a link", "/l/self/fd/1", "mount /l/self/fd/1: too many levels of symbolic links", func(r string) error { return os.Symlink("proc", r+"/l") }},
		{"in procfs by way of a link", "/l/nothing", "mount /l/nothing: no such file or directory", func(r string) error { return os.Symlink("proc", r+"/l") }},
		{"link to a magic link", "/m", "mount /m: too many levels of symbolic links", func(r string) error { return os.Symlink("/proc/1/root", r+"/m") }},
		{"below a file", "/etc/f/x", "mount /etc/f/x: not a directory", func(r string) error { return os.WriteFile(r+"/etc/f", nil, 0o600) }},
		{"directory on a file", "/etc/f", "mount /etc/f: not a directory", func(r string) error { return os.WriteFile(r+"/etc/f", nil, 0o600) }},
		{"in procfs", "/proc/nothing", "mount /proc/nothing: only procfs", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newConfig(t, shell("true"), bind(v, tt.dst))
			if tt.prepare != nil {
				must(t, tt.prepare(cfg.Root.Bind))
			}
			_, _, err := output(t, cfg)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
	_, _, err := output(t, newConfig(t, shell("true"), bind(v+"/file", "/etc")))
	if err == nil || !strings.HasPrefix(err.Error(), "mount /etc: ") {
		t.Errorf("file on a directory: %v", err)
	}
}

// TestBindIdmap shows a volume's files with other ids. Where the file system
// cannot, that is an error and not silence.
func TestBindIdmap(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
	edits := []edit{addMount(specs.Mount{
		Type: "bind", Source: v, Destination: "/v", Options: []string{"rbind", "idmap"}, UIDMappings: maps, GIDMappings: maps,
	})}
	out, _, err := output(t, newConfig(t, shell("stat -c %u:%g /v/file; touch /v/made; stat -c %u:%g /v/made"), edits...))
	if err != nil && fault.KindOf(err) == fault.Invalid {
		t.Skipf("the file system of the tests cannot be idmapped: %v", err)
	}
	must(t, err)
	// ids on the disk are the map's inside ones: 0 is seen as 1000.
	if out != "1000:1000\n" && !strings.HasPrefix(out, "1000:1000\n") {
		t.Errorf("got %q", out)
	}
	// The maps alone ask for it too (runtime-spec, "uidMappings").
	out = sh(t, "stat -c %u:%g /v/file", addMount(specs.Mount{
		Type: "bind", Source: v, Destination: "/v", Options: []string{"rbind"}, UIDMappings: maps, GIDMappings: maps,
	}))
	if out != "1000:1000\n" {
		t.Errorf("without the option: %q", out)
	}
	// In a user namespace without maps of its own, the mount has the namespace's.
	out = sh(t, "stat -c %u:%g /v/file; touch /v/inside", withUserNS, bind(v, "/v", "idmap"))
	var st unix.Stat_t
	must(t, unix.Stat(v+"/inside", &st))
	if out != "0:0\n" || st.Uid != 0 || st.Gid != 0 {
		t.Errorf("%q; on the host %d:%d", out, st.Uid, st.Gid)
	}
}

func TestTmpfs(t *testing.T) {
	out := sh(t, `stat -c '%a %u:%g' /t1 /t2 /t3 /t4; stat -c %a /tmp /etc; cat /proc/self/mountinfo`,
		addMount(specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t1", Options: []string{"mode=1777", "size=64k", "noexec"}}),
		addMount(specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t2", Options: []string{"uid=5", "gid=6", "mode=2750"}}),
		addMount(specs.Mount{Type: "tmpfs", Destination: "/t3", Options: []string{"ro", "rprivate", "nr_inodes=5"}}),
		// The mode of the directory below, and the kernel's where there is none.
		addMount(specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t4"}),
		addMount(specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/tmp"}),
		addMount(specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/etc", Options: []string{"ro"}}),
		func(c *Config) { must(t, os.Chmod(c.Root.Bind+"/etc", 0o710)) })
	rest, ok := strings.CutPrefix(out, "1777 0:0\n2750 5:6\n1777 0:0\n1777 0:0\n1777\n710\n")
	if !ok {
		t.Fatalf("modes:\n%s", out)
	}
	table := parseMountinfo(t, rest)
	if m := findMount(t, table, "/t1"); m.opts != "rw,noexec,relatime" || !strings.Contains(m.super, "size=64k") {
		t.Errorf("%+v", m)
	}
	if m := findMount(t, table, "/t3"); m.opts != "ro,relatime" || !strings.Contains(m.super, "nr_inodes=5") || m.source != "tmpfs" {
		t.Errorf("%+v", m)
	}
}

func TestManyMounts(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	cfg := newConfig(t, shell("cat /m/*/file /t/*/x 2>/dev/null | wc -l; grep -c ' /[mt]/' /proc/self/mountinfo"))
	for i := range 100 {
		apply(&cfg, []edit{
			bind(v, fmt.Sprintf("/m/%d", i), "ro"),
			addMount(specs.Mount{Type: "tmpfs", Source: "t", Destination: fmt.Sprintf("/t/%d", i), Options: []string{"size=4k"}}),
		})
	}
	out, code, err := output(t, cfg)
	if err != nil || code != 0 || out != "100\n200\n" {
		t.Errorf("%q, code %d, %v", out, code, err)
	}
}

// TestFiles: small files of the configuration are mounts of a private tmpfs.
func TestFiles(t *testing.T) {
	testkit.Containers(t)
	v := t.TempDir()
	out := sh(t, "cat /etc/hostname; echo more >>/etc/hostname; cat /etc/hostname; cat /etc/empty; echo x >>/etc/hosts; true",
		bind(v+"/hostname", "/etc/hostname"), bind(v+"/hosts", "/etc/hosts", "ro"), bind(v+"/empty", "/etc/empty"),
		func(c *Config) {
			c.Files = []File{{v + "/hostname", []byte("box\n")}, {v + "/hosts", []byte("::1 box\n")}, {v + "/empty", nil}}
		})
	if !strings.HasPrefix(out, "box\nbox\nmore\n") || !strings.Contains(out, "Read-only file system") {
		t.Errorf("got %q", out)
	}
	if list, err := filepath.Glob(v + "/*"); err != nil || len(list) != 0 {
		t.Errorf("on the host: %v, %v", list, err)
	}
	out = sh(t, "cat /etc/hostname; stat -c %u:%g /etc/hostname; ls -A /sys/firmware", withUserNS, bind(v+"/hostname", "/etc/hostname"),
		func(c *Config) { c.Files = []File{{v + "/hostname", []byte("inner\n")}} })
	if out != "inner\n0:0\n" {
		t.Errorf("in a user namespace: %q", out)
	}
}
