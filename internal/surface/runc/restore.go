package runc

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/container/stdio/signals"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/linux/criu"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/spec/oci"
	"golang.org/x/sys/unix"
)

// restoreRows are those of restore besides createRows and criuRows.
var restoreRows = []flags.Flag{
	{Name: "detach", Short: 'd', Usage: "do not wait for the container's end", Set: func(o any, v string) error { return flags.Bool(&o.(*restoreOptions).detach, v) }},
	{Name: "no-subreaper", Usage: "do not adopt the container's processes; the default here", Set: ignoreBool},
	{
		Name: "lsm-profile", Value: "type:profile", Usage: "another label for the processes",
		Set: func(o any, v string) error { return flags.String(&o.(*restoreOptions).lsmProfile, v) },
	},
	{
		Name: "lsm-mount-context", Value: "context", Usage: "another label for the mounts",
		Set: func(o any, v string) error { return flags.String(&o.(*restoreOptions).lsmMountContext, v) },
	},
}

type restoreOptions struct {
	createFlags
	criuFlags
	detach bool
}

func (o *restoreOptions) run(a *App, args []string) error {
	if o.preserveFDs > 0 {
		a.log.warn("--preserve-fds: a restored container has the descriptors of its checkpoint")
	}
	return a.restore(args[0], &o.createFlags, &o.criuFlags, o.detach)
}

// restore brings a container back.
func (a *App) restore(id string, c *createFlags, o *criuFlags, detach bool) error {
	m, err := a.make(id, c, &byCRIU{o: o})
	if err != nil {
		return err
	}
	defer m.release()
	if detach {
		return m.leave()
	}
	m.release()
	return m.await()
}

// byCRIU restores a container's processes from a checkpoint.
type byCRIU struct {
	o     *criuFlags
	files []*os.File // what CRIU inherits
}

func (r *byCRIU) begin(_ string, m *made) error {
	if m.bundle.spec.Process.Terminal && m.o.consoleSocket == "" {
		return fault.New(fault.Unsupported, "restore a container that has a terminal: give --console-socket")
	}
	if m.bundle.spec.Hooks != nil {
		m.a.log.warn("restore: no hooks run but those of the end")
	}
	if m.a.systemd {
		m.a.log.warn("restore: --systemd-cgroup: systemd is not told of the cgroup")
	}
	return nil
}

func (r *byCRIU) complete(m *made, cfg *container.Config) error {
	cfg.Restore = func(c *container.Container, record func() error) error { return r.run(m, c, record) }
	return nil
}

// run restores the processes.
func (r *byCRIU) run(m *made, c *container.Container, record func() error) error {
	images, work, err := r.o.open(false)
	if err != nil {
		return err
	}
	defer func() { _ = images.Close(); _ = work.Close() }()
	req, err := m.a.request(r.o, images, work, "restore.log")
	if err != nil {
		return err
	}
	s := m.bundle.spec
	req.Kind, req.LSMProfile, req.LSMMountContext = criu.Restore, r.o.lsmProfile, r.o.lsmMountContext
	if err := r.inherit(req, s); err != nil {
		return err
	}
	req.Mounts = mountSources(s)
	if err := makeMountPoints(m.bundle); err != nil {
		return err
	}
	if req.Root, err = mountRoot(m); err != nil {
		return err
	}
	defer unmountRoot(req.Root)
	if req.CgroupRoots, err = cgroupRoots(m.layout, m.rec.Cgroup); err != nil {
		return err
	}
	if c.Group != nil {
		req.Started = c.Group.Attach
	}
	req.Notice = func(script string, pid, fd int) error { return notice(m, c, record, script, pid, fd) }
	return m.a.CRIU(req)
}

// notice records the container when CRIU says that its processes are there,
// before they go on.
func notice(m *made, c *container.Container, record func() error, script string, pid, fd int) error {
	switch script {
	case criu.PostRestore:
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return fmt.Errorf("pidfd of process %d: %w", pid, err)
		}
		c.Process = spawn.Process{Pid: pid, Pidfd: pidfd}
		m.rec.Restored = true
		return record()
	case criu.OrphanTerminal:
		if fd < 0 {
			return errors.New("criu: the terminal's master is missing")
		}
		c.Console = os.NewFile(uintptr(fd), "terminal")
	}
	return nil
}

// inherit gives CRIU the descriptors that replace what lies outside the
// checkpoint: this process's streams, namespaces by path.
func (r *byCRIU) inherit(req *criu.Request, s *specs.Spec) error {
	names, err := loadDescriptors(req.Images.Name())
	if err != nil {
		return err
	}
	for fd, name := range names {
		if fd < 3 && isPipe(name) {
			req.Inherit = append(req.Inherit, criu.Inherit{Name: name, FD: fd})
		}
	}
	for _, n := range sharedNS {
		p, ok := oci.HasNamespace(s, n.kind)
		if !ok || p == "" {
			continue
		}
		f, err := os.Open(p)
		if err != nil {
			return unwrapPath("open", p, err)
		}
		r.files = append(r.files, f)
		req.Inherit = append(req.Inherit, criu.Inherit{Name: n.key, FD: criu.FirstFile + len(req.Files)})
		req.Files = r.files
	}
	return nil
}

// makeMountPoints makes what a restore's mounts need in the root, and a create
// makes as well. Nothing in the root leads outside of it.
func makeMountPoints(b *bundle) error {
	root, err := os.OpenRoot(b.rootfs)
	if err != nil {
		return unwrapPath("open", b.rootfs, err)
	}
	defer func() { _ = root.Close() }()
	under := func(dest string) bool { // on a mount of its own
		for i := range b.spec.Mounts {
			if d := b.spec.Mounts[i].Destination; dest != d && strings.HasPrefix(dest, strings.TrimSuffix(d, "/")+"/") {
				return true
			}
		}
		return false
	}
	for i := range b.spec.Mounts {
		m := &b.spec.Mounts[i]
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
func mountRoot(m *made) (string, error) {
	at := m.dir + criuRoot
	if err := unix.Mkdir(at, 0o700); err != nil {
		return "", fmt.Errorf("make directory for criu: %w", err)
	}
	if err := unix.Mount(m.bundle.rootfs, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil { //nolint:forbidigo // CRIU takes a path
		return "", fmt.Errorf("mount root for criu: %w", err)
	}
	// Else the unmount would reach what is mounted below the root itself.
	if err := unix.Mount("", at, "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil { //nolint:forbidigo // as above
		return "", errors.Join(fmt.Errorf("cut propagation of root for criu: %w", err), unix.Unmount(at, unix.MNT_DETACH))
	}
	return at, nil
}

func unmountRoot(at string) {
	_ = unix.Unmount(at, unix.MNT_DETACH) // delete fails if it is there still
	_ = unix.Rmdir(at)
}

// cgroupRoots tells CRIU that the groups are where we have made them.
func cgroupRoots(l cgroup.Layout, path string) ([]criu.Hierarchy, error) {
	dirs, err := l.Dirs(path)
	if err != nil {
		return nil, err
	}
	list := make([]criu.Hierarchy, len(dirs))
	for i := range l.Hierarchies {
		list[i].Path = "/" + dirs[i]
		if h := &l.Hierarchies[i]; !h.Unified {
			list[i].Controllers = strings.Join(h.Controllers, ",")
		}
	}
	return list, nil
}

func (r *byCRIU) close() {
	for _, f := range r.files {
		_ = f.Close()
	}
}

// await waits for the restored container, which is a child of this process,
// and deletes it.
func (m *made) await() error {
	defer m.box.Process.Release()
	if m.box.Console != nil { // it has been sent: its end is for whoever has it
		_ = m.box.Console.Close()
	}
	caught, err := signals.Catch(true, false)
	if err != nil {
		return err
	}
	status, err := stdio.Wait(caught, m.box.Process, nil)
	if err != nil {
		return err
	}
	if err := m.end(); err != nil {
		m.a.log.warn(err.Error())
	}
	if code := status.ExitCode(); code != 0 {
		return &exitError{code: code}
	}
	return nil
}
