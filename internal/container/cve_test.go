package container

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// TestSwappedComponent: a volume's directory on the way to a mount point is
// swapped for a link out of the root and back while containers start
// (CVE-2021-30465). Every start ends with the mount inside, or with an error;
// the host's directory stays empty and its mount table unchanged.
func TestSwappedComponent(t *testing.T) {
	testkit.Containers(t)
	n := 30
	if os.Getenv("TARE_SOAK") != "" {
		n = 200
	}
	outside, vol, secret := t.TempDir(), t.TempDir(), volume(t)
	must(t, os.Mkdir(vol+"/dir", 0o755))
	must(t, os.Symlink("../../../../../../../../../../../.."+outside, vol+"/link"))
	before, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)

	var stop atomic.Bool
	done := make(chan error)
	swaps := 0
	go func() {
		for !stop.Load() {
			if err := unix.Renameat2(unix.AT_FDCWD, vol+"/dir", unix.AT_FDCWD, vol+"/link", unix.RENAME_EXCHANGE); err != nil {
				done <- err
				return
			}
			swaps++
		}
		done <- nil
	}()
	started, refused := 0, 0
	for range n {
		out, _, err := output(t, newConfig(t, shell("cat /proc/self/mountinfo"), bind(vol, "/vol"), bind(secret, "/vol/dir/x")))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "mount /vol/dir/x: ") {
				t.Errorf("error %v", err)
			}
			refused++
			continue
		}
		started++
		// The link is resolved in the root of the container: there the host's
		// path is a directory of the container, or it is missing.
		found := false
		for _, m := range parseMountinfo(t, out) {
			found = found || strings.HasSuffix(m.point, "/x")
		}
		if !found {
			t.Errorf("started without its mount:\n%s", out)
		}
	}
	stop.Store(true)
	must(t, <-done)
	t.Logf("%d started, %d refused, %d swaps", started, refused, swaps)
	if list, err := os.ReadDir(outside); err != nil || len(list) != 0 {
		t.Errorf("the host's directory has %v, %v", list, err)
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if string(after) != string(before) {
		t.Error("the host's mount table changed")
	}
}

// TestProcOfImage: what lies at /proc in the container is never written to
// in place of procfs (CVE-2019-16884).
func TestProcOfImage(t *testing.T) {
	testkit.Containers(t)
	score := 250
	out := sh(t, "cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward; mkdir /tmp/p; mount -t proc p /tmp/p; cat /tmp/p/1/oom_score_adj /tmp/p/sys/net/ipv4/ip_forward",
		privileged, func(c *Config) {
			fake := c.Root.Bind + "/proc"
			for _, d := range []string{"self/attr", "1/attr", "sys/net/ipv4"} {
				must(t, os.MkdirAll(fake+"/"+d, 0o777))
			}
			must(t, os.WriteFile(fake+"/self/oom_score_adj", []byte("fake"), 0o666))
			must(t, os.WriteFile(fake+"/sys/net/ipv4/ip_forward", []byte("fake"), 0o666))
			c.Spec.Mounts = slices.DeleteFunc(c.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/proc" })
			c.Spec.Process.OOMScoreAdj = &score
			c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		})
	if out != "fakefake250\n1\n" {
		t.Errorf("got %q", out)
	}
}

// TestNoReleaseAgent: with no capability no cgroup file that runs programs on
// the host can be written, in no way of mounting it (CVE-2022-0492).
func TestNoReleaseAgent(t *testing.T) {
	out := sh(t, `for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
		for f in release_agent notify_on_release cgroup.procs tasks devices.allow; do
			[ -e $d/$f ] && echo 1 2>/dev/null >$d/$f && echo "wrote $d/$f"; done; done
		mkdir /tmp/c; for o in memory rdma devices none,name=x; do mount -t cgroup -o $o x /tmp/c 2>/dev/null && echo mounted $o; done
		mount -t cgroup2 x /tmp/c 2>/dev/null && echo mounted; true`)
	if out != "" {
		t.Error(out)
	}
}

// TestEngineIsUnreachable: the program finds no path to the engine's binary,
// by /proc/self/exe or otherwise (CVE-2019-5736).
func TestEngineIsUnreachable(t *testing.T) {
	testkit.Containers(t)
	exe := readlink(t, "/proc/self/exe")
	out := sh(t, `readlink /proc/1/exe; for p in /proc/[0-9]*; do readlink $p/exe; done; cat /proc/1/maps | grep -c `+exe+`; true`)
	if strings.Contains(out, exe) || !strings.HasPrefix(out, "/bin/busybox\n") || !strings.HasSuffix(out, "\n0\n") {
		t.Errorf("got %q", out)
	}
}

// TestJoinedProcessIsUnreachable: a process that already runs in a pid
// namespace as root of it can neither trace nor read the next one that joins,
// until that one has executed its program (CVE-2016-9962).
func TestJoinedProcessIsUnreachable(t *testing.T) {
	cfg := newConfig(t, shell(`echo ready; while read pid; do
		ls /proc/$pid/fd >/dev/null 2>&1 && echo "fds are open" || echo closed; cat /proc/$pid/environ 2>&1 | head -c 100 | wc -c; done`), harden, withUserNS)
	s := start(t, cfg)
	if l := s.line(t); l != "ready" {
		t.Fatalf("says %q", l)
	}
	c, err := Make(newConfig(t, shell("true"), func(c *Config) {
		c.Root = cfg.Root
		setNamespace(c.Spec, specs.UserNamespace, s.nsPath("user"))
		setNamespace(c.Spec, specs.PIDNamespace, s.nsPath("pid"))
		c.Spec.Linux.CgroupsPath = parentGroup() + "/second"
	}), nil)
	must(t, err)
	defer c.Abandon()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	must(t, err)
	var inner string
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, "NSpid:"); ok {
			f := strings.Fields(rest)
			inner = f[len(f)-1]
		}
	}
	_, err = s.in.WriteString(inner + "\n")
	must(t, err)
	if l := s.line(t); l != "closed" {
		t.Errorf("pid %s: %s", inner, l)
	}
}
