package container

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// expectedMounts computes a default container's mount table: mount point,
// type and attributes.
func expectedMounts(t *testing.T, c *Config) []string {
	t.Helper()
	var root unix.Statfs_t
	must(t, unix.Statfs(c.Root.Bind, &root))
	list := []string{
		"/proc proc rw,nosuid,nodev,noexec,relatime",
		"/dev tmpfs rw,nosuid",
		"/dev/pts devpts rw,nosuid,noexec,relatime",
		"/sys sysfs ro,nosuid,nodev,noexec,relatime",
		"/dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime",
		"/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime",
	}
	for _, m := range c.Layout.Mounts() {
		list = append(list, path.Join("/sys/fs/cgroup", m.Target)+" "+m.FSType+" ro,nosuid,nodev,noexec,relatime")
		if m.Target != "" && !slices.Contains(list, "/sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,relatime") {
			list = append(list, "/sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,relatime")
		}
	}
	for _, p := range c.Spec.Linux.MaskedPaths {
		fi, err := os.Stat(p) // the same kernel, the same paths
		switch {
		case err != nil:
		case fi.IsDir():
			list = append(list, p+" tmpfs ro,nosuid,nodev,noexec,relatime")
		default:
			list = append(list, p+" tmpfs rw,nosuid")
		}
	}
	for _, p := range c.Spec.Linux.ReadonlyPaths {
		if _, err := os.Stat(p); err == nil {
			list = append(list, p+" proc ro,nosuid,nodev,noexec,relatime")
		}
	}
	slices.Sort(list)
	return list
}

// TestMountTable: the container has its own mounts and none of the host's.
func TestMountTable(t *testing.T) {
	testkit.Containers(t)
	before, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	var want []string
	out := sh(t, "cat /proc/self/mountinfo", func(c *Config) { want = expectedMounts(t, c) })
	var got []string
	table := parseMountinfo(t, out)
	for _, m := range table {
		if m.tags != "" {
			t.Errorf("%s: propagation %q", m.point, m.tags)
		}
		if m.point != "/" {
			got = append(got, m.point+" "+m.fstype+" "+m.opts)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if table[0].point != "/" || len(table) != len(got)+1 {
		t.Errorf("%d mounts at the root", len(table)-len(got))
	}
	ids := map[string]bool{}
	for _, m := range parseMountinfo(t, string(before)) {
		ids[m.id] = true
	}
	for _, m := range table {
		if ids[m.id] {
			t.Errorf("mount %s at %s is one of the host's", m.id, m.point)
		}
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if string(after) != string(before) {
		t.Error("the host's mount table changed")
	}
}

// TestOldRootIsGone: no path, link or descriptor leads to the host's root.
func TestOldRootIsGone(t *testing.T) {
	testkit.Containers(t)
	secret := path.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("host"), 0o644))
	out := sh(t, `for p in / /.. /proc/1/root /proc/1/root/.. /proc/1/cwd/.. /proc/self/root /../../..; do
		[ ! -e $p`+secret+` ] || echo "$p leads out"; stat -L -c %i $p; done | sort | uniq -c`,
		func(c *Config) {
			must(t, os.Symlink("busybox", c.Root.Bind+"/bin/uniq"))
		})
	if f := strings.Fields(out); len(f) != 2 || f[0] != "7" {
		t.Errorf("not one root:\n%s", out)
	}
}

func TestDev(t *testing.T) {
	out := sh(t, `cd /dev; stat -c '%n %F %a %t:%T %u:%g' * | sort; for l in core fd ptmx stdin stdout stderr; do echo $l $(readlink $l); done
		stat -f -c %T / >/dev/null; ls /dev/pts; echo x >/dev/null; echo x >/dev/full && echo full; [ -e /dev/tty ]; echo y >/dev/shm/x`)
	want := `core symbolic link 777 0:0 0:0
fd symbolic link 777 0:0 0:0
full character special file 666 1:7 0:0
mqueue directory 1777 0:0 0:0
null character special file 666 1:3 0:0
ptmx symbolic link 777 0:0 0:0
pts directory 755 0:0 0:0
random character special file 666 1:8 0:0
shm directory 1777 0:0 0:0
stderr symbolic link 777 0:0 0:0
stdin symbolic link 777 0:0 0:0
stdout symbolic link 777 0:0 0:0
tty character special file 666 5:0 0:0
urandom character special file 666 1:9 0:0
zero character special file 666 1:5 0:0
core /proc/kcore
fd /proc/self/fd
ptmx pts/ptmx
stdin /proc/self/fd/0
stdout /proc/self/fd/1
stderr /proc/self/fd/2
ptmx
sh: write error: No space left on device
`
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// TestDevices: further nodes, with mode and owner, made and in a directory of
// their own; a default one may get another mode and cannot be replaced.
func TestDevices(t *testing.T) {
	mode := os.FileMode(0o640)
	uid, gid := uint32(7), uint32(8)
	devices := func(c *Config) {
		must(t, unix.Mknod(c.Root.Bind+"/image", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
		c.Spec.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: &uid, GID: &gid},
			{Path: "/dev/sub/dir/loop", Type: "b", Major: 7, Minor: 0},
			{Path: "/dev/pipe", Type: "p"},
			{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, FileMode: &mode, UID: &uid},
			{Path: "/image", Type: "c", Major: 1, Minor: 3},
		}
	}
	out := sh(t, `stat -c '%n %F %a %t:%T %u:%g' /dev/fuse /dev/sub/dir/loop /dev/pipe /dev/zero /image /dev/null`, devices)
	want := `/dev/fuse character special file 640 a:e5 7:8
/dev/sub/dir/loop block special file 666 7:0 0:0
/dev/pipe fifo 666 0:0 0:0
/dev/zero character special file 640 1:5 7:0
/image character special file 600 1:3 0:0
/dev/null character special file 666 1:3 0:0
`
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	for text, d := range map[string]specs.LinuxDevice{
		"make device /image: another file is there: invalid argument (step devices)": {Path: "/image", Type: "c", Major: 1, Minor: 5},
		"make device /etc: another file is there: invalid argument (step devices)":   {Path: "/etc", Type: "b", Major: 7, Minor: 0},
		"device /dev/null: is c 1:3, not c 1:5":                                      {Path: "/dev/null", Type: "c", Major: 1, Minor: 5},
	} {
		_, _, err := output(t, newConfig(t, shell("true"), devices, func(c *Config) { c.Spec.Linux.Devices = []specs.LinuxDevice{d} }))
		if err == nil || err.Error() != text {
			t.Errorf("%+v: %v", d, err)
		}
	}
	// A chmod reaches the container's node only.
	before, err := os.Stat("/dev/null")
	must(t, err)
	sh(t, "chmod 600 /dev/null /dev/zero")
	if after, err := os.Stat("/dev/null"); err != nil || after.Mode() != before.Mode() {
		t.Errorf("the host's /dev/null has mode %v now, %v", after.Mode(), err)
	}
}

// TestDeviceController: what no rule allows cannot be opened, node or not.
func TestDeviceController(t *testing.T) {
	out := sh(t, `for d in mem loop; do dd if=/dev/$d of=/dev/null bs=1 count=1 2>&1 | grep -o 'Operation not permitted'; done; head -c 1 /dev/zero | wc -c`,
		func(c *Config) {
			c.Spec.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/mem", Type: "c", Major: 1, Minor: 1},
				{Path: "/dev/loop", Type: "b", Major: 7, Minor: 0},
			}
		})
	if out != "Operation not permitted\nOperation not permitted\n1\n" {
		t.Errorf("got %q", out)
	}
}

func TestDevPtsIsNew(t *testing.T) {
	testkit.Containers(t)
	var own unix.Stat_t
	must(t, unix.Stat("/dev/pts", &own))
	out := sh(t, "cat /proc/self/mountinfo")
	m := findMount(t, parseMountinfo(t, out), "/dev/pts")
	if maj, min, _ := strings.Cut(m.dev, ":"); maj == "0" && min == strconv.Itoa(int(unix.Minor(own.Dev))) {
		t.Error("/dev/pts is the host's")
	}
	if !strings.Contains(m.super, "gid=5") || !strings.Contains(m.super, "mode=620") || !strings.Contains(m.super, "ptmxmode=666") {
		t.Errorf("options %s", m.super)
	}
}

// TestReadOnlyParts: what of /proc and /sys reaches the kernel is read-only.
func TestReadOnlyParts(t *testing.T) {
	out := sh(t, `try() { if echo x 2>/dev/null >$1; then echo "$1 is writable"; fi; }
		try /sys/kernel/x; try /proc/sys/kernel/hostname; try /proc/sysrq-trigger; try /proc/irq/x; try /sys/fs/cgroup/x
		for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/sub 2>/dev/null && echo "made $d/sub"; done; true`)
	if out != "" {
		t.Error(out)
	}
}

// TestCgroupMount: of the hierarchies the container sees its own group only,
// and no release_agent (CVE-2022-0492).
func TestCgroupMount(t *testing.T) {
	sleeper(t)
	out := sh(t, `for f in $(find /sys/fs/cgroup -name tasks -o -name cgroup.procs); do cat $f; done | sort -n | tail -n 1
		find /sys/fs/cgroup -name 'tare-test*' -o -name sleeper -o -name release_agent; echo --; cat /proc/self/mountinfo`)
	pid, rest, _ := strings.Cut(out, "\n")
	if len(pid) > 2 {
		t.Errorf("sees process %s", pid)
	}
	found, table, _ := strings.Cut(rest, "--\n")
	if found != "" {
		t.Errorf("sees what is not its own:\n%s", found)
	}
	for _, m := range parseMountinfo(t, table) {
		if strings.HasPrefix(m.fstype, "cgroup") && m.root != "/" {
			t.Errorf("%s shows %s", m.point, m.root)
		}
	}
}

// TestMasked: a masked file is empty, a masked directory too, in every way to
// write the path; what the image has instead as a link is not followed out.
func TestMasked(t *testing.T) {
	testkit.Containers(t)
	host := path.Join(t.TempDir(), "file")
	must(t, os.WriteFile(host, []byte("host"), 0o644))
	out := sh(t, `cat /etc/secret /dir/file 2>&1; ls -A /dir /link /sys/firmware; cat /hostlink 2>&1; echo x >/etc/secret; cat /etc/secret; stat -L -c %t:%T /etc/secret /bent`,
		func(c *Config) {
			r := c.Root.Bind
			must(t, os.WriteFile(r+"/etc/secret", []byte("secret\n"), 0o644))
			must(t, os.MkdirAll(r+"/dir", 0o755))
			must(t, os.WriteFile(r+"/dir/file", []byte("secret\n"), 0o644))
			must(t, os.Mkdir(r+"/real", 0o755))
			must(t, os.WriteFile(r+"/real/file", []byte("secret\n"), 0o644))
			must(t, os.Symlink("/real", r+"/link"))
			must(t, os.WriteFile(r+"/straight", []byte("secret\n"), 0o644))
			must(t, os.Symlink("../../../straight", r+"/bent"))
			must(t, os.Symlink(host, r+"/hostlink"))
			c.Spec.Linux.MaskedPaths = append(c.Spec.Linux.MaskedPaths,
				"/etc/secret", "/etc/secret", "/etc/../dir", "/link", "/bent", "/hostlink", "/missing", "/etc/secret/below")
		})
	want := `cat: can't open '/dir/file': No such file or directory
/dir:

/link:

/sys/firmware:
cat: can't open '/hostlink': No such file or directory
1:3
1:3
`
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if b, err := os.ReadFile(host); err != nil || string(b) != "host" {
		t.Errorf("the host's file is %q, %v", b, err)
	}
}

// TestMaskIsNotTheImages: with no /dev of the container's own, what an image
// calls /dev/null hides nothing (CVE-2025-31133).
func TestMaskIsNotTheImages(t *testing.T) {
	out := sh(t, "stat -c %t:%T /etc/secret; cat /etc/secret; cat /proc/sysrq-trigger 2>&1 | head -n 1", func(c *Config) {
		c.Spec.Mounts = slices.DeleteFunc(c.Spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
		r := c.Root.Bind
		must(t, os.WriteFile(r+"/etc/secret", []byte("secret\n"), 0o644))
		must(t, os.WriteFile(r+"/etc/decoy", []byte("decoy\n"), 0o644))
		must(t, os.Symlink("/etc/decoy", r+"/dev/null"))
		must(t, os.Symlink("/proc/sys/kernel/core_pattern", r+"/dev/zero"))
		c.Spec.Linux.MaskedPaths = []string{"/etc/secret", "/proc/kcore"}
	})
	if !strings.HasPrefix(out, "1:3\n") || strings.Contains(out, "secret\n") && strings.Contains(out, "decoy") {
		t.Errorf("got %q", out)
	}
}

// TestProcAsLink: mounts of the configuration follow an image's links inside
// the root, and masked paths go with them.
func TestProcAsLink(t *testing.T) {
	out := sh(t, "readlink /sys; ls /other/kernel >/dev/null && cat /proc/self/mountinfo", func(c *Config) {
		r := c.Root.Bind
		must(t, os.Remove(r+"/sys"))
		must(t, os.Mkdir(r+"/other", 0o755))
		must(t, os.Symlink("../../../other", r+"/sys"))
	})
	if m := findMount(t, parseMountinfo(t, strings.SplitN(out, "\n", 2)[1]), "/other"); m.fstype != "sysfs" {
		t.Errorf("at the link's target: %+v", m)
	}
}

func TestReadOnlyRoot(t *testing.T) {
	out := sh(t, `touch /x 2>&1; mkdir /etc/y 2>&1; touch /dev/shm/z && echo shm; touch /tmp/t && echo tmp; ls -d /made/point`,
		addMount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}),
		addMount(specs.Mount{Destination: "/made/point", Type: "tmpfs", Source: "tmpfs"}),
		func(c *Config) { c.Spec.Root.Readonly = true })
	want := "touch: /x: Read-only file system\nmkdir: can't create directory '/etc/y': Read-only file system\nshm\ntmp\n/made/point\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	// An image of one layer is mounted as it is, and nothing reaches it.
	out = sh(t, "touch /x 2>&1; true", func(c *Config) { c.Root.ReadOnly = true })
	if !strings.Contains(out, "Read-only") {
		t.Errorf("a read-only snapshot: %q", out)
	}
}

func TestRootPropagation(t *testing.T) {
	dir := privateMounts(t)
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	must(t, os.Mkdir(dir+"/vol", 0o755))
	must(t, unix.Mount("tmpfs", dir+"/vol", "tmpfs", 0, "")) // shared too, as its parent
	for _, tt := range []struct{ root, volume, rootTags, volumeTags string }{
		{"", "", "", ""},
		{"private", "rslave", "", "master:"},
		{"rslave", "rslave", "", "master:"},
		{"rshared", "rshared", "shared:", "shared:"},
		{"", "rshared", "", "shared:"},
		{"", "rprivate", "", ""},
	} {
		var options []string
		if tt.volume != "" {
			options = append(options, tt.volume)
		}
		out := sh(t, "cat /proc/self/mountinfo", bind(dir+"/vol", "/vol", options...), func(c *Config) {
			c.Spec.Linux.RootfsPropagation = tt.root
		})
		table := parseMountinfo(t, out)
		if m := findMount(t, table, "/"); !tagged(m, tt.rootTags) {
			t.Errorf("%+v: root has %q", tt, m.tags)
		}
		if m := findMount(t, table, "/vol"); !tagged(m, tt.volumeTags) {
			t.Errorf("%+v: volume has %q", tt, m.tags)
		}
	}
}

func tagged(m mountLine, want string) bool {
	return want == "" && m.tags == "" || want != "" && strings.HasPrefix(m.tags, want) && !strings.Contains(m.tags, " ")
}
