package cgroup

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// load reads a machine's three texts from testdata.
func load(t testing.TB, name string) (mountinfo, self, controllers string) {
	t.Helper()
	var out [3]string
	for i, ext := range []string{".mountinfo", ".cgroup", ".controllers"} {
		b, err := os.ReadFile("testdata/" + name + ext)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = string(b)
	}
	return out[0], out[1], out[2]
}

func layout(t testing.TB, name string) Layout {
	t.Helper()
	l, err := ParseLayout(load(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParseLayout(t *testing.T) {
	v1 := func(dir, self string, controllers ...string) Hierarchy {
		return Hierarchy{Mount: "/sys/fs/cgroup/" + dir, Root: "/", Self: self, Controllers: controllers}
	}
	ro := v1("systemd", "/", "name=systemd")
	ro.Root, ro.ReadOnly = "/docker/4bf5", true
	inner := func(h Hierarchy, root string) Hierarchy {
		h.Root = root
		return h
	}
	for _, tt := range []struct {
		name string
		want []Hierarchy
	}{
		{"v1", []Hierarchy{
			v1("cpu", "/", "cpu"), v1("cpuacct", "/", "cpuacct"), v1("cpuset", "/", "cpuset"),
			v1("memory", "/process_api/8f4e", "memory"), v1("devices", "/", "devices"), v1("freezer", "/", "freezer"),
			v1("blkio", "/", "blkio"), v1("pids", "/", "pids"), v1("systemd", "/", "name=systemd"),
		}},
		{"v2", []Hierarchy{{
			Mount: "/sys/fs/cgroup", Root: "/", Self: "/system.slice/tare.service", Unified: true,
			Controllers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"},
		}}},
		{"hybrid", []Hierarchy{
			{
				Mount: "/sys/fs/cgroup/unified", Root: "/", Self: "/user.slice/user-0.slice/session-1.scope", Unified: true,
				Controllers: []string{"hugetlb", "pids", "rdma"},
			},
			v1("systemd", "/user.slice/user-0.slice/session-1.scope", "name=systemd"),
			v1("cpu,cpuacct", "/user.slice", "cpu", "cpuacct"), v1("net_cls,net_prio", "/", "net_cls", "net_prio"),
			v1("devices", "/user.slice", "devices"), v1("freezer", "/", "freezer"), v1("memory", "/user.slice", "memory"),
			v1("cpuset", "/", "cpuset"),
		}},
		{"nested", []Hierarchy{
			ro,
			inner(v1("cpu,cpuacct", "/", "cpu", "cpuacct"), "/docker/4bf5"),
			inner(v1("memory", "/inner", "memory"), "/docker/4bf5"),
			inner(v1("devices", "", "devices"), "/.."), // somewhere below the mount, nobody says where
			inner(v1("with space", "/", "freezer"), "/docker/4bf5"),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, layout(t, tt.name).Hierarchies); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseLayoutOdd(t *testing.T) {
	const ro = "35 31 0:32 / /a ro,relatime - cgroup cgroup rw,memory\n"
	const rw = "36 31 0:32 / /b rw,relatime - cgroup cgroup rw,memory\n"
	for _, tt := range []struct {
		name, mounts, self string
		want               string // mounts taken, or the error
	}{
		{"nothing", "", "", ""},
		{"writable mount wins", ro + rw, "4:memory:/\n", "/b"},
		{"first mount wins", rw + strings.Replace(rw, "/b", "/c", 1), "4:memory:/\n", "/b"},
		{"mount that shows us wins", "1 1 0:1 /x /a rw - cgroup c rw,memory\n" + rw, "4:memory:/y\n", "/b"},
		{"unknown controller", rw, "4:cpu:/\n", ""},
		{"no self line for v2", "1 1 0:1 / /u rw - cgroup2 c rw", "4:cpu:/\n", "/u"},
		{"other type", "1 1 0:1 / /u rw - cgroup3 c rw\n", "0::/\n", ""},
		{"path with colon", rw, "4:memory:/a:b\n", "/b"},
		{"short line", "1 1 / /u rw - cgroup c rw,cpu\n", "1:cpu:/\n", "parse mountinfo: malformed cgroup mount \"1 1 / /u rw\""},
		{"relative point", "1 1 0:1 / u rw - cgroup c rw,cpu\n", "1:cpu:/\n", "parse mountinfo: malformed cgroup mount \"1 1 0:1 / u rw\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := ParseLayout(tt.mounts, tt.self, "")
			var got []string
			for _, h := range l.Hierarchies {
				got = append(got, h.Mount)
			}
			if err != nil {
				got = []string{err.Error()}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestBelow(t *testing.T) {
	for _, tt := range []struct{ root, path, want string }{
		{"/", "/", "/"},
		{"/", "/a/b", "/a/b"},
		{"/a", "/a", "/"},
		{"/a", "/a/b", "/b"},
		{"/a", "/ab", ""},
		{"/a", "/", ""},
		{"/..", "/", ""},
		{"/", "/../b", ""},
		{"/", "/..", ""},
		{"/", "/a (deleted)", ""},
	} {
		if got := below(tt.root, tt.path); got != tt.want {
			t.Errorf("below(%q, %q) = %q, want %q", tt.root, tt.path, got, tt.want)
		}
	}
}

func TestMounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		want []Mount
	}{
		{"v2", []Mount{{FSType: "cgroup2"}}},
		{"hybrid", []Mount{
			{Target: "unified", FSType: "cgroup2"},
			{Target: "systemd", FSType: "cgroup", Data: "none,name=systemd"},
			{Target: "cpu,cpuacct", FSType: "cgroup", Data: "cpu,cpuacct", Links: []string{"cpu", "cpuacct"}},
			{Target: "net_cls,net_prio", FSType: "cgroup", Data: "net_cls,net_prio", Links: []string{"net_cls", "net_prio"}},
			{Target: "devices", FSType: "cgroup", Data: "devices"},
			{Target: "freezer", FSType: "cgroup", Data: "freezer"},
			{Target: "memory", FSType: "cgroup", Data: "memory"},
			{Target: "cpuset", FSType: "cgroup", Data: "cpuset"},
		}},
	} {
		if d := cmp.Diff(tt.want, layout(t, tt.name).Mounts()); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func FuzzParseLayout(f *testing.F) {
	for _, name := range []string{"v1", "v2", "hybrid", "nested"} {
		mountinfo, self, controllers := load(f, name)
		f.Add(mountinfo, self, controllers)
	}
	f.Add("1 1 0:1 /\\04 /\\0400\\777 rw - cgroup c ,,name=", "1:name=:/..\n::", " \n")
	f.Fuzz(func(t *testing.T, mountinfo, self, controllers string) {
		l, err := ParseLayout(mountinfo, self, controllers)
		if err != nil && len(l.Hierarchies) > 0 {
			t.Error("a layout with an error")
		}
		unified := 0
		for i, h := range l.Hierarchies {
			if !strings.HasPrefix(h.Mount, "/") || h.Self != "" && h.Self[0] != '/' {
				t.Errorf("relative path in %+v", h)
			}
			if h.Unified {
				unified++
			} else if len(h.Controllers) == 0 || l.Find(h.Controllers[0]) > i {
				t.Errorf("cannot be found: %+v", h)
			}
		}
		if unified > 1 {
			t.Error("two unified hierarchies")
		}
		l.Mounts()
		if _, err := l.Dirs("/tare/x"); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkParseLayout(b *testing.B) {
	// A host with 300 container mounts before the cgroup ones.
	many := strings.Repeat("1000 22 0:99 / /var/lib/tare/overlay/0123456789abcdef/merged rw,relatime shared:77 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w\n", 300)
	for _, name := range []string{"v1", "v2", "hybrid"} {
		mountinfo, self, controllers := load(b, name)
		for suffix, text := range map[string]string{"": mountinfo, "+300": many + mountinfo} {
			b.Run(name+suffix, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ParseLayout(text, self, controllers); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
