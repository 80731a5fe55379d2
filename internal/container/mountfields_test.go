package container

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// TestTmpCopyUp: content, kinds, owners, modes and times, with and without a
// user namespace; what is mounted below later is not touched.
func TestTmpCopyUp(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	must(t, os.Chmod(v, 0o755))
	for name, edits := range map[string][]edit{"plain": nil, "user namespace": {withUserNS}, "no pid namespace": {func(c *Config) {
		dropNamespace(c.Spec, specs.PIDNamespace)
	}}} {
		edits = append(edits,
			addMount(specs.Mount{Type: "tmpfs", Destination: "/var/lib", Options: []string{"tmpcopyup", "ro", "size=4m"}}),
			addMount(specs.Mount{Type: "tmpfs", Destination: "/not/there", Options: []string{"tmpcopyup"}}),
			bind(v, "/var/lib/sub"),
			func(c *Config) {
				d := c.Root.Bind + "/var/lib"
				must(t, os.MkdirAll(d+"/sub/deep", 0o755))
				must(t, os.WriteFile(d+"/file", []byte(strings.Repeat("x", 100_000)), 0o640))
				must(t, os.WriteFile(d+"/empty", nil, 0o600))
				must(t, os.WriteFile(d+"/sub/deep/er", []byte("hidden"), 0o600))
				must(t, os.Symlink("/proc/../nowhere", d+"/link"))
				must(t, unix.Mkfifo(d+"/fifo", 0o600))
				must(t, os.Chmod(d+"/fifo", 0o620))
				must(t, os.Chown(d+"/file", 5, 6))
				must(t, os.Chmod(d+"/sub", 0o2750|os.ModeSetgid))
				must(t, os.Chmod(d, 0o751))
				must(t, os.Chtimes(d+"/file", time.Unix(1e9, 0), time.Unix(1e9, 0)))
			})
		var got string
		noTraces(t, func() {
			got = sh(t, `cd /var/lib; stat -c '%n %F %a %u:%g %s' . file empty fifo; stat -c %Y file; readlink link; ls -A; ls sub; stat -c %a sub; ls -A /not/there
				touch file 2>/dev/null || echo read-only; grep ' /var/lib ' /proc/self/mountinfo | grep -c tmpfs`, edits...)
		})
		want := `. directory 751 0:0 140
file regular file 640 5:6 100000
empty regular empty file 600 0:0 0
fifo fifo 620 0:0 0
1000000000
/proc/../nowhere
empty
fifo
file
link
sub
file
755
read-only
1
`
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestMountOptionTable: every option of the specification's table is taken,
// alone, for a tmpfs and for a bind mount.
func TestMountOptionTable(t *testing.T) {
	for _, o := range MountOptions() {
		for _, m := range []specs.Mount{
			{Type: "tmpfs", Destination: "/d", Options: []string{o}},
			{Type: "bind", Source: "/s", Destination: "/d", Options: []string{"bind", o}},
		} {
			got, err := parseMountOptions(&m)
			idmap := o == "idmap" || o == "ridmap"
			if (err != nil) != (idmap && !got.bind || o == "tmpcopyup" && m.Type == "bind") || len(got.data) > 0 {
				t.Errorf("%s of %s: %+v, %v", o, m.Type, got, err)
			}
		}
	}
	// From the table of config.md.
	const table = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
		noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount
		rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared
		rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable
		idmap ridmap rnodev`
	known := " " + strings.Join(MountOptions(), " ") + " "
	for o := range strings.FieldsSeq(table) {
		if !strings.Contains(known, " "+o+" ") {
			t.Errorf("option %s is missing", o)
		}
	}
}

func TestSuperblockOptions(t *testing.T) {
	out := sh(t, "cat /proc/self/mountinfo",
		addMount(specs.Mount{Type: "tmpfs", Destination: "/s", Options: []string{"sync", "dirsync", "mand", "silent", "nolazytime"}}),
		addMount(specs.Mount{Type: "tmpfs", Destination: "/l", Options: []string{"lazytime"}}))
	table := parseMountinfo(t, out)
	if m := findMount(t, table, "/s"); !strings.HasPrefix(m.super, "rw,sync,dirsync,") {
		t.Errorf("%+v", m)
	}
	if m := findMount(t, table, "/l"); !strings.Contains(m.super, "lazytime") {
		t.Errorf("%+v", m)
	}
	var warnings []string
	sh(t, "true", bind(volume(t), "/v", "sync"), collectWarnings(&warnings))
	if len(warnings) != 1 || warnings[0] != "mount /v: sync: a bind mount has its source's" {
		t.Errorf("warnings %q", warnings)
	}
}

func TestRemount(t *testing.T) {
	v := volume(t)
	out := sh(t, "cat /proc/self/mountinfo", bind(v, "/v"),
		addMount(specs.Mount{Type: "bind", Source: v, Destination: "/v", Options: []string{"remount", "bind", "ro", "noexec"}}),
		addMount(specs.Mount{Type: "tmpfs", Destination: "/t", Options: []string{"size=1m"}}),
		addMount(specs.Mount{Type: "tmpfs", Destination: "/t", Options: []string{"remount", "size=2m", "nosuid"}}))
	table := parseMountinfo(t, out)
	if m := findMount(t, table, "/v"); !strings.HasPrefix(m.opts, "ro,noexec,") {
		t.Errorf("%+v", m)
	}
	if m := findMount(t, table, "/t"); m.opts != "rw,nosuid,relatime" || !strings.Contains(m.super, "size=2048k") {
		t.Errorf("%+v", m)
	}
	if len(table) != len(parseMountinfo(t, sh(t, "cat /proc/self/mountinfo")))+2 {
		t.Error("a remount made a mount")
	}
}

// TestOverProc: CVE-2019-16884, CVE-2019-19921. Only what lxcfs gives may lie
// over a file of /proc.
func TestOverProc(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	for _, tt := range []struct {
		m  specs.Mount
		ok bool
	}{
		{specs.Mount{Type: "bind", Source: v, Destination: "/proc"}, false},
		{specs.Mount{Type: "bind", Source: v, Destination: "//x/../proc/"}, false},
		{specs.Mount{Type: "tmpfs", Destination: "/proc"}, false},
		{specs.Mount{Type: "tmpfs", Destination: "/proc/self"}, false},
		{specs.Mount{Type: "tmpfs", Destination: "/proc/sys"}, false},
		{specs.Mount{Type: "bind", Source: v + "/file", Destination: "/proc/self/attr/exec"}, false},
		{specs.Mount{Type: "bind", Source: v + "/file", Destination: "/proc/uptime"}, true},
		{specs.Mount{Type: "bind", Source: v + "/file", Destination: "/proc/sys/kernel/ns_last_pid"}, true},
		{specs.Mount{Type: "bind", Source: "/proc", Destination: "/proc", Options: []string{"rbind"}}, true},
	} {
		cfg := newConfig(t, shell("true"), addMount(tt.m))
		noTraces(t, func() {
			_, code, err := output(t, cfg)
			if tt.ok && (err != nil || code != 0) || !tt.ok && (fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(fmt.Sprint(err), "mount "+tt.m.Destination+": only procfs")) {
				t.Errorf("%+v: %v", tt.m, err)
			}
		})
	}
}

// TestJoinedUserNSMap: an idmapped root, and a volume, have the ids of the
// namespace that is joined.
func TestJoinedUserNSMap(t *testing.T) {
	s := sleeper(t, withUserNS)
	v := volume(t)
	out := sh(t, "stat -c %u:%g /bin/busybox /v/file; touch /v/made; cat /proc/self/uid_map", bind(v, "/v", "idmap"), func(c *Config) {
		setNamespace(c.Spec, specs.UserNamespace, s.nsPath("user"))
		c.IdmapRoot = true
	})
	if f := strings.Fields(out); len(f) != 5 || f[0] != "0:0" || f[1] != "0:0" || f[3] != "100000" {
		t.Errorf("got %q", out)
	}
	var st unix.Stat_t
	must(t, unix.Stat(v+"/made", &st))
	if st.Uid != 0 || st.Gid != 0 {
		t.Errorf("a file made in the volume belongs to %d:%d", st.Uid, st.Gid)
	}
}

func TestMaskedTwice(t *testing.T) {
	out := sh(t, "cat /etc/secret | wc -c; ls -A /etc/dir | wc -l; echo x >/etc/ro 2>&1 || true", func(c *Config) {
		must(t, os.MkdirAll(c.Root.Bind+"/etc/dir", 0o755))
		must(t, os.WriteFile(c.Root.Bind+"/etc/dir/x", nil, 0o644))
		must(t, os.WriteFile(c.Root.Bind+"/etc/secret", []byte("secret"), 0o644))
		must(t, os.WriteFile(c.Root.Bind+"/etc/ro", nil, 0o644))
		paths := []string{"/etc/secret", "/etc/dir", "/etc/secret", "/etc/dir", "/etc/missing", "/etc/secret/below"}
		c.Spec.Linux.MaskedPaths = append(c.Spec.Linux.MaskedPaths, paths...)
		c.Spec.Linux.ReadonlyPaths = append(c.Spec.Linux.ReadonlyPaths, "/etc/ro", "/etc/ro", "/etc/missing")
	})
	if out != "0\n0\nsh: can't create /etc/ro: Read-only file system\n" {
		t.Errorf("got %q", out)
	}
}

func TestRootUnbindable(t *testing.T) {
	for prop, want := range map[string]string{"unbindable": "unbindable", "rslave": "", "shared": "shared:"} {
		out := sh(t, "cat /proc/self/mountinfo", func(c *Config) { c.Spec.Linux.RootfsPropagation = prop })
		if m := findMount(t, parseMountinfo(t, out), "/"); !strings.HasPrefix(m.tags, want) {
			t.Errorf("%s: %q", prop, m.tags)
		}
	}
}

// TestLockedMounts: the container's root cannot make writable what the
// configuration gives read-only, though it may mount what it likes.
func TestLockedMounts(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	must(t, os.Chmod(v, 0o777))
	for name, edits := range map[string][]edit{
		"own":  {withUserNS},
		"hook": {withUserNS, func(c *Config) { c.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}} }},
	} {
		edits = append(edits, privileged, bind(v, "/ro", "ro", "nosuid", "noexec"), bind(v+"/file", "/rofile", "ro"), bind(v, "/rw"), func(c *Config) {
			c.Root.ReadOnly = true
			for _, d := range []string{"/tmp/m", "/ro", "/rw", "/proc", "/sys", "/dev"} {
				must(t, os.MkdirAll(c.Root.Bind+d, 0o755))
			}
			must(t, os.WriteFile(c.Root.Bind+"/rofile", nil, 0o644))
		})
		var out string
		noTraces(t, func() {
			out = sh(t, `for m in /ro /rofile / ; do mount -o remount,rw,bind $m 2>/dev/null && echo "remounted $m"; done
			mount -o remount,bind,ro,exec,nosuid /ro 2>/dev/null && echo "executable"
			mount -o bind /ro /tmp/m 2>/dev/null && mount -o remount,rw,bind /tmp/m 2>/dev/null && echo "remounted a copy"
			touch /ro/x /new 2>/dev/null && echo wrote; cat /ro/file /rofile; touch /rw/made && echo ok; grep -c . /proc/self/mountinfo >/dev/null`, edits...)
		})
		if out != "volume\nvolume\nok\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
}
