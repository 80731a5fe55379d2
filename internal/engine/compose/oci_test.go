package compose

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/testkit"

	"github.com/tare-engine/tare/internal/spec/seccomp"
)

// TestOtherRuntimes gives composed specifications to runc and crun: they are
// valid for them too, and mean the same.
func TestOtherRuntimes(t *testing.T) {
	testkit.Root(t, "makes containers")
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs a static busybox: ", err)
	}
	for _, runtime := range []string{"runc", "crun"} {
		path, err := exec.LookPath(runtime)
		if err != nil {
			t.Logf("%s is not installed", runtime)
			continue
		}
		t.Run(runtime, func(t *testing.T) {
			dir := t.TempDir()
			root := filepath.Join(dir, "rootfs")
			for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp"} {
				if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755); err != nil {
				t.Fatal(err)
			}
			parent := "tare-test-" + strconv.Itoa(os.Getpid())
			t.Cleanup(func() { removeCgroups(t, parent) })
			in := testInput(func(in *Inputs) {
				in.ID = runtime + in.ID[:8]
				in.RootPath, in.FilesDir, in.CgroupParent = root, dir, "/"+parent
				in.Host.Kernel = seccomp.Version{Major: 5, Minor: 15}
				in.Host.Bounding &^= 1 << 24 // CAP_SYS_RESOURCE is missing on some test machines
				in.Limits.NCPU, in.Limits.CPUs = 1, ""
				in.Config.User, in.Config.WorkingDir, in.Config.Hostname = "web", "/tmp", "inside"
				in.Config.Cmd = []string{"/bin/busybox", "sh", "-c", "id -u; id -g; pwd; hostname; busybox cat /etc/hostname; ulimit -n; busybox grep CapBnd /proc/self/status; echo $HOME $A"}
				in.Config.Env = []string{"A=b", "PATH=/bin"}
				in.Config.HostConfig.Resources = api.Resources{Memory: 64 << 20, PidsLimit: ptr(int64(50)), Ulimits: []api.Ulimit{{Name: "nofile", Soft: 512, Hard: 512}}}
				in.Config.HostConfig.Tmpfs = map[string]string{"/tmp": "mode=1777,size=1m"}
				in.Config.HostConfig.Binds = []string{"/usr:/host:ro"}
				in.Limits.Swap = false // not on every machine
			})
			in.Config.Cmd[3] = strings.NewReplacer("id ", "busybox id ", "; hostname;", "; busybox hostname;").Replace(in.Config.Cmd[3])
			out, err := Compose(in)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(out.Spec)
			if err != nil {
				t.Fatal(err)
			}
			files := append(out.Files, File{"config.json", text})
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// crun refuses hybrid cgroups: hide the unified hierarchy, in a mount
			// namespace of its own.
			const script = `umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"`
			got, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
				path, "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, in.ID).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			want := "1000\n1001\n/tmp\ninside\ninside\n512\nCapBnd:\t00000000a80425fb\n/home/web b\n"
			if string(got) != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// removeCgroups removes the empty parent that a runtime leaves behind.
func removeCgroups(t *testing.T, parent string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		dirs, err := filepath.Glob(pattern + parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			if err := os.Remove(d); err != nil {
				t.Error(err)
			}
		}
	}
}
