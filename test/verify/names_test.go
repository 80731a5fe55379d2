package verify

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestProcesses: ps inside sees the container's processes and no other, and
// signals reach no other.
func TestProcesses(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	out := lines(r.Must(t, "run", "--rm", "tare/base", "sh", "-c", "sleep 100 & until ps aux | grep -q '[s]leep 100$'; do :; done; ps aux"))
	var commands []string
	for _, l := range out[1:] {
		f := strings.Fields(l)
		commands = append(commands, strings.Join(f[10:], " "))
		if pid, err := strconv.Atoi(f[1]); err != nil || pid > 100 {
			t.Errorf("process number %s: not of a new namespace", f[1])
		}
	}
	slices.Sort(commands)
	if len(commands) != 3 || commands[2] != "sleep 100" || commands[0] != "ps aux" || !strings.HasPrefix(commands[1], "sh -c ") {
		t.Errorf("ps sees %q, want the shell, its job and itself", commands)
	}

	me := strconv.Itoa(os.Getpid())
	if res := r.Run(t, "run", "--rm", "tare/base", "ls", "-d", "/proc/"+me); res.Code == 0 {
		t.Errorf("process %s of the host is in the container's /proc", me)
	}
	if out := r.Must(t, "run", "--rm", "--pid", "host", "tare/base", "ls", "-d", "/proc/"+me); out == "" {
		t.Errorf("with --pid host, process %s is missing", me)
	}
}

// TestNames: host and domain name are the container's own.
func TestNames(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	domain, err := os.ReadFile("/proc/sys/kernel/domainname")
	if err != nil {
		t.Fatal(err)
	}
	out := r.Must(t, "run", "--rm", "--hostname", "inside", "--domainname", "example.org", "tare/base",
		"sh", "-c", "hostname; cat /proc/sys/kernel/domainname /etc/hostname")
	if out != "inside\nexample.org\ninside\n" {
		t.Errorf("names inside: %q", out)
	}
	if name := strings.TrimSpace(r.Must(t, "run", "--rm", "tare/base", "hostname")); name == host || len(name) != 12 {
		t.Errorf("made-up host name %q", name)
	}
	// A container that may change its names changes nobody else's.
	out = r.Must(t, "run", "--rm", "--cap-add", "SYS_ADMIN", "tare/base", "sh", "-c", "hostname changed && hostname")
	if out != "changed\n" {
		t.Errorf("changed name: %q", out)
	}
	if out := r.Must(t, "run", "--rm", "--uts", "host", "tare/base", "hostname"); out != host+"\n" {
		t.Errorf("with --uts host: %q, want %q", out, host)
	}
	after, err := os.ReadFile("/proc/sys/kernel/domainname")
	if now, herr := os.Hostname(); herr != nil || err != nil || now != host || string(after) != string(domain) {
		t.Errorf("the host's names are now %q and %q (%v, %v)", now, after, herr, err)
	}
}
