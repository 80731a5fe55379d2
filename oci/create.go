package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/host"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/snapshot"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/spec"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// createFlags are the flags of create, which run has too.
type createFlags struct {
	bundle        string
	consoleSocket string
	pidFile       string
	noPivot       bool
	noNewKeyring  bool
	preserveFDs   int
	noSubreaper   bool
}

func (o *createFlags) declare(f *flags) {
	o.bundle = "."
	f.string(&o.bundle, "bundle,b", "dir", "directory of config.json (default: the working directory)")
	f.string(&o.consoleSocket, "console-socket", "path", "unix socket that gets the terminal's master")
	f.string(&o.pidFile, "pid-file", "file", "file to write the process id to")
	f.bool(&o.noPivot, "no-pivot", "change the root by chroot; only for a host that runs from its initial ramfs")
	f.bool(&o.noNewKeyring, "no-new-keyring", "let the container use the caller's session keyring")
	f.int(&o.preserveFDs, "preserve-fds", "n", "give the container N descriptors from 3 on, too")
}

func newCreate(f *flags) action {
	var o createFlags
	o.declare(f)
	return func(a *App, args []string) error {
		if err := o.check(a); err != nil {
			return err
		}
		m, err := a.make(args[0], &o, true)
		if err != nil {
			return err
		}
		defer m.release()
		return m.leave()
	}
}

// check looks at what must be seen before this process opens anything.
func (o *createFlags) check(a *App) error {
	n, err := preserved(o.preserveFDs, a.listenFDs())
	o.preserveFDs = n
	return err
}

// listenFDs is LISTEN_FDS if it is meant for this process (sd_listen_fds(3)):
// what another one got by that name is not to end up in the container.
func (a *App) listenFDs() string {
	if pid := a.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return ""
	}
	return a.Getenv("LISTEN_FDS")
}

// preserved is how many descriptors the container gets besides 0, 1 and 2,
// which have to be there: what this process opens later must not be taken for
// one of them.
func preserved(n int, listen string) (int, error) {
	if listen != "" {
		more, err := strconv.Atoi(listen)
		if err != nil || more < 0 {
			return 0, fault.New(fault.Invalid, "LISTEN_FDS=%q: not a number", listen)
		}
		n += more
	}
	if n < 0 || n > 1<<16 {
		return 0, fault.New(fault.Invalid, "preserve %d descriptors: not a number of descriptors", n)
	}
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return 0, fault.New(fault.Invalid, "preserve %d descriptors: descriptor %d is not open", n, fd)
		}
	}
	return n, nil
}

// made is a container up to its start gate.
type made struct {
	*container
	a      *App
	o      *createFlags
	bundle *bundle
	box    *tareruntime.Container
}

// make makes a container. With split another process will start it. On error
// nothing is left.
func (a *App) make(id string, o *createFlags, split bool) (*made, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	b, err := a.loadBundle(o.bundle)
	if err != nil {
		return nil, err
	}
	var netns *tareruntime.NetNS
	if tareruntime.MakesNetNS(b.spec) {
		netns = tareruntime.NewNetNS() // beside all that follows
		defer netns.Close()
	}
	terminal := b.spec.Process.Terminal
	if split && terminal && o.consoleSocket == "" {
		return nil, fault.New(fault.Invalid, "cannot allocate tty if the container is detached without setting console socket")
	}
	if o.consoleSocket != "" && (!terminal || !split) {
		return nil, fault.New(fault.Invalid, "cannot use console socket if the container is not detached or has no terminal")
	}
	cfg, err := a.config(id, b, o)
	if err != nil {
		return nil, err
	}
	rec := record(id, b)
	rec.Systemd = cfg.Systemd != nil
	if tareruntime.SharesMounts(b.spec) {
		if rec.HostMount, err = tareruntime.MountID(b.rootfs); err != nil {
			return nil, err
		}
	}
	cfg.NetNS = netns
	c, err := a.reserve(rec)
	if err != nil {
		return nil, err
	}
	a.reached("reserved")
	m := &made{container: c, a: a, o: o, bundle: b}
	if err := m.create(cfg, split); err != nil {
		err = errors.Join(err, c.forget())
		c.release()
		return nil, err
	}
	return m, nil
}

func record(id string, b *bundle) Record {
	ns, own := spec.HasNamespace(b.spec, specs.PIDNamespace)
	return Record{
		OCIVersion: b.spec.Version, ID: id, Bundle: b.dir, Rootfs: b.rootfs, Created: time.Now().UTC(), Owner: owner(),
		Annotations: b.spec.Annotations, Program: b.spec.Process.Args[0], Cgroup: b.spec.Linux.CgroupsPath,
		OwnPIDNS: own && ns == "", Hooks: b.spec.Hooks != nil || b.spec.Linux.IntelRdt != nil,
	}
}

// owner is the uid of the caller.
func owner() int {
	if uid, err := strconv.Atoi(os.Getenv(enteredEnv)); err == nil {
		return uid
	}
	return host.UID()
}

// facts is what the machine can do.
func facts() (tareruntime.Facts, host.Facts, error) {
	h, err := host.Probe()
	if err != nil {
		return tareruntime.Facts{}, h, err
	}
	return tareruntime.FactsOf(&h), h, nil
}

// config turns a bundle into what package runtime takes.
func (a *App) config(id string, b *bundle, o *createFlags) (*tareruntime.Config, error) {
	f, h, err := facts()
	if err != nil {
		return nil, err
	}
	snap, err := snapshot.Dir(b.rootfs)
	if err != nil {
		return nil, err
	}
	root, err := snapshot.MountPlan(snap, snapshot.Features{})
	if err != nil {
		return nil, err
	}
	root.Recursive = true
	layout, err := a.layout()
	if err != nil {
		return nil, err
	}
	cfg := &tareruntime.Config{
		Spec: b.spec, Root: root, RootTarget: b.rootfs,
		Stdin: 0, Stdout: 1, Stderr: 2, PreserveFDs: o.preserveFDs, NoPivot: o.noPivot,
		State:  specs.State{ID: id, Bundle: b.dir, Annotations: b.spec.Annotations},
		Layout: layout, Facts: f, Warn: a.log.warn,
	}
	if a.debug || a.after != nil {
		cfg.After = a.reached
	}
	if !o.noNewKeyring {
		cfg.Keyring = "_ses." + id
	}
	if n := a.listenFDs(); o.preserveFDs > 0 && n != "" {
		b.spec.Process.Env = append(b.spec.Process.Env, "LISTEN_FDS="+n, "LISTEN_PID=1")
	}
	setHome(b.spec.Process, b.rootfs)
	if h.Root && !h.UserNS {
		if err := spawn.Harden(); err != nil {
			return nil, err
		}
	}
	if !a.systemd {
		cgroupOf(id, b.spec, layout, h.UserNS)
		return cfg, nil
	}
	cfg.Systemd, err = a.scopeOf(id, b.spec, !h.Root || h.UserNS)
	return cfg, err
}

// cgroupOf gives a container that names no cgroup one of its own, and the
// devices that the runtime-spec wants in every container.
func cgroupOf(id string, s *specs.Spec, l cgroup.Layout, userNS bool) {
	switch p := &s.Linux.CgroupsPath; {
	case len(l.Hierarchies) == 0:
	case *p == "":
		*p = "/" + id
	case (*p)[0] != '/':
		*p = "/" + *p // relative to what the runtime says (runtime-spec)
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	r := s.Linux.Resources
	if userNS {
		r.Devices = nil // not a user's to decide
		return
	}
	if len(r.Devices) == 0 {
		r.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}} // nothing
	}
	r.Devices = append(r.Devices, spec.DeviceRules()...)
}

// create makes the container of a reserved directory.
func (m *made) create(cfg *tareruntime.Config, split bool) (err error) {
	if split {
		if cfg.Split, err = m.gate(); err != nil {
			return err
		}
		defer func() {
			_ = unix.Close(cfg.Split.FIFO)
			_ = unix.Close(cfg.Split.Progress)
		}()
	}
	if err := giveStdio(m.bundle.spec, m.bundle.spec.Process); err != nil {
		return err
	}
	if m.box, err = tareruntime.Create(*cfg); err != nil {
		return err
	}
	m.a.reached("created")
	err = m.record()
	m.a.reached("recorded")
	if err == nil && m.o.consoleSocket != "" {
		err = sendConsole(m.o.consoleSocket, m.box.Console)
	}
	if err == nil && split {
		if err = m.box.Ready(); err != nil {
			return err // nothing is left
		}
		m.a.reached("ready")
	}
	if err == nil && m.o.pidFile != "" {
		err = writePIDFile(m.o.pidFile, m.rec.Pid)
	}
	if err != nil {
		m.box.Abandon()
	}
	m.a.reached("told")
	return err
}

// gate makes the files that the starter will use.
func (m *made) gate() (*tareruntime.Split, error) {
	if err := unix.Mkfifo(m.dir+gateFile, 0o600); err != nil {
		return nil, fmt.Errorf("make start gate: %w", err)
	}
	m.a.reached("gate")
	s := &tareruntime.Split{}
	var err error
	if s.FIFO, err = unix.Open(m.dir+gateFile, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return nil, fmt.Errorf("open start gate: %w", err)
	}
	s.Progress, err = unix.Open(m.dir+progressFile, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		_ = unix.Close(s.FIFO)
		return nil, fmt.Errorf("make progress file: %w", err)
	}
	return s, nil
}

// record writes down which process the container is.
func (m *made) record() error {
	p, err := state.Identify(m.box.Process.Pid)
	if err != nil {
		return err
	}
	m.rec.setProc(p)
	if err := fsatomic.CreateFile(m.dir+configFile, m.bundle.text, 0o600); err != nil {
		return err
	}
	return m.put()
}

// leave lets the container wait for a start without this process.
func (m *made) leave() error {
	if err := m.box.Detach(); err != nil {
		return errors.Join(err, m.forget())
	}
	m.a.reached("left")
	return nil
}

// giveStdio gives pipes and terminals that become the container's standard
// descriptors to their user, who may then open /dev/stdout.
func giveStdio(s *specs.Spec, p *specs.Process) error {
	if p.Terminal {
		return nil
	}
	uid := hostID(s.Linux.UIDMappings, p.User.UID)
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("stat descriptor %d: %w", fd, err)
		}
		if st.Uid == uid || st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			continue // /dev/null is everybody's
		}
		err := unix.Fchown(fd, int(uid), int(st.Gid))
		switch err {
		case nil, unix.EINVAL, unix.EPERM, unix.EROFS: // as runc: such a file is not ours to give
		default:
			return fmt.Errorf("give descriptor %d to user %d: %w", fd, uid, err)
		}
	}
	return nil
}

// hostID is the number here of a user of the container.
func hostID(mappings []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range mappings {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID
		}
	}
	return id
}

// forget removes the container's directory.
func (c *container) forget() error {
	// A restore that was killed leaves the root mounted in there.
	if err := unix.Unmount(c.dir+criuRoot, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.ENOENT && err != unix.EINVAL && err != unix.EPERM {
		return fmt.Errorf("unmount %s: %w", c.dir+criuRoot, err)
	}
	return fsatomic.RemoveTree(unix.AT_FDCWD, c.dir)
}

// writePIDFile writes the file whole: who waits for it may read it at once.
func writePIDFile(path string, pid int) error {
	abs, err := filepath.Abs(path)
	if err == nil {
		err = fsatomic.WriteFile(abs, strconv.AppendInt(nil, int64(pid), 10), 0o666, fsatomic.Volatile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "write pid file %s: no such directory", path)
	}
	return err
}
