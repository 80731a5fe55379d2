package runc

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

// fakeCRIU is `criu swrk 3` as far as a request goes: it writes down what it
// was asked, and on a restore forks a sleeping process. Given a place it fails
// there.
func fakeCRIU(file, failAt string) error {
	unix.CloseOnExec(3) // else the processes hold the conversation open
	buf := make([]byte, 64<<10)
	n, err := unix.Read(3, buf)
	if err != nil {
		return err
	}
	var req rpc.CriuReq
	if err := req.UnmarshalVT(buf[:n]); err != nil {
		return err
	}
	b, err := json.Marshal(&req)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return err
	}
	send := func(r *rpc.CriuResp) error {
		b, err := r.MarshalVT()
		if err != nil {
			return err
		}
		_, err = unix.Write(3, b)
		return err
	}
	notify := func(script string, pid int) error {
		err := send(&rpc.CriuResp{Type: ptr(rpc.CriuReqType_NOTIFY), Success: ptr(true), Notify: &rpc.CriuNotify{Script: &script, Pid: ptr(int32(pid))}})
		if err != nil {
			return err
		}
		n, err := unix.Read(3, buf)
		if err != nil {
			return err
		}
		var req rpc.CriuReq
		if err := req.UnmarshalVT(buf[:n]); err != nil {
			return err
		}
		if req.GetType() != rpc.CriuReqType_NOTIFY || !req.GetNotifySuccess() {
			return errors.New("not answered: " + script)
		}
		return nil
	}
	if err := notify("network-lock", 0); err != nil {
		return err
	}
	if req.GetType() == rpc.CriuReqType_RESTORE {
		cmd := exec.Command("/bin/sleep", "1000")
		if err := cmd.Start(); err != nil {
			return err
		}
		if failAt == "processes" {
			return send(&rpc.CriuResp{Type: req.Type, Success: ptr(false)})
		}
		if err := notify("post-restore", cmd.Process.Pid); err != nil {
			return err
		}
		switch failAt {
		case "answer":
			return send(&rpc.CriuResp{Type: req.Type, Success: ptr(false)})
		case "death":
			return errors.New("killed")
		}
	} else if !req.GetOpts().GetLeaveRunning() {
		if err := unix.Kill(int(req.GetOpts().GetPid()), unix.SIGKILL); err != nil {
			return err
		}
	}
	return send(&rpc.CriuResp{Type: req.Type, Success: ptr(true)})
}

// fake makes --criu run fakeCRIU, and returns what it was asked.
func (r *rig) fake(failAt string) (program string, asked func() *rpc.CriuReq) {
	dir := r.t.TempDir()
	exe, err := os.Executable()
	must(r.t, err)
	script := "#!/bin/sh\n" + criuEnv + "=" + dir + "/asked " + criuFailEnv + "=" + failAt + " exec " + exe + "\n"
	must(r.t, os.WriteFile(dir+"/criu", []byte(script), 0o700))
	return dir + "/criu", func() *rpc.CriuReq {
		r.t.Helper()
		b, err := os.ReadFile(dir + "/asked")
		must(r.t, err)
		var req rpc.CriuReq
		must(r.t, json.Unmarshal(b, &req))
		return &req
	}
}

// TestCheckpoint: what CRIU is asked for, and what becomes of the container.
func TestCheckpoint(t *testing.T) {
	r := newRig(t)
	program, asked := r.fake("")
	dir := r.bundle([]string{"sleep", "1000"}, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: "/usr", Options: []string{"rbind"}})
	})
	images := t.TempDir() + "/images"
	checkpoint := func(args ...string) *rpc.CriuReq {
		t.Helper()
		r.ok(append([]string{"--criu", program, "checkpoint", "--image-path", images}, args...)...)
		return asked()
	}
	r.ok("run", "-d", "-b", dir, "x")
	pid := r.state("x").Pid

	req := checkpoint("--leave-running", "--tcp-established", "--file-locks", "--manage-cgroups-mode", "ignore", "x")
	o := req.GetOpts()
	if req.GetType() != rpc.CriuReqType_DUMP || int(o.GetPid()) != pid || !o.GetLeaveRunning() || !o.GetTcpEstablished() ||
		!o.GetFileLocks() || o.GetManageCgroupsMode() != rpc.CriuCgMode_IGNORE || o.GetRoot() != dir+"/rootfs" || o.GetFreezeCgroup() == "" {
		t.Errorf("asked %v", req)
	}
	mount := func(key string) string {
		for _, m := range o.GetExtMnt() {
			if m.GetKey() == key {
				return m.GetVal()
			}
		}
		return ""
	}
	if mount("/data") != "/data" || mount("/proc/keys") != "/dev/null" {
		t.Errorf("external mounts %v", o.GetExtMnt())
	}
	r.wantStatus("x", "running")
	if req := checkpoint("--pre-dump", "x"); req.GetType() != rpc.CriuReqType_PRE_DUMP || !req.GetOpts().GetTrackMem() {
		t.Errorf("pre-dump: asked %v", req)
	}
	r.ok("delete", "--force", "x")
	r.ok("run", "-d", "-b", dir, "x")
	checkpoint("x")
	r.fails("container does not exist", "state", "x")

	r.ok("--criu", program, "restore", "-d", "-b", dir, "--image-path", images, "--pid-file", images+"/pid", "y")
	r.wantStatus("y", "running")
	o = asked().GetOpts()
	if !o.GetRstSibling() || mount("/data") != "/usr" || mount("/dev/null") != "/dev/null" || !strings.HasPrefix(o.GetRoot(), r.root) {
		t.Errorf("restore: asked %v", asked())
	}
	if !slices.ContainsFunc(o.GetCgRoot(), func(c *rpc.CgroupRoot) bool { return strings.HasPrefix(c.GetPath(), r.cg+"/") }) {
		t.Errorf("restore: cgroups %v", o.GetCgRoot())
	}
	r.fails("already exists", "restore", "-d", "-b", dir, "--image-path", images, "y")
	r.fails("already running", "start", "y")
	r.ok("kill", "y", "KILL")
	r.waitStopped("y")
	r.ok("delete", "y")

	for _, tt := range []struct{ want, args string }{
		{"not soft, full, strict or ignore", "--manage-cgroups-mode x"},
		{"only network", "--empty-ns mnt"},
		{"must be relative", "--parent-path /x"},
		{"not ADDRESS:PORT", "--page-server here"},
	} {
		r.ok("run", "-d", "-b", dir, "z")
		r.fails(tt.want, append(append([]string{"checkpoint", "--image-path", images}, strings.Fields(tt.args)...), "z")...)
		r.ok("delete", "--force", "z")
	}
}

// TestRestoreFails: wherever a restore fails, nothing is left of it: no process
// that CRIU has made or forgotten, no cgroup, no record, no mount.
func TestRestoreFails(t *testing.T) {
	r := newRig(t)
	images := t.TempDir()
	writeJSON(t, images+descriptorsFile, []string{"", "", ""})
	same := func(*specs.Spec) {}
	limited := func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1 << 22}}}
	}
	for _, tt := range []struct {
		name, failAt, want string
		args               []string
		edit               func(*specs.Spec)
	}{
		{"before it tells of processes", "processes", "restore failed", nil, same},
		{"after it has", "answer", "restore failed", nil, same},
		{"without an answer", "death", "criu", nil, same},
		{"its process cannot be told", "", "no such directory", []string{"--pid-file", "/nonexistent/pid"}, same},
		{"its limits cannot be given", "", "hugetlb", nil, limited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			program, _ := r.fake(tt.failAt)
			dir := r.bundle([]string{"true"}, tt.edit)
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			must(t, err)
			r.fails(tt.want, append([]string{"--criu", program, "restore", "-d", "-b", dir, "--image-path", images}, append(tt.args, "x")...)...)
			r.fails("does not exist", "state", "x")
			r.wantNothingLeft()
			if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || string(after) != string(mounts) {
				t.Errorf("mounts differ: %v\n%s", err, after)
			}
		})
	}
}

// TestRestoreKilled: what is removed of a container stops short of the root
// that a killed restore has left mounted there.
func TestRestoreKilled(t *testing.T) {
	r := newRig(t)
	dir := r.bundle([]string{"sleep", "1000"})
	for _, pid := range []bool{true, false} {
		r.ok("create", "-b", dir, "x")
		at := r.root + "/x" + criuRoot
		must(t, os.Mkdir(at, 0o700))
		must(t, unix.Mount(dir+"/rootfs", at, "", unix.MS_BIND|unix.MS_REC, ""))
		if !pid {
			r.ok("kill", "x", "KILL")
			r.waitStopped("x")
			r.record("x", func(m map[string]any) { m["pid"] = 0 })
			r.ok("create", "-b", dir, "x") // clears what is there
		}
		r.ok("delete", "--force", "x")
		if _, err := os.Stat(dir + "/rootfs/bin/busybox"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCRIUReason: where CRIU cannot, its own reason is shown, and nothing has
// happened to the container.
func TestCRIUReason(t *testing.T) {
	r := newRig(t)
	if _, err := exec.LookPath("criu"); err != nil {
		t.Skip("needs criu")
	}
	out, err := exec.Command("criu", "check").CombinedOutput()
	if err == nil {
		t.Skip("CRIU works here")
	}
	_, reason, ok := strings.Cut(string(out), "): ")
	if !ok {
		t.Skipf("criu check gives no reason: %s", out)
	}
	reason, _, _ = strings.Cut(reason, "\n")
	r.ok("run", "-d", "-b", r.bundle([]string{"sleep", "1000"}), "x")
	r.fails(reason, "checkpoint", "--image-path", t.TempDir()+"/images", "x")
	r.wantStatus("x", "running")
	r.ok("delete", "--force", "x")
	images := t.TempDir()
	writeJSON(t, images+descriptorsFile, []string{"", "", ""})
	r.fails("not installed", "--criu", "/nonexistent/criu", "restore", "-b", r.bundle([]string{"true"}), "--image-path", images, "x")
	r.fails("no such file", "restore", "-b", r.bundle([]string{"true"}), "--image-path", images+"/none", "x")
}

// TestHandOver: what only tared can do is handed over to it, with all
// arguments, once they have been found to be right.
func TestHandOver(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	must(t, exec.Command("cp", self, dir+"/tare-oci").Run())
	run := func(args ...string) (string, int) {
		cmd := exec.Command(dir+"/tare-oci", append([]string{"--root", r.root}, args...)...)
		cmd.Env = append(os.Environ(), mainEnv+"=1", hotEnv+"=1")
		out, _ := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
	}
	want := "the tared binary is missing: looked in " + dir + " (install tared beside tare-oci)"
	for _, command := range []string{"checkpoint", "restore"} {
		if out, code := run(command, "--image-path", "x", "box"); out != want || code != 1 {
			t.Errorf("%s without tared: exit code %d, %q", command, code, out)
		}
	}
	must(t, os.WriteFile(dir+"/tared", []byte("#!/bin/sh\necho \"$@\"\nexit 3\n"), 0o755))
	if out, code := run("restore", "-d", "--image-path", "x", "box"); out != Hidden+" --root "+r.root+" restore -d --image-path x box" || code != 3 {
		t.Errorf("exit code %d, %q", code, out)
	}
	for want, args := range map[string][]string{
		"wrong number of arguments":  {"checkpoint"},
		"not defined: -no-such-flag": {"restore", "--no-such-flag", "box"},
		"write a running container":  {"checkpoint", "--help"},
		"does not exist":             {"state", "box"},
	} {
		if out, _ := run(args...); !strings.Contains(out, want) {
			t.Errorf("%s: %q, want %q", args, out, want)
		}
	}
}
