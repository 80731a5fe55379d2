package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestJoin runs a container in the namespaces of another, by path.
func TestJoin(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	first := r.Start(t, "run", "--rm", "-i", "--hostname", "first", "--time-offset", "boottime=+3600000s", "tare/base",
		"sh", "-c", "httpd -p 8080 -h /etc; ipccheck make shared; echo ready; read x")
	pid := first.Init()
	ns := func(name string) string { return fmt.Sprintf("ns:/proc/%d/ns/%s", pid, name) }

	join := []string{"run", "--rm", "--network", ns("net"), "--ipc", ns("ipc"), "--uts", ns("uts"), "--pid", ns("pid"), "--cgroupns", ns("cgroup"), "tare/base"}
	out := r.Must(t, append(join, "sh", "-c", "hostname; wget -q -O - http://127.0.0.1:8080/passwd | head -n 1; ipccheck list shared >/dev/null && echo shared; ps aux")...)
	got := strings.SplitN(out, "\n", 4)
	if len(got) != 4 || got[0] != "first" || !strings.HasPrefix(got[1], "root:") || got[2] != "shared" {
		t.Errorf("joined: %q", out)
	} else if !strings.Contains(got[3], "read x") || !strings.Contains(got[3], "ps aux") {
		t.Errorf("processes: %s", got[3])
	}
	// Process 1 is the other's: ours can be killed, and its exit code is told.
	if res := r.Run(t, append(join, "sh", "-c", "kill -9 $$; sleep 10")...); res.Code != 137 {
		t.Errorf("%+v, want exit code 137", res)
	}
	if res := r.Run(t, append(join, "sh", "-c", "exit 9")...); res.Code != 9 {
		t.Errorf("%+v, want exit code 9", res)
	}
	for _, name := range []string{"net", "ipc", "uts", "pid"} {
		want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		flag := map[string]string{"net": "--network"}[name]
		if flag == "" {
			flag = "--" + name
		}
		out := r.Must(t, "run", "--rm", flag, ns(name), "tare/base", "readlink", "/proc/self/ns/"+name)
		if out != want+"\n" {
			t.Errorf("%s: %q, want %q", name, out, want)
		}
	}
	if res := first.Wait(); res.Code != 1 { // read came to the end
		t.Errorf("%+v", res)
	}
}

// TestJoinUser: a user namespace with its mappings.
func TestJoinUser(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	if res := r.Run(t, "run", "--rm", "--userns", "private", "tare/base", "true"); res.Code != 0 {
		t.Skipf("no user namespace here: %s", res.Err)
	}
	first := r.Start(t, "run", "--rm", "-i", "--userns", "private", "tare/base", "sh", "-c", "echo ready; read x")
	path := fmt.Sprintf("ns:/proc/%d/ns/user", first.Init())
	want, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", first.Init()))
	if err != nil {
		t.Fatal(err)
	}
	// The image's files are nobody's in it, but they can be read.
	out := r.Must(t, "run", "--rm", "--userns", path, "tare/base", "sh", "-c", "cat /proc/self/uid_map; id -u")
	if out != string(want)+"0\n" {
		t.Errorf("%q, want the map %q", out, want)
	}
}
