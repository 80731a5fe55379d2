package runc

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/criu"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"
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

// criu is what criuRows set, in whatever contains it.
func (o *criuFlags) criu() *criuFlags { return o }

func criuOf(o any) *criuFlags { return o.(interface{ criu() *criuFlags }).criu() }

var criuRows = []flags.Flag{
	{
		Name: "image-path", Value: "dir", Usage: "directory of the checkpoint (default: checkpoint)",
		Set: func(o any, v string) error { return flags.String(&criuOf(o).imagePath, v) },
	},
	{
		Name: "work-path", Value: "dir", Usage: "directory of CRIU's logs and temporary files (default: that of the checkpoint)",
		Set: func(o any, v string) error { return flags.String(&criuOf(o).workPath, v) },
	},
	{Name: "tcp-established", Usage: "also with open TCP connections", Set: func(o any, v string) error { return flags.Bool(&criuOf(o).tcpEstablished, v) }},
	{Name: "ext-unix-sk", Usage: "also with unix sockets to other processes", Set: func(o any, v string) error { return flags.Bool(&criuOf(o).extUnixSk, v) }},
	{Name: "shell-job", Usage: "also with a terminal of the caller", Set: func(o any, v string) error { return flags.Bool(&criuOf(o).shellJob, v) }},
	{Name: "file-locks", Usage: "also with file locks", Set: func(o any, v string) error { return flags.Bool(&criuOf(o).fileLocks, v) }},
	{
		Name: "manage-cgroups-mode", Value: "mode", Usage: "soft, full, strict or ignore", Default: "soft",
		Set: func(o any, v string) error { return flags.String(&criuOf(o).cgMode, v) },
	},
	{Name: "empty-ns", Value: "type", Usage: "make this namespace, empty; only network", Set: func(o any, v string) error { return flags.List(&criuOf(o).emptyNS, v) }},
	{
		Name: "auto-dedup", Usage: "drop memory pages of parent checkpoints that are not needed",
		Set: func(o any, v string) error { return flags.Bool(&criuOf(o).autoDedup, v) },
	},
	{Name: "lazy-pages", Usage: "leave memory where it is until it is used", Set: func(o any, v string) error { return flags.Bool(&criuOf(o).lazyPages, v) }},
}

// checkpointRows are those of checkpoint besides criuRows.
var checkpointRows = []flags.Flag{
	{Name: "leave-running", Usage: "let the container go on", Set: func(o any, v string) error { return flags.Bool(&o.(*checkpointOptions).leaveRunning, v) }},
	{
		Name: "pre-dump", Usage: "only write the memory, for a later checkpoint with --parent-path",
		Set: func(o any, v string) error { return flags.Bool(&o.(*checkpointOptions).preDump, v) },
	},
	{
		Name: "parent-path", Value: "dir", Usage: "directory of an earlier checkpoint, relative to --image-path",
		Set: func(o any, v string) error { return flags.String(&o.(*checkpointOptions).parentPath, v) },
	},
	{
		Name: "page-server", Value: "addr:port", Usage: "send the memory to a page server",
		Set: func(o any, v string) error { return flags.String(&o.(*checkpointOptions).pageServer, v) },
	},
	{
		Name: "status-fd", Value: "n", Usage: "descriptor that gets a byte when lazy pages can be asked for",
		Set: func(o any, v string) error { return flags.Int(&o.(*checkpointOptions).statusFD, v) },
	},
	{
		Name: "link-remap", Usage: "also with open files that have been removed",
		Set: func(o any, v string) error { return flags.Bool(&o.(*checkpointOptions).linkRemap, v) },
	},
	{
		Name: "tcp-skip-in-flight", Usage: "drop TCP connections that are not made yet",
		Set: func(o any, v string) error { return flags.Bool(&o.(*checkpointOptions).tcpSkipInFlight, v) },
	},
}

type checkpointOptions struct{ criuFlags }

func (o *checkpointOptions) run(a *App, args []string) error {
	c, err := a.openLocked(args[0])
	if err != nil {
		return err
	}
	defer c.release()
	return a.checkpoint(c, &o.criuFlags)
}

func (a *App) checkpoint(c *entry, o *criuFlags) error {
	p, life, err := c.process()
	if err != nil {
		return err
	}
	if life != state.Running {
		return fault.New(fault.Conflict, "checkpoint %s: %w", c.rec.ID, errStopped)
	}
	defer p.Release()
	s, err := a.config(c)
	if err != nil {
		return err
	}
	images, work, err := o.open(true)
	if err != nil {
		return err
	}
	defer func() { _ = images.Close(); _ = work.Close() }()
	req, err := a.request(o, images, work, "dump.log")
	if err != nil {
		return err
	}
	req.Pid, req.Root = p.Pid, c.rec.Rootfs
	req.LeaveRunning, req.LinkRemap, req.TCPSkipInFlight = o.leaveRunning, o.linkRemap, o.tcpSkipInFlight
	if o.statusFD >= 0 {
		req.StatusFD, req.Files = criu.FirstFile, []*os.File{os.NewFile(uintptr(o.statusFD), "status")}
	}
	if err := o.pages(req); err != nil {
		return err
	}
	req.External, req.Mounts = externalNamespaces(s), externalMounts(s, p.Pid)
	req.FreezeCgroup = a.freezer(c)
	if o.preDump {
		req.Kind, req.TrackMem = criu.PreDump, true
	} else if err := saveDescriptors(images.Name(), p.Pid); err != nil {
		return err
	}
	err = a.CRIU(req)
	if err == nil && !o.leaveRunning && !o.preDump { // as runc and crun: the id is free for a restore
		if derr := a.destroy(c); derr != nil {
			a.log.warn(derr.Error())
		}
	}
	return err
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

// request is what both directions ask for.
func (a *App) request(o *criuFlags, images, work *os.File, log string) (*criu.Request, error) {
	if o.cgMode != "" && !slices.Contains(criu.CgroupModes, o.cgMode) {
		return nil, fault.New(fault.Invalid, "invalid value %q for --manage-cgroups-mode: not soft, full, strict or ignore", o.cgMode)
	}
	for _, ns := range o.emptyNS {
		if ns != "network" {
			return nil, fault.New(fault.Unsupported, "--empty-ns %s: only network", ns)
		}
	}
	return &criu.Request{
		Program: a.criu, Stdio: [3]*os.File{a.Stdin, a.Stdout, a.Stderr}, Images: images, Work: work, Log: log,
		ShellJob: o.shellJob, TCPEstablished: o.tcpEstablished, ExtUnixSk: o.extUnixSk, FileLocks: o.fileLocks,
		AutoDedup: o.autoDedup, LazyPages: o.lazyPages, EmptyNet: len(o.emptyNS) > 0, CgroupMode: o.cgMode,
	}, nil
}

// pages says where earlier memory is, and where this goes.
func (o *criuFlags) pages(req *criu.Request) error {
	if o.parentPath != "" {
		if filepath.IsAbs(o.parentPath) {
			return fault.New(fault.Invalid, "--parent-path %s: must be relative to --image-path", o.parentPath)
		}
		if _, err := os.Stat(filepath.Join(req.Images.Name(), o.parentPath)); err != nil {
			return unwrapPath("open", o.parentPath, err)
		}
		req.Parent, req.TrackMem = o.parentPath, true
	}
	if o.pageServer != "" {
		i := strings.LastIndexByte(o.pageServer, ':')
		port, err := strconv.ParseUint(o.pageServer[i+1:], 10, 16)
		if i <= 0 || err != nil {
			return fault.New(fault.Invalid, "--page-server %s: not ADDRESS:PORT", o.pageServer)
		}
		req.PageServer = &criu.Address{Host: o.pageServer[:i], Port: uint16(port)}
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

func externalNamespaces(s *specs.Spec) []string {
	var list []string
	for _, n := range sharedNS {
		p, ok := oci.HasNamespace(s, n.kind)
		var st unix.Stat_t
		if ok && p != "" && unix.Stat(p, &st) == nil {
			list = append(list, n.name+"["+strconv.FormatUint(st.Ino, 10)+"]:"+n.key)
		}
	}
	return list
}

// maskSource is the name, in a checkpoint, of what hides files.
const maskSource = "/dev/null"

// externalMounts names the mounts whose content is not the checkpoint's: bind
// mounts, and the files that are hidden from process pid.
func externalMounts(s *specs.Spec, pid int) []criu.Mount {
	var list []criu.Mount
	for i := range s.Mounts {
		if m := &s.Mounts[i]; isBind(m) {
			d := path.Clean("/" + m.Destination)
			list = append(list, criu.Mount{Name: d, Value: d})
		}
	}
	for _, p := range s.Linux.MaskedPaths {
		fi, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "root", p))
		if err == nil && !fi.IsDir() {
			list = append(list, criu.Mount{Name: p, Value: maskSource})
		}
	}
	return list
}

// mountSources says where the mounts of externalMounts come from.
func mountSources(s *specs.Spec) []criu.Mount {
	var list []criu.Mount
	for i := range s.Mounts {
		if m := &s.Mounts[i]; isBind(m) {
			list = append(list, criu.Mount{Name: path.Clean("/" + m.Destination), Value: m.Source})
		}
	}
	if len(s.Linux.MaskedPaths) > 0 {
		list = append(list, criu.Mount{Name: maskSource, Value: maskSource})
	}
	return list
}

// freezer is the group that lets CRIU stop the container by its cgroup: no
// process escapes. "" is none.
func (a *App) freezer(c *entry) string {
	l, err := a.layout()
	if err != nil || c.rec.Cgroup == "" {
		return ""
	}
	dirs, err := l.Dirs(c.rec.Cgroup)
	i := l.Find("freezer")
	if i < 0 {
		i = l.Unified()
	}
	if err != nil || i < 0 {
		return ""
	}
	return l.Hierarchies[i].Mount + "/" + dirs[i]
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
