package swrk

import (
	"errors"
	"os"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/google/go-cmp/cmp"
	"github.com/tare-engine/tare/internal/linux/criu"
)

// TestOptions: what nobody asks for is not in the message, whose receiver
// tells that from an empty value.
func TestOptions(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	fd := int32(dir.Fd())
	base := func(edit func(*rpc.CriuOpts)) *rpc.CriuOpts {
		f := func() *bool { return ptr(false) }
		o := &rpc.CriuOpts{
			ImagesDirFd: &fd, WorkDirFd: &fd, LogLevel: ptr(int32(4)), LogFile: ptr("x.log"), NotifyScripts: ptr(true), Root: ptr("/root"),
			ShellJob: f(), TcpEstablished: f(), ExtUnixSk: f(), FileLocks: f(), OrphanPtsMaster: ptr(true), AutoDedup: f(), LazyPages: f(),
			ManageCgroups: ptr(true), ManageCgroupsMode: ptr(rpc.CriuCgMode_DEFAULT),
		}
		edit(o)
		return o
	}
	for _, tt := range []struct {
		in   criu.Request
		want func(*rpc.CriuOpts)
	}{
		{criu.Request{Kind: criu.Dump, Pid: 7}, func(o *rpc.CriuOpts) {
			o.Pid, o.LeaveRunning, o.LinkRemap = ptr(int32(7)), ptr(false), ptr(false)
		}},
		{criu.Request{Kind: criu.PreDump, TrackMem: true, CgroupMode: "soft", EmptyNet: true, StatusFD: 4, PageServer: &criu.Address{Host: "h", Port: 1}}, func(o *rpc.CriuOpts) {
			o.Pid, o.LeaveRunning, o.LinkRemap, o.TrackMem = ptr(int32(0)), ptr(false), ptr(false), ptr(true)
			o.ManageCgroupsMode, o.EmptyNs, o.StatusFd = ptr(rpc.CriuCgMode_SOFT), ptr(uint32(0x40000000)), ptr(int32(4))
			o.Ps = &rpc.CriuPageServerInfo{Address: ptr("h"), Port: ptr(int32(1))}
		}},
		{criu.Request{
			Kind: criu.Restore, LSMProfile: "apparmor:p", Mounts: []criu.Mount{{Name: "/a", Value: "/b"}},
			CgroupRoots: []criu.Hierarchy{{Controllers: "cpu,cpuacct", Path: "/g"}, {Path: "/u"}}, Inherit: []criu.Inherit{{Name: "pipe:[1]", FD: 2}},
		}, func(o *rpc.CriuOpts) {
			o.EvasiveDevices, o.RstSibling, o.LsmProfile = ptr(true), ptr(true), ptr("apparmor:p")
			o.ExtMnt = []*rpc.ExtMountMap{{Key: ptr("/a"), Val: ptr("/b")}}
			o.CgRoot = []*rpc.CgroupRoot{{Ctrl: ptr("cpu,cpuacct"), Path: ptr("/g")}, {Path: ptr("/u")}}
			o.InheritFd = []*rpc.InheritFd{{Key: ptr("pipe:[1]"), Fd: ptr(int32(2))}}
		}},
	} {
		tt.in.Images, tt.in.Work, tt.in.Log, tt.in.Root = dir, dir, "x.log", "/root"
		want, err := base(tt.want).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		got, err := options(&tt.in).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v: %s", tt.in.Kind, d)
		}
	}
	for _, mode := range criu.CgroupModes {
		if _, ok := cgroupModes[mode]; !ok {
			t.Errorf("mode %s: unknown", mode)
		}
	}
}

// TestReason: CRIU's own reasons, the first of them.
func TestReason(t *testing.T) {
	dir := t.TempDir()
	log := "(00.1) fine\n(00.2) Error (criu/vdso.c:381): vdso: Unexpected\n(00.3) Error (a.c:1): b\n(1) Error (a.c:1): c\n(1) Error (a.c:1): d\n(1) Error (a.c:1): e\n"
	if err := os.WriteFile(dir+"/dump.log", []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	err := errors.New("criu: dump failed")
	if got := reason(err, dir, "dump.log").Error(); got != "criu: dump failed; vdso: Unexpected; b; c; d (log: "+dir+"/dump.log)" {
		t.Error(got)
	}
	if got := reason(err, dir, "none.log"); !errors.Is(got, err) {
		t.Error(got)
	}
}
