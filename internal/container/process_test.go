package container

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/spec/capability"
	"golang.org/x/sys/unix"
)

// status returns the fields of the program's own /proc/self/status.
func status(t *testing.T, edits ...edit) map[string]string {
	t.Helper()
	out, code, err := output(t, newConfig(t, []string{"cat", "/proc/self/status"}, edits...))
	must(t, err)
	if code != 0 {
		t.Fatalf("code %d: %s", code, out)
	}
	m := map[string]string{}
	for _, l := range strings.Split(out, "\n") {
		k, v, _ := strings.Cut(l, ":")
		m[k] = strings.Join(strings.Fields(v), " ")
	}
	return m
}

func user(uid, gid uint32, more ...uint32) edit {
	return func(c *Config) { c.Spec.Process.User = specs.User{UID: uid, GID: gid, AdditionalGids: more} }
}

func TestUser(t *testing.T) {
	s := status(t, user(1000, 2000, 5, 6))
	if s["Uid"] != "1000 1000 1000 1000" || s["Gid"] != "2000 2000 2000 2000" || s["Groups"] != "5 6" {
		t.Errorf("%s / %s / %s", s["Uid"], s["Gid"], s["Groups"])
	}
	if s := status(t); s["Uid"] != "0 0 0 0" || s["Groups"] != "" {
		t.Errorf("root: %s / %s", s["Uid"], s["Groups"])
	}
	if s := status(t, user(0, 7)); s["Gid"] != "7 7 7 7" {
		t.Errorf("gid without uid: %s", s["Gid"])
	}
}

func capabilities(bounding, effective, inheritable, ambient capability.Set) edit {
	return func(c *Config) {
		c.Spec.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding: bounding.Names(), Effective: effective.Names(), Permitted: effective.Names(),
			Inheritable: inheritable.Names(), Ambient: ambient.Names(),
		}
	}
}

// TestCapabilities reads the sets of the program back. Inheritable is empty
// unless asked for (CVE-2022-24769).
func TestCapabilities(t *testing.T) {
	testkit.Containers(t)
	def := capability.Default()
	bind := capability.Of(unix.CAP_NET_BIND_SERVICE)
	all := capability.UpTo(63)
	var have capability.Set
	newConfig(t, nil, func(c *Config) { have = c.Facts.Bounding })
	for _, tt := range []struct {
		name                                      string
		edits                                     []edit
		bounding, permitted, inheritable, ambient capability.Set
	}{
		{"default", nil, def, def, 0, 0},
		{"user", []edit{user(1, 1)}, def, 0, 0, 0},
		{"none", []edit{capabilities(0, 0, 0, 0)}, 0, 0, 0, 0},
		{"no sets", []edit{func(c *Config) { c.Spec.Process.Capabilities = nil }}, 0, 0, 0, 0},
		{"all", []edit{capabilities(all&have, all&have, 0, 0)}, have, have, 0, 0},
		{"root's permitted are the bounding ones", []edit{capabilities(def, bind, 0, 0)}, def, def, 0, 0},
		{"ambient for a user", []edit{user(1, 1), capabilities(def, bind, bind, bind)}, def, bind, bind, bind},
		{"ambient that is not inheritable", []edit{user(1, 1), capabilities(def, bind, 0, bind)}, def, 0, 0, 0},
		{"user with no new privileges", []edit{user(1, 1), nnp}, def, 0, 0, 0},
		{"user without seccomp", []edit{user(1, 1), noSeccomp, capabilities(def, bind, bind, bind)}, def, bind, bind, bind},
	} {
		s := status(t, tt.edits...)
		for field, want := range map[string]capability.Set{
			"CapBnd": tt.bounding, "CapPrm": tt.permitted, "CapEff": tt.permitted, "CapInh": tt.inheritable, "CapAmb": tt.ambient,
		} {
			want &= have
			if got, err := strconv.ParseUint(s[field], 16, 64); err != nil || got != uint64(want) {
				t.Errorf("%s: %s is %x, want %x (%v)", tt.name, field, got, want, err)
			}
		}
	}
}

func TestUnknownCapabilityWarns(t *testing.T) {
	var warnings []string
	sh(t, "true", collectWarnings(&warnings), func(c *Config) {
		c.Spec.Process.Capabilities.Bounding = append(slices.Clone(c.Spec.Process.Capabilities.Bounding), "CAP_MAGIC")
	})
	if !slices.Contains(warnings, "capability CAP_MAGIC: unknown") {
		t.Errorf("warnings %q", warnings)
	}
}

func nnp(c *Config)       { c.Spec.Process.NoNewPrivileges = true }
func noSeccomp(c *Config) { c.Spec.Linux.Seccomp = nil }

func TestNoNewPrivileges(t *testing.T) {
	for _, tt := range []struct {
		edits            []edit
		noNew, seccomped string
	}{
		{nil, "0", "2"},
		{[]edit{nnp}, "1", "2"},
		{[]edit{nnp, noSeccomp}, "1", "0"},
		{[]edit{noSeccomp}, "0", "0"},
		{[]edit{user(1000, 1000)}, "0", "2"},
		{[]edit{user(1000, 1000), nnp}, "1", "2"},
		{[]edit{user(1000, 1000), withUserNS}, "0", "2"},
		{[]edit{user(1000, 1000), capabilities(0, 0, 0, 0)}, "0", "2"},
	} {
		s := status(t, tt.edits...)
		if s["NoNewPrivs"] != tt.noNew || s["Seccomp"] != tt.seccomped {
			t.Errorf("%d edits: no_new_privs %s, seccomp %s, want %s, %s", len(tt.edits), s["NoNewPrivs"], s["Seccomp"], tt.noNew, tt.seccomped)
		}
	}
}

// TestSeccompVerdicts: spot checks from inside; package seccomp compares the
// whole profile.
func TestSeccompVerdicts(t *testing.T) {
	out := sh(t, "mount -t tmpfs x /tmp 2>&1; unshare -U true 2>&1; umount /proc 2>&1; true")
	if n := strings.Count(out, "Operation not permitted") + strings.Count(out, "ermission denied"); n != 3 {
		t.Errorf("got %q", out)
	}
	// With the capability the filter still denies a user namespace, and the
	// same without a filter works.
	sys := func(c *Config) {
		p := c.Spec.Process.Capabilities
		p.Bounding = append(slices.Clone(p.Bounding), "CAP_SYS_ADMIN")
		p.Effective, p.Permitted = p.Bounding, p.Bounding
	}
	if out := sh(t, "mount -t tmpfs x /tmp 2>&1; true", sys); !strings.Contains(out, "permi") {
		t.Errorf("mount with the filter: %q", out)
	}
	sh(t, "mount -t tmpfs x /tmp", sys, noSeccomp)
	if out := sh(t, "unshare -U true 2>&1; true"); !strings.Contains(out, "not permitted") {
		t.Errorf("a user namespace: %q", out)
	}
}

// TestInheritedState: what the engine's process has does not reach the
// program: signals, umask, dumpable, core limit.
func TestInheritedState(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	s := status(t)
	for _, field := range []string{"SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"} {
		if strings.Trim(s[field], "0") != "" {
			t.Errorf("%s is %s", field, s[field])
		}
	}
	if s["Umask"] != "0022" {
		t.Errorf("umask %s", s["Umask"])
	}
	mask := uint32(0o027)
	if s := status(t, func(c *Config) { c.Spec.Process.User.Umask = &mask }); s["Umask"] != "0027" {
		t.Errorf("umask %s", s["Umask"])
	}
}

// TestNotReadableBeforeExec: until execve the child's /proc files are root's,
// so no process of the container's uid reaches it (CVE-2016-9962).
func TestNotReadableBeforeExec(t *testing.T) {
	for _, edits := range [][]edit{{user(1000, 1000), harden}, {withUserNS, harden}} {
		c, err := Make(newConfig(t, shell("true"), edits...), nil)
		must(t, err)
		fi, err := os.Stat(fmt.Sprintf("/proc/%d/maps", c.Process.Pid))
		if err != nil || fi.Sys() == nil {
			t.Error(err)
		} else if uid := ownerOf(fi); uid != 0 {
			t.Errorf("the waiting child's files belong to %d", uid)
		}
		c.Abandon()
	}
}

func TestEnvironment(t *testing.T) {
	out := sh(t, "env", func(c *Config) { c.Spec.Process.Env = []string{"PATH=/bin", "A=1", "A=2", "EMPTY=", "S=a b\nc"} })
	if !strings.Contains(out, "EMPTY=\n") || !strings.Contains(out, "S=a b\nc\n") || !strings.Contains(out, "PATH=/bin\n") {
		t.Errorf("got %q", out)
	}
}

func TestPersonality(t *testing.T) {
	if out := sh(t, "uname -m; cat /proc/self/personality", func(c *Config) {
		c.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	}); !strings.Contains(out, "00000008") {
		t.Errorf("got %q", out)
	}
}

func TestOOMScore(t *testing.T) {
	adj := func(n int) edit { return func(c *Config) { c.Spec.Process.OOMScoreAdj = &n } }
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	must(t, err)
	if out := sh(t, "cat /proc/self/oom_score_adj", adj(321)); out != "321\n" {
		t.Errorf("got %q", out)
	}
	var warnings []string
	out := sh(t, "cat /proc/self/oom_score_adj", adj(-500), collectWarnings(&warnings))
	switch {
	case out == "-500\n" && len(warnings) == 0:
	case out == string(own) && len(warnings) == 1 && strings.HasPrefix(warnings[0], "oom-score-adj -500: "):
	default:
		t.Errorf("%q, warnings %q", out, warnings)
	}
	if now, err := os.ReadFile("/proc/self/oom_score_adj"); err != nil || string(now) != string(own) {
		t.Errorf("the engine has %s, %v", now, err)
	}
}
