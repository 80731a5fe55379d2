package engine

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// view is the file system of a container as its processes see it, volumes
// included.
type view struct {
	root  int // O_PATH; every name is resolved as if it were "/"
	ids   idMaps
	of    *state.Record
	close func()
}

// view opens a container's file system: that of its first process while one
// runs, paused or not. For one that does not run everything is mounted as for
// a start, which then waits at its gate for ever and is abandoned.
func (e *Engine) view(ctx context.Context, id string) (*view, error) {
	if err := e.harden(); err != nil {
		return nil, err
	}
	r, st, err := e.load(id)
	if err != nil {
		return nil, err
	}
	if st.Running() {
		fd, err := r.Proc.Open()
		if err != nil {
			return nil, err
		}
		p := spawn.Process{Pid: r.Proc.Pid, Pidfd: fd}
		defer p.Release()
		v := &view{ids: idMapsOf(p.Pid), of: r}
		v.root, err = openRoot(p)
		v.close = func() { _ = unix.Close(v.root) }
		return v, err
	}
	// Nobody starts it meanwhile.
	lock, err := e.state.Lock(id)
	if err != nil {
		return nil, err
	}
	if r, st, err = e.load(id); err != nil || st.Running() {
		lock.Unlock()
		if err == nil {
			return e.view(ctx, id) // somebody was faster
		}
		return nil, err
	}
	v, err := e.stoppedView(ctx, r)
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	unmount := v.close
	v.close = func() {
		unmount()
		lock.Unlock()
	}
	return v, nil
}

// openRoot opens the root directory of a container's first process, with all
// of its mounts. The process was there before and is after: the descriptor is
// not another's. While another thread of it than the first executes a program,
// the first is a zombie without a root: that passes.
func openRoot(p spawn.Process) (int, error) {
	fd, err := -1, error(unix.ENOENT)
	for tries := 0; errors.Is(err, unix.ENOENT) && tries < 1000 && !p.Ended(); tries++ {
		if tries > 0 {
			_, _ = unix.Poll(nil, 1) // nothing tells of its end
		}
		fd, err = unix.Open("/proc/"+strconv.Itoa(p.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if p.Ended() {
		if err == nil {
			_ = unix.Close(fd)
		}
		return -1, errNotRunning
	}
	if err != nil {
		return -1, fault.New(fault.KindOf(err), "open the container's root: %w", err)
	}
	return fd, nil
}

func (e *Engine) stoppedView(ctx context.Context, r *state.Record) (*view, error) {
	c, err := decodeConfig(r)
	if err != nil {
		return nil, err
	}
	if c.Image != "" && r.ImageID != "" {
		c.Image = r.ImageID // the name may mean another image by now
	}
	d, err := e.draft(ctx, r.ID, c)
	if err != nil {
		return nil, err
	}
	s := d.composed.Spec
	s.Hooks, s.Linux.Seccomp, s.Linux.CgroupsPath, s.Linux.Sysctl = nil, nil, "", nil
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Linux.Devices = nil, nil, nil
	s.Hostname, s.Domainname = "", ""
	s.Linux.TimeOffsets, s.Linux.Resources = nil, nil
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type != specs.MountNamespace && n.Type != specs.UserNamespace
	})
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type != "bind" && m.Destination != "/dev" })
	s.Process = &specs.Process{Args: []string{"/"}, Cwd: "/"}
	d.runtime.Filter, d.runtime.Compiled, d.runtime.Announce = nil, nil, true
	child, err := tareruntime.Create(d.runtime)
	if err != nil {
		return nil, err
	}
	v := &view{ids: idMapsOf(child.Process.Pid), of: r}
	if err := child.Ready(); err != nil {
		return nil, err
	}
	if v.root, err = openRoot(child.Process); err != nil {
		child.Abandon()
		return nil, err
	}
	v.close = func() {
		_ = unix.Close(v.root)
		child.Abandon()
	}
	return v, nil
}
