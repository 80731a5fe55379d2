package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func parseRun(t *testing.T, args ...string) (*api.ContainerConfig, error) {
	t.Helper()
	c, r := runCommand(), newRun()
	r.getenv = func(name string) (string, bool) {
		if name == "HOSTVAR" {
			return "from host", true
		}
		return "", false
	}
	rest, err := c.parse(r, args)
	if err != nil {
		return nil, err
	}
	return r.config(rest)
}

// TestRunGolden pins the configuration that typical command lines persist.
func TestRunGolden(t *testing.T) {
	for _, tt := range []struct{ name, args string }{
		{"plain", "debian"},
		{"interactive", "--rm -it --name web -h web.example --domainname example.org -w /srv -u web:www -e A=1 -e HOSTVAR -e GONE debian bash -l"},
		{"resources", "-m 64m --memory-reservation 32m --memory-swap -1 --memory-swappiness 0 --cpus 1.5 -c 512 --cpuset-cpus 0-1 --cpuset-mems 0 " +
			"--pids-limit 100 --blkio-weight 300 --device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:100 --ulimit nofile=1024:2048 --shm-size 1g x"},
		{"security", "--cap-add NET_ADMIN --cap-drop ALL --privileged --security-opt no-new-privileges --security-opt seccomp=unconfined " +
			"--device /dev/fuse:/dev/f:rw --device /dev/sda:r --device-cgroup-rule a --sysctl net.core.somaxconn=1024 --userns private --read-only x"},
		{"mounts", "-v /a:/b:ro --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770 --mount type=bind,src=/s,dst=/d,readonly,bind-recursive=writable " +
			"--mount type=bind,src=/s,dst=/e,idmap --tmpfs /run:size=64m --tmpfs /tmp x"},
		{"namespaces", "--pid host --ipc none --uts ns:/run/ns/uts --cgroupns host --net host --time-offset monotonic=+3600s,boottime=-1.5h --umask 027 x"},
		{"entrypoint", "--entrypoint= --label a=b -l c --annotation k=v --stop-signal SIGINT --stop-timeout 3 --init --oom-score-adj -5 --group-add audio --add-host h:1.2.3.4 x y"},
		{"rootfs", "--rootfs /srv/root --platform linux/amd64 sh -c true"},
	} {
		args := strings.Fields(tt.args)
		for i, a := range args {
			if a == "a" && args[i-1] == "--device-cgroup-rule" {
				args[i] = "a *:* rwm"
			}
		}
		cfg, err := parseRun(t, args...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		b, err := json.MarshalIndent(cfg, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "run-"+tt.name+".json", string(b)+"\n")
	}
}

func TestRunErrors(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"--cpus 1.0000000001 x", "value is too precise"},
		{"--cpus -1 x", "not a number of CPUs"},
		{"--cpus . x", "not a number of CPUs"},
		{"-m 1.2.3 x", "invalid size"},
		{"-m -5 x", "invalid size"},
		{"-m 99999999999g x", "too large"},
		{"--pids-limit many x", "not a whole number"},
		{"--blkio-weight 70000 x", "between 0 and 65535"},
		{"--blkio-weight-device /dev/sda:5 x", "between 10 and 1000"},
		{"--device-read-bps sda:1m x", "bad format"},
		{"--device-read-bps /dev/sda:x x", "invalid rate"},
		{"--device /dev/fuse:/dev/f:rwx x", "invalid device mode"},
		{"--device a:b:c:d x", "invalid device specification"},
		{"--device-cgroup-rule c,1:3 x", "invalid device cgroup rule"},
		{"--ulimit nofile x", "invalid ulimit argument"},
		{"--ulimit files=3 x", "invalid ulimit type"},
		{"--ulimit nofile=3:2 x", "soft limit must be less"},
		{"--sysctl =3 x", "name=value"},
		{"--add-host h:300.1.1.1 x", "invalid IP address"},
		{"--stop-signal SIGFOO x", "invalid signal"},
		{"--umask 999 x", "octal"},
		{"--time-offset realtime=3s x", "monotonic=OFFSET"},
		{"--time-offset monotonic=soon x", "is not a time"},
		{"-e =x x", "invalid environment variable"},
		{"--env-file /nonexistent/env x", "open /nonexistent/env: no such file or directory"},
		{"--security-opt seccomp=/nonexistent.json x", "opening seccomp profile (/nonexistent.json): no such file"},
		{"--mount type=bind,src=/a x", "target is required"},
		{"--mount type=bind,dst=/a,tmpfs-size=3 x", "cannot mix 'tmpfs-*'"},
		{"--mount dst=/a,what=3 x", "unexpected key 'what'"},
		{"--mount dst=/a,what x", "must be a key=value pair"},
		{"--mount type=tmpfs,dst=/a,tmpfs-mode=9 x", "invalid value for tmpfs-mode: 9"},
		{"--mount type=bind,src=/a,dst=/a,bind-recursive=readonly,ro x", "requires 'bind-propagation=rprivate'"},
		{"--mount type=bind,src=/a,dst=/a,bind-recursive=writable x", "requires 'readonly'"},
		{"--rootfs= x", "the path is empty"},
		{"--rm=maybe x", "not a boolean"},
		{"", "requires at least 1 argument"},
	} {
		_, err := parseRun(t, strings.Fields(tt.args)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("run %s: error %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parseRun(t, "--rootfs", "root", "-v", "./a:/a", "-v", ".:/b:ro", "-v", "../c:/c", "-v", "name:/d", "--mount", "type=bind,src=./m,dst=/m", "x")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{here + "/a:/a", here + ":/b:ro", filepath.Dir(here) + "/c:/c", "name:/d"}
	if !slices.Equal(cfg.HostConfig.Binds, want) || cfg.HostConfig.Mounts[0].Source != here+"/m" || cfg.RootFS != here+"/root" {
		t.Errorf("got %q, %q and %q", cfg.HostConfig.Binds, cfg.HostConfig.Mounts[0].Source, cfg.RootFS)
	}
}

func TestEnvFile(t *testing.T) {
	getenv := func(name string) (string, bool) { return "host", name == "HOSTVAR" }
	for _, tt := range []struct{ text, want, err string }{
		{"\xef\xbb\xbfA=1\n# comment\n\n  B = x \nHOSTVAR\nGONE\nQ=\"quoted\"\r\nEMPTY=\n", "A=1|HOSTVAR=host|Q=\"quoted\"|EMPTY=", "line 4: variable 'B ' contains whitespaces"},
		{"  A=1\nB= x \nHOSTVAR\nGONE\nQ=\"quoted\"\r\nEMPTY=\nC=a=b", "A=1|B= x |HOSTVAR=host|Q=\"quoted\"|EMPTY=|C=a=b", ""},
		{"=x\n", "", "line 1: no variable name on line '=x'"},
		{"A=\xff\n", "", "line 1: invalid utf8 bytes"},
		{"A=\x00\n", "", "line 1: invalid utf8 bytes"},
		{"", "", ""},
	} {
		var got []string
		err := parseEnvFile(&got, []byte(tt.text), getenv)
		if err != nil || tt.err != "" {
			if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %q", tt.text, err, tt.err)
			}
			continue
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, strings.Join(got, "|"), tt.want)
		}
	}
}

// FuzzRun throws command lines at run: whatever they are, there is a
// configuration or an error of a kind, and no crash.
func FuzzRun(f *testing.F) {
	f.Add("--mount\x1ftype=bind,src=/a,dst=/b,\"x\x1fdebian")
	f.Add("-m\x1f1.5gib\x1f--cpus=.5\x1f--time-offset=monotonic=-1.5s\x1f--device=a:b:rw\x1fx")
	f.Add("--ulimit=core=-1\x1f--device-read-bps=/dev/a:b:1k\x1f-v\x1f:::\x1f--umask=7777\x1fx")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x1f")
		for _, a := range args {
			if strings.Contains(a, "file") || strings.Contains(a, "seccomp") {
				t.Skip("reads files")
			}
		}
		cfg, err := parseRun(t, args...)
		if err == nil && cfg == nil {
			t.Fatal("no configuration and no error")
		}
		if err != nil && fault.KindOf(err) == fault.Internal {
			t.Fatalf("%q: an error without a kind: %v", args, err)
		}
	})
}
