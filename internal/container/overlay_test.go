package container

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// ways are the forms in which a kernel takes an overlay.
var ways = []struct {
	name         string
	features     snapshot.Features
	major, minor int
}{
	{"descriptors", snapshot.Features{LayerFD: true, AppendLow: true}, 6, 13},
	{"one path each", snapshot.Features{AppendLow: true}, 6, 8},
	{"options", snapshot.Features{}, 0, 0},
}

// layered gives the container n layers: busybox below, then directories that
// each have a file of their own, hide one and replace "top".
func layered(t *testing.T, n int, f snapshot.Features, upper bool) (edit, *snapshot.Snapshot) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	snap := &snapshot.Snapshot{ID: "c", Volatile: true}
	return func(c *Config) {
		base := c.Root.Bind
		layers := []string{base}
		for i := 1; i < n; i++ {
			l := fmt.Sprintf("%s/layers/%020d/fs", dir, i)
			must(t, os.MkdirAll(l, 0o755))
			must(t, errors.Join(os.WriteFile(fmt.Sprintf("%s/own%d", l, i), nil, 0o644), os.WriteFile(l+"/top", []byte(itoa(i)+"\n"), 0o644),
				os.WriteFile(fmt.Sprintf("%s/gone%d", l, i), nil, 0o644)))
			if i > 1 {
				must(t, unix.Mknod(fmt.Sprintf("%s/gone%d", l, i-1), unix.S_IFCHR, 0))
			}
			layers = append([]string{l}, layers...)
		}
		snap.Lower = layers
		if upper {
			snap.Upper, snap.Work = dir+"/upper", dir+"/work"
			must(t, errors.Join(os.Mkdir(snap.Upper, 0o755), os.Mkdir(snap.Work, 0o755)))
			if len(c.Spec.Linux.UIDMappings) > 0 { // it belongs to the container's root
				must(t, errors.Join(os.Chown(snap.Upper, 100000, 200000), os.Chown(snap.Work, 100000, 200000)))
			}
		}
		m, err := snapshot.MountPlan(*snap, f)
		must(t, err)
		c.Root, c.RootTarget = m, dir
	}, snap
}

func TestOverlay(t *testing.T) {
	testkit.Containers(t)
	f, err := host.Probe()
	must(t, err)
	for _, w := range ways {
		for _, n := range []int{2, 70} {
			t.Run(fmt.Sprintf("%s/%d", w.name, n), func(t *testing.T) {
				if k := f.Kernel; k.Major < w.major || k.Major == w.major && k.Minor < w.minor {
					t.Skip("needs a newer kernel")
				}
				root, snap := layered(t, n, w.features, true)
				var out string
				cfg := newConfig(t, shell(`cat /top; ls -d /own* | wc -l; ls -d /gone* | wc -l; echo new >/new; rm /own1; echo changed >/top; mkdir -p /made/here
					cat /proc/self/mountinfo`), root, cwd("/made"), bind(t.TempDir(), "/vol/ume"))
				noTraces(t, func() { out, _, err = output(t, cfg) })
				must(t, err)
				want := fmt.Sprintf("%d\n%d\n1\n", n-1, n-1)
				if !strings.HasPrefix(out, want) {
					t.Fatalf("got\n%swant\n%s", out, want)
				}
				if m := findMount(t, parseMountinfo(t, out[len(want):]), "/"); m.fstype != "overlay" || !strings.Contains(m.super, "volatile") {
					t.Errorf("root: %+v", m)
				}
				for _, p := range []string{"/new", "/top", "/own1", "/made/here", "/vol/ume"} {
					if _, err := os.Lstat(snap.Upper + p); err != nil {
						t.Errorf("not in the private layer: %v", err)
					}
				}
				if b, err := os.ReadFile(snap.Lower[0] + "/top"); err != nil || string(b) != itoa(n-1)+"\n" {
					t.Errorf("the image's file is %q, %v", b, err)
				}
			})
		}
	}
}

// TestOverlayView: without a private layer nothing can be written.
func TestOverlayView(t *testing.T) {
	testkit.Containers(t)
	f, err := host.Probe()
	must(t, err)
	for _, w := range ways {
		if k := f.Kernel; k.Major < w.major || k.Major == w.major && k.Minor < w.minor {
			continue
		}
		root, _ := layered(t, 3, w.features, false)
		if out := sh(t, "cat /top; touch /x 2>&1; true", root); !strings.HasPrefix(out, "2\n") || !strings.Contains(out, "Read-only") {
			t.Errorf("%s: %q", w.name, out)
		}
	}
}

// TestOverlayUserNS: the layers' files have the container's ids, the host's
// stay what they are.
func TestOverlayUserNS(t *testing.T) {
	testkit.Containers(t)
	f, err := host.Probe()
	must(t, err)
	for _, w := range ways {
		root, snap := layered(t, 3, w.features, true)
		cfg := newConfig(t, shell("stat -c %u:%g /top /bin/busybox; touch /new; echo x >/top; stat -c %u:%g /new /top"), withUserNS, root)
		out, _, err := output(t, cfg)
		if !w.features.LayerFD || f.Kernel.Major < 6 || f.Kernel.Major == 6 && f.Kernel.Minor < 14 {
			if err == nil {
				t.Errorf("%s: no error, but %q", w.name, out)
			}
			continue
		}
		must(t, err)
		if out != strings.Repeat("0:0\n", 4) {
			t.Errorf("%s: %q", w.name, out)
		}
		var st unix.Stat_t
		must(t, unix.Stat(snap.Upper+"/new", &st))
		if st.Uid != 100000 || st.Gid != 200000 {
			t.Errorf("the new file belongs to %d:%d", st.Uid, st.Gid)
		}
		must(t, unix.Stat(snap.Lower[0]+"/top", &st))
		if st.Uid != 0 {
			t.Errorf("the image's file belongs to %d", st.Uid)
		}
	}
}
