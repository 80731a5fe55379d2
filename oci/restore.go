package oci

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/tare-engine/tare/cgroup"
	"github.com/tare-engine/tare/cgroupfs"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/monitor"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/spec"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

func newRestore(f *flags) action {
	var c createFlags
	o := criuFlags{statusFD: -1}
	var detach bool
	c.declare(f)
	o.declare(f)
	f.bool(&detach, "detach,d", "do not wait for the container's end")
	f.bool(&c.noSubreaper, "no-subreaper", "do not adopt the container's processes; the default here")
	f.string(&o.lsmProfile, "lsm-profile", "type:profile", "another label for the processes")
	f.string(&o.lsmMountContext, "lsm-mount-context", "context", "another label for the mounts")
	return func(a *App, args []string) error {
		if c.preserveFDs > 0 {
			a.log.warn("--preserve-fds: a restored container has the descriptors of its checkpoint")
		}
		return a.restore(args[0], &c, &o, detach)
	}
}

// restoring is a container on its way back.
type restoring struct {
	*container
	a       *App
	c       *createFlags
	o       *criuFlags
	bundle  *bundle
	files   []*os.File // what CRIU inherits
	root    string     // a mount of the root, which CRIU wants
	group   *cgroupfs.Group
	process spawn.Process
}

func (a *App) restore(id string, flags *createFlags, o *criuFlags, detach bool) (err error) {
	b, err := a.loadBundle(flags.bundle)
	if err != nil {
		return err
	}
	if b.spec.Process.Terminal && flags.consoleSocket == "" {
		return fault.New(fault.Unsupported, "restore a container that has a terminal: give --console-socket")
	}
	if b.spec.Hooks != nil {
		a.log.warn("restore: no hooks run but those of the end")
	}
	if a.systemd {
		a.log.warn("restore: --systemd-cgroup: systemd is not told of the cgroup")
	}
	layout, err := a.layout()
	if err != nil {
		return err
	}
	_, h, err := facts()
	if err != nil {
		return err
	}
	cgroupOf(id, b.spec, layout, h.UserNS)
	if err := checkID(id); err != nil {
		return err
	}
	c, err := a.reserve(record(id, b))
	if err != nil {
		return err
	}
	defer c.release()
	r := &restoring{container: c, a: a, c: flags, o: o, bundle: b, process: spawn.Process{Pidfd: -1}}
	defer r.closeFiles()
	if err := r.run(layout); err != nil {
		r.undo()
		return err
	}
	defer r.process.Release()
	if detach {
		r.group.Close()
		return nil
	}
	c.release()
	return r.attend()
}

// run restores the processes.
func (r *restoring) run(layout cgroup.Layout) (err error) {
	images, work, err := r.o.open(false)
	if err != nil {
		return err
	}
	defer func() { _ = images.Close(); _ = work.Close() }()
	opts, err := r.o.options(images, work, "restore.log")
	if err != nil {
		return err
	}
	opts.EvasiveDevices, opts.RstSibling = ptr(true), ptr(true)
	if r.o.lsmProfile != "" {
		opts.LsmProfile = &r.o.lsmProfile
	}
	if r.o.lsmMountContext != "" {
		opts.LsmMountContext = &r.o.lsmMountContext
	}
	if err := r.inherit(opts, images.Name()); err != nil {
		return err
	}
	mountSources(opts, r.bundle.spec)
	if err := r.makeMountPoints(); err != nil {
		return err
	}
	if err := r.mountRoot(); err != nil {
		return err
	}
	defer r.unmountRoot()
	opts.Root = &r.root
	set, err := cgroup.Compute(layout, r.rec.Cgroup, r.bundle.spec.Linux.Resources, cgroup.Options{})
	if err != nil {
		return err
	}
	if r.group, err = cgroupfs.Create(set, nil); err != nil {
		return err
	}
	if err := r.cgroupRoots(opts, layout); err != nil {
		return err
	}
	criu, err := r.a.startCRIU(r.files...)
	if err != nil {
		return err
	}
	if err = r.group.Attach(criu.cmd.Process.Pid); err == nil {
		err = criu.do(&rpc.CriuReq{Type: ptr(rpc.CriuReqType_RESTORE), Opts: opts}, r.notice)
	}
	_ = criu.close() // its answer counts
	if err == nil && r.process.Pidfd < 0 {
		err = errors.New("criu: did not say what it has restored")
	}
	return criuReason(err, work.Name(), "restore.log")
}

// notice records the container when CRIU says that its processes are there,
// before they go on.
func (r *restoring) notice(script string, pid, fd int) error {
	switch script {
	case "post-restore":
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return fmt.Errorf("pidfd of process %d: %w", pid, err)
		}
		r.process = spawn.Process{Pid: pid, Pidfd: pidfd}
		p, err := state.Identify(pid)
		if err != nil {
			return err
		}
		r.rec.setProc(p)
		r.rec.Restored = true
		if err := fsatomic.CreateFile(r.dir+configFile, r.bundle.text, 0o600); err != nil {
			return err
		}
		if err := r.put(); err != nil {
			return err
		}
		if r.c.pidFile != "" {
			return writePIDFile(r.c.pidFile, pid)
		}
	case "orphan-pts-master":
		if fd < 0 {
			return errors.New("criu: the terminal's master is missing")
		}
		master := os.NewFile(uintptr(fd), "terminal")
		defer func() { _ = master.Close() }()
		return sendConsole(r.c.consoleSocket, master)
	}
	return nil
}

// inherit gives CRIU the descriptors that replace what lies outside the
// checkpoint: this process's streams, namespaces by path.
func (r *restoring) inherit(opts *rpc.CriuOpts, images string) error {
	names, err := loadDescriptors(images)
	if err != nil {
		return err
	}
	for fd, name := range names {
		if fd < 3 && isPipe(name) {
			opts.InheritFd = append(opts.InheritFd, &rpc.InheritFd{Key: &name, Fd: ptr(int32(fd))})
		}
	}
	for _, n := range sharedNS {
		p, ok := spec.HasNamespace(r.bundle.spec, n.kind)
		if !ok || p == "" {
			continue
		}
		f, err := os.Open(p)
		if err != nil {
			return unwrapPath("open", p, err)
		}
		opts.InheritFd = append(opts.InheritFd, &rpc.InheritFd{Key: &n.key, Fd: ptr(int32(firstInherited + len(r.files)))})
		r.files = append(r.files, f)
	}
	return nil
}

// makeMountPoints makes what a restore's mounts need in the root, and a create
// makes as well. Nothing in the root leads outside of it.
func (r *restoring) makeMountPoints() error {
	root, err := os.OpenRoot(r.bundle.rootfs)
	if err != nil {
		return unwrapPath("open", r.bundle.rootfs, err)
	}
	defer func() { _ = root.Close() }()
	under := func(dest string) bool { // on a mount of its own
		for i := range r.bundle.spec.Mounts {
			if d := r.bundle.spec.Mounts[i].Destination; dest != d && strings.HasPrefix(dest, strings.TrimSuffix(d, "/")+"/") {
				return true
			}
		}
		return false
	}
	for i := range r.bundle.spec.Mounts {
		m := &r.bundle.spec.Mounts[i]
		if under(m.Destination) {
			continue
		}
		rel := strings.Trim(m.Destination, "/")
		if _, err := root.Stat(rel); err == nil {
			continue
		}
		if fi, err := os.Stat(m.Source); isBind(m) && err == nil && !fi.IsDir() {
			if dir, _, ok := cutLast(rel); ok {
				if err := root.MkdirAll(dir, 0o755); err != nil {
					return unwrapPath("make mount point", m.Destination, err)
				}
			}
			f, err := root.OpenFile(rel, os.O_CREATE|os.O_RDONLY, 0o644)
			if err != nil {
				return unwrapPath("make mount point", m.Destination, err)
			}
			_ = f.Close()
		} else if err := root.MkdirAll(rel, 0o755); err != nil {
			return unwrapPath("make mount point", m.Destination, err)
		}
	}
	return nil
}

func cutLast(p string) (dir, name string, ok bool) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p, false
	}
	return p[:i], p[i+1:], true
}

// mountRoot gives CRIU the root as a mount of its own, which it wants.
func (r *restoring) mountRoot() error {
	r.root = r.dir + criuRoot
	if err := unix.Mkdir(r.root, 0o700); err != nil {
		return fmt.Errorf("make directory for criu: %w", err)
	}
	if err := unix.Mount(r.bundle.rootfs, r.root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil { //nolint:forbidigo // CRIU takes a path
		return fmt.Errorf("mount root for criu: %w", err)
	}
	// Else the unmount would reach what is mounted below the root itself.
	if err := unix.Mount("", r.root, "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil { //nolint:forbidigo // as above
		return errors.Join(fmt.Errorf("cut propagation of root for criu: %w", err), unix.Unmount(r.root, unix.MNT_DETACH))
	}
	return nil
}

func (r *restoring) unmountRoot() {
	_ = unix.Unmount(r.root, unix.MNT_DETACH) // delete fails if it is there still
	_ = unix.Rmdir(r.root)
}

// cgroupRoots tells CRIU that the groups are where we have made them.
func (r *restoring) cgroupRoots(opts *rpc.CriuOpts, l cgroup.Layout) error {
	dirs, err := l.Dirs(r.rec.Cgroup)
	if err != nil {
		return err
	}
	for i := range l.Hierarchies {
		h := &l.Hierarchies[i]
		dir := ptr("/" + dirs[i])
		if h.Unified {
			opts.CgRoot = append(opts.CgRoot, &rpc.CgroupRoot{Path: dir})
			continue
		}
		opts.CgRoot = append(opts.CgRoot, &rpc.CgroupRoot{Ctrl: ptr(strings.Join(h.Controllers, ",")), Path: dir})
	}
	return nil
}

func (r *restoring) closeFiles() {
	for _, f := range r.files {
		_ = f.Close()
	}
}

// undo removes what a restore that failed has made.
func (r *restoring) undo() {
	if r.process.Pidfd >= 0 {
		_ = r.process.Signal(unix.SIGKILL)
		_, _ = r.process.Wait()
		r.process.Release()
	}
	if r.group != nil {
		_ = r.group.Kill(endTimeout)
		_ = r.group.Remove(endTimeout)
	}
	_ = r.forget()
}

// attend waits for the restored container, which is a child of this process,
// and deletes it.
func (r *restoring) attend() error {
	signals, err := monitor.Catch(true, false)
	if err != nil {
		return err
	}
	status, err := signals.Wait(r.process, nil)
	r.group.Close()
	if err != nil {
		return err
	}
	m := &made{container: r.container, a: r.a}
	if err := m.end(); err != nil {
		r.a.log.warn(err.Error())
	}
	if code := status.ExitCode(); code != 0 {
		return &exitError{code: code}
	}
	return nil
}
