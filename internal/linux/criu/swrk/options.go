package swrk

import (
	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/tare-engine/tare/internal/linux/criu"
	"golang.org/x/sys/unix"
)

var kinds = map[criu.Kind]rpc.CriuReqType{
	criu.Dump: rpc.CriuReqType_DUMP, criu.PreDump: rpc.CriuReqType_PRE_DUMP, criu.Restore: rpc.CriuReqType_RESTORE,
}

var cgroupModes = map[string]rpc.CriuCgMode{
	"": rpc.CriuCgMode_DEFAULT, "soft": rpc.CriuCgMode_SOFT, "full": rpc.CriuCgMode_FULL,
	"strict": rpc.CriuCgMode_STRICT, "ignore": rpc.CriuCgMode_IGNORE,
}

// options is the request as CRIU takes it.
func options(r *criu.Request) *rpc.CriuOpts {
	mode := cgroupModes[r.CgroupMode]
	o := &rpc.CriuOpts{
		// These two are numbers in this process, where CRIU looks them up.
		ImagesDirFd: ptr(int32(r.Images.Fd())), WorkDirFd: ptr(int32(r.Work.Fd())),
		LogLevel: ptr(int32(4)), LogFile: &r.Log, NotifyScripts: ptr(true), Root: &r.Root,
		ShellJob: &r.ShellJob, TcpEstablished: &r.TCPEstablished, ExtUnixSk: &r.ExtUnixSk, FileLocks: &r.FileLocks,
		OrphanPtsMaster: ptr(true), AutoDedup: &r.AutoDedup, LazyPages: &r.LazyPages,
		ManageCgroups: ptr(true), ManageCgroupsMode: &mode, External: r.External,
	}
	for i := range r.Mounts {
		o.ExtMnt = append(o.ExtMnt, &rpc.ExtMountMap{Key: &r.Mounts[i].Name, Val: &r.Mounts[i].Value})
	}
	for i := range r.Inherit {
		o.InheritFd = append(o.InheritFd, &rpc.InheritFd{Key: &r.Inherit[i].Name, Fd: ptr(int32(r.Inherit[i].FD))})
	}
	for i := range r.CgroupRoots {
		h := &rpc.CgroupRoot{Path: &r.CgroupRoots[i].Path}
		if c := r.CgroupRoots[i].Controllers; c != "" {
			h.Ctrl = &c
		}
		o.CgRoot = append(o.CgRoot, h)
	}
	if r.Kind == criu.Restore {
		o.EvasiveDevices, o.RstSibling = ptr(true), ptr(true)
	} else {
		o.Pid, o.LeaveRunning, o.LinkRemap = ptr(int32(r.Pid)), &r.LeaveRunning, &r.LinkRemap
	}
	if r.TrackMem {
		o.TrackMem = ptr(true)
	}
	if r.TCPSkipInFlight {
		o.TcpSkipInFlight = ptr(true)
	}
	if r.EmptyNet {
		o.EmptyNs = ptr(uint32(unix.CLONE_NEWNET))
	}
	if r.StatusFD != 0 {
		o.StatusFd = ptr(int32(r.StatusFD))
	}
	if r.PageServer != nil {
		o.Ps = &rpc.CriuPageServerInfo{Address: &r.PageServer.Host, Port: ptr(int32(r.PageServer.Port))}
	}
	for _, f := range []struct {
		to   **string
		text *string
	}{
		{&o.ParentImg, &r.Parent},
		{&o.FreezeCgroup, &r.FreezeCgroup},
		{&o.LsmProfile, &r.LSMProfile},
		{&o.LsmMountContext, &r.LSMMountContext},
	} {
		if *f.text != "" {
			*f.to = f.text
		}
	}
	return o
}

func ptr[T any](v T) *T { return &v }
