package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/spec"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// criuFlags are the flags that checkpoint and restore share.
type criuFlags struct {
	imagePath, workPath             string
	tcpEstablished, tcpSkipInFlight bool
	extUnixSk, shellJob, fileLocks  bool
	autoDedup, lazyPages, linkRemap bool
	cgMode                          string
	emptyNS                         []string
	leaveRunning, preDump           bool
	parentPath, pageServer          string
	statusFD                        int
	lsmProfile, lsmMountContext     string
}

func (o *criuFlags) declare(f *flags) {
	f.string(&o.imagePath, "image-path", "dir", "directory of the checkpoint (default: checkpoint)")
	f.string(&o.workPath, "work-path", "dir", "directory of CRIU's logs and temporary files (default: that of the checkpoint)")
	f.bool(&o.tcpEstablished, "tcp-established", "also with open TCP connections")
	f.bool(&o.extUnixSk, "ext-unix-sk", "also with unix sockets to other processes")
	f.bool(&o.shellJob, "shell-job", "also with a terminal of the caller")
	f.bool(&o.fileLocks, "file-locks", "also with file locks")
	f.string(&o.cgMode, "manage-cgroups-mode", "mode", "soft, full, strict or ignore (default soft)")
	f.list(&o.emptyNS, "empty-ns", "type", "make this namespace, empty; only network")
	f.bool(&o.autoDedup, "auto-dedup", "drop memory pages of parent checkpoints that are not needed")
	f.bool(&o.lazyPages, "lazy-pages", "leave memory where it is until it is used")
}

func newCheckpoint(f *flags) action {
	o := criuFlags{statusFD: -1}
	o.declare(f)
	f.bool(&o.leaveRunning, "leave-running", "let the container go on")
	f.bool(&o.preDump, "pre-dump", "only write the memory, for a later checkpoint with --parent-path")
	f.string(&o.parentPath, "parent-path", "dir", "directory of an earlier checkpoint, relative to --image-path")
	f.string(&o.pageServer, "page-server", "addr:port", "send the memory to a page server")
	f.int(&o.statusFD, "status-fd", "n", "descriptor that gets a byte when lazy pages can be asked for")
	f.bool(&o.linkRemap, "link-remap", "also with open files that have been removed")
	f.bool(&o.tcpSkipInFlight, "tcp-skip-in-flight", "drop TCP connections that are not made yet")
	return func(a *App, args []string) error {
		c, err := a.openLocked(args[0])
		if err != nil {
			return err
		}
		defer c.release()
		return a.checkpoint(c, &o)
	}
}

func (a *App) checkpoint(c *container, o *criuFlags) error {
	p, life, err := c.process()
	if err != nil {
		return err
	}
	if life != state.Running {
		return fault.New(fault.Conflict, "checkpoint %s: %w", c.rec.ID, errStopped)
	}
	defer p.Release()
	b, err := a.loadConfig(c.rec.Bundle, c.dir+configFile)
	if err != nil {
		return err
	}
	images, work, err := o.open(true)
	if err != nil {
		return err
	}
	defer func() { _ = images.Close(); _ = work.Close() }()
	opts, err := o.options(images, work, "dump.log")
	if err != nil {
		return err
	}
	opts.Pid, opts.Root = ptr(int32(p.Pid)), ptr(c.rec.Rootfs)
	opts.LeaveRunning, opts.LinkRemap = ptr(o.leaveRunning), ptr(o.linkRemap)
	if o.tcpSkipInFlight {
		opts.TcpSkipInFlight = ptr(true)
	}
	var inherited []*os.File
	if o.statusFD >= 0 {
		opts.StatusFd = ptr(int32(firstInherited))
		inherited = append(inherited, os.NewFile(uintptr(o.statusFD), "status"))
	}
	if err := o.pages(opts, images.Name()); err != nil {
		return err
	}
	externalNamespaces(opts, b.spec)
	externalMounts(opts, b.spec, p.Pid)
	a.freezeBy(opts, c)
	kind := rpc.CriuReqType_DUMP
	if o.preDump {
		kind, opts.TrackMem = rpc.CriuReqType_PRE_DUMP, ptr(true)
	} else if err := saveDescriptors(images.Name(), p.Pid); err != nil {
		return err
	}
	criu, err := a.startCRIU(inherited...)
	if err != nil {
		return err
	}
	err = criu.do(&rpc.CriuReq{Type: &kind, Opts: opts}, func(string, int, int) error { return nil })
	werr := criu.close()
	if err == nil && werr != nil && !o.preDump {
		err = fmt.Errorf("criu: %w", werr)
	}
	if err == nil && !o.leaveRunning && !o.preDump { // as runc and crun: the id is free for a restore
		if derr := a.destroy(c); derr != nil {
			a.log.warn(derr.Error())
		}
	}
	return criuReason(err, work.Name(), "dump.log")
}

// open opens the directories of the checkpoint, made if asked to, and of
// CRIU's log.
func (o *criuFlags) open(make bool) (images, work *os.File, err error) {
	dir := o.imagePath
	if dir == "" {
		dir = "checkpoint"
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, nil, err
	}
	if make {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, unwrapPath("make", dir, err)
		}
	}
	if images, err = os.Open(dir); err != nil {
		return nil, nil, unwrapPath("open", dir, err)
	}
	if o.workPath == "" {
		o.workPath = dir
	}
	if o.workPath, err = filepath.Abs(o.workPath); err == nil {
		err = os.MkdirAll(o.workPath, 0o700)
	}
	if err == nil {
		work, err = os.Open(o.workPath)
	}
	if err != nil {
		_ = images.Close()
		return nil, nil, unwrapPath("open", o.workPath, err)
	}
	return images, work, nil
}

// options are those of both directions.
func (o *criuFlags) options(images, work *os.File, log string) (*rpc.CriuOpts, error) {
	mode, err := cgMode(o.cgMode)
	if err != nil {
		return nil, err
	}
	opts := &rpc.CriuOpts{
		// These two are numbers in this process, where CRIU looks them up.
		ImagesDirFd: ptr(int32(images.Fd())), WorkDirFd: ptr(int32(work.Fd())),
		LogLevel: ptr(int32(4)), LogFile: &log, NotifyScripts: ptr(true),
		ShellJob: &o.shellJob, TcpEstablished: &o.tcpEstablished, ExtUnixSk: &o.extUnixSk, FileLocks: &o.fileLocks,
		OrphanPtsMaster: ptr(true), AutoDedup: &o.autoDedup, LazyPages: &o.lazyPages,
		ManageCgroups: ptr(true), ManageCgroupsMode: &mode,
	}
	for _, ns := range o.emptyNS {
		if ns != "network" {
			return nil, fault.New(fault.Unsupported, "--empty-ns %s: only network", ns)
		}
		opts.EmptyNs = ptr(uint32(unix.CLONE_NEWNET))
	}
	return opts, nil
}

// pages says where earlier memory is, and where this goes.
func (o *criuFlags) pages(opts *rpc.CriuOpts, images string) error {
	if o.parentPath != "" {
		if filepath.IsAbs(o.parentPath) {
			return fault.New(fault.Invalid, "--parent-path %s: must be relative to --image-path", o.parentPath)
		}
		if _, err := os.Stat(filepath.Join(images, o.parentPath)); err != nil {
			return unwrapPath("open", o.parentPath, err)
		}
		opts.ParentImg, opts.TrackMem = &o.parentPath, ptr(true)
	}
	if o.pageServer != "" {
		i := strings.LastIndexByte(o.pageServer, ':')
		port, err := strconv.ParseUint(o.pageServer[i+1:], 10, 16)
		if i <= 0 || err != nil {
			return fault.New(fault.Invalid, "--page-server %s: not ADDRESS:PORT", o.pageServer)
		}
		opts.Ps = &rpc.CriuPageServerInfo{Address: ptr(o.pageServer[:i]), Port: ptr(int32(port))}
	}
	return nil
}

// sharedNS are the namespaces that CRIU can leave out when they are somebody
// else's.
var sharedNS = []struct {
	kind      specs.LinuxNamespaceType
	name, key string
}{
	{specs.NetworkNamespace, "net", "extRootNetNS"},
	{specs.PIDNamespace, "pid", "extRootPidNS"},
}

func externalNamespaces(opts *rpc.CriuOpts, s *specs.Spec) {
	for _, n := range sharedNS {
		p, ok := spec.HasNamespace(s, n.kind)
		var st unix.Stat_t
		if ok && p != "" && unix.Stat(p, &st) == nil {
			opts.External = append(opts.External, n.name+"["+strconv.FormatUint(st.Ino, 10)+"]:"+n.key)
		}
	}
}

// maskSource is the name, in a checkpoint, of what hides files.
const maskSource = "/dev/null"

// externalMounts names the mounts whose content is not the checkpoint's: bind
// mounts, and the files that are hidden from process pid.
func externalMounts(opts *rpc.CriuOpts, s *specs.Spec, pid int) {
	for i := range s.Mounts {
		if m := &s.Mounts[i]; isBind(m) {
			d := path.Clean("/" + m.Destination)
			opts.ExtMnt = append(opts.ExtMnt, &rpc.ExtMountMap{Key: &d, Val: &d})
		}
	}
	for _, p := range s.Linux.MaskedPaths {
		fi, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "root", p))
		if err == nil && !fi.IsDir() {
			opts.ExtMnt = append(opts.ExtMnt, &rpc.ExtMountMap{Key: &p, Val: ptr(maskSource)})
		}
	}
}

// mountSources says where the mounts of externalMounts come from.
func mountSources(opts *rpc.CriuOpts, s *specs.Spec) {
	for i := range s.Mounts {
		if m := &s.Mounts[i]; isBind(m) {
			opts.ExtMnt = append(opts.ExtMnt, &rpc.ExtMountMap{Key: ptr(path.Clean("/" + m.Destination)), Val: &m.Source})
		}
	}
	if len(s.Linux.MaskedPaths) > 0 {
		opts.ExtMnt = append(opts.ExtMnt, &rpc.ExtMountMap{Key: ptr(maskSource), Val: ptr(maskSource)})
	}
}

// freezeBy lets CRIU stop the container by its cgroup: no process escapes.
func (a *App) freezeBy(opts *rpc.CriuOpts, c *container) {
	l, err := a.layout()
	if err != nil || c.rec.Cgroup == "" {
		return
	}
	dirs, err := l.Dirs(c.rec.Cgroup)
	i := l.Find("freezer")
	if i < 0 {
		i = l.Unified()
	}
	if err == nil && i >= 0 {
		opts.FreezeCgroup = ptr(l.Hierarchies[i].Mount + "/" + dirs[i])
	}
}

// descriptorsFile says, in a checkpoint, what the standard descriptors were:
// a restore puts its own in the place of pipes.
const descriptorsFile = "/descriptors.json"

func saveDescriptors(dir string, pid int) error {
	names := make([]string, 3)
	for fd := range names {
		name, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.Itoa(fd))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return unwrapPath("read", "descriptor "+strconv.Itoa(fd), err)
		}
		names[fd] = name
	}
	b, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return fsatomic.WriteFile(dir+descriptorsFile, b, 0o600, fsatomic.Volatile)
}

func loadDescriptors(dir string) ([]string, error) {
	var names []string
	b, err := os.ReadFile(dir + descriptorsFile)
	if err == nil {
		err = json.Unmarshal(b, &names)
	}
	if err != nil {
		return nil, unwrapPath("read", dir+descriptorsFile, err)
	}
	return names, nil
}

func isPipe(name string) bool { return strings.HasPrefix(name, "pipe:") }
