package sandboxes

import (
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/keepers"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/network"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// A sandbox without a container is what a pod is: namespaces that are there before
// its containers and after them. A keeper is in them, and so they stay.

// Create makes a sandbox, and returns its id. On error nothing is left of it.
func (r *Room) Create(ctx context.Context, c *api.SandboxConfig) (id string, err error) {
	if c.SharePID {
		// Its first process would be the keeper, which has the host's root file system
		// and capabilities: who may trace it would have them too.
		return "", fault.New(fault.Unsupported, "sandbox: a pid namespace is not supported yet")
	}
	if id, err = ground.NewID(); err != nil {
		return "", err
	}
	d := r.driver(&api.ContainerConfig{HostConfig: api.HostConfig{NetworkMode: c.NetworkMode}})
	if d == nil || c.NetworkMode == "host" {
		return "", fault.New(fault.Unsupported, "sandbox: network %s", c.NetworkMode)
	}
	lock, err := r.State.LockSandboxes(id)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	p, err := d.Prepare(ctx, &network.Want{Owner: id, Hostname: c.Hostname})
	if err != nil {
		return "", fault.New(fault.KindOf(err), "prepare network: %w", err)
	}
	b := &state.Sandbox{ID: id, Config: c.Append(nil)}
	var held spawn.Process
	var gate int
	if held, gate, err = r.fork(id); err == nil {
		defer func() { _ = unix.Close(gate) }() // the keeper ends where nothing was written to it
		defer held.Release()
		if b.Keeper, err = state.Identify(held.Pid); err == nil {
			err = r.furnish(ctx, held, c, d, p)
		}
		if err == nil {
			err = r.State.PutSandbox(b)
		}
		if err == nil {
			_, err = unix.Write(gate, []byte{0})
		}
	}
	if err != nil {
		_ = b.Keeper.Kill() // it ends with the gate, too
		b.Keeper = state.Proc{}
		return "", errors.Join(err, d.Release(context.Background(), id), r.State.PutSandbox(b), r.State.RemoveLive(id))
	}
	return id, nil
}

// fork makes the keeper, in namespaces of its own. It waits until the gate is
// written to.
func (r *Room) fork(id string) (p spawn.Process, gate int, err error) {
	k := keepers.Keepers{Ground: r.Ground}
	bin, err := k.Path()
	if err != nil {
		return p, -1, err
	}
	if err := r.State.MakeLive(id); err != nil {
		return p, -1, fault.New(fault.KindOf(err), "make %s: %w", r.State.LiveDir(id), err)
	}
	const theirs = 3
	if err := k.WriteSettings(id, wire.Settings{Sandbox: &wire.SandboxPart{Gate: theirs}}); err != nil {
		return p, -1, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return p, -1, err
	}
	defer func() { _ = null.Close() }()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return p, -1, err
	}
	defer func() { _ = unix.Close(pipe[0]) }()
	const flags = unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	fd := null.Fd()
	p.Pidfd = -1
	p.Pid, err = r.Fork(bin, []string{keepers.Program, r.State.LiveDir(id)}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: []uintptr{fd, fd, fd, uintptr(pipe[0])},
		Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: flags, PidFD: &p.Pidfd},
	})
	if err != nil {
		_ = unix.Close(pipe[1])
		return p, -1, err
	}
	return p, pipe[1], nil
}

// furnish gives the namespaces what a container's own have: a name, a loopback
// that is up, Docker's two settings, and the links of the network.
func (r *Room) furnish(ctx context.Context, p spawn.Process, c *api.SandboxConfig, d network.Driver, prepared *network.Prepared) error {
	ns := "/proc/" + strconv.Itoa(p.Pid) + "/ns/"
	netns, err := unix.Open(ns+"net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault.New(fault.KindOf(err), "open the network namespace: %w", err)
	}
	defer func() { _ = unix.Close(netns) }()
	uts, err := unix.Open(ns+"uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault.New(fault.KindOf(err), "open the UTS namespace: %w", err)
	}
	defer func() { _ = unix.Close(uts) }()
	container.OnLostThread(func() { err = furnish(netns, uts, c.Hostname) })
	if err != nil {
		return fault.New(fault.KindOf(err), "set up sandbox: %w", err)
	}
	if !prepared.Links {
		return nil
	}
	if err := d.Attach(ctx, prepared, netns); err != nil {
		return fault.New(fault.KindOf(err), "attach network: %w", err)
	}
	return nil
}

// furnish works on the thread that calls it, which is lost.
func furnish(netns, uts int, hostname string) error {
	if err := unix.Setns(uts, unix.CLONE_NEWUTS); err != nil {
		return err
	}
	if hostname != "" {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return err
		}
	}
	if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
		return err
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(sock) }()
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, up); err != nil {
		return err
	}
	for name, value := range map[string]string{"ip_unprivileged_port_start": "0", "ping_group_range": "0 2147483647"} {
		fd, err := unix.Open("/proc/sys/net/ipv4/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte(value))
			_ = unix.Close(fd)
		}
		if err != nil {
			return fault.New(fault.KindOf(err), "%s: %w", name, err)
		}
	}
	return nil
}

// find returns a sandbox that was created.
func (r *Room) find(id string) (*state.Sandbox, error) {
	b, err := r.State.Sandbox(id)
	if err == nil && b.Keeper.Pid == 0 {
		err = fault.New(fault.NotFound, "no such sandbox: %s", id)
	}
	return b, err
}

// Inspect returns what is known of a sandbox that was created.
func (r *Room) Inspect(id string) (*api.SandboxInfo, error) {
	b, err := r.find(id)
	if err != nil {
		return nil, err
	}
	i := &api.SandboxInfo{ID: id}
	if err := api.ReadSandboxConfig(b.Config, &i.Config); err != nil {
		return nil, fault.New(fault.Internal, "sandbox %s: damaged: %w", id[:12], err)
	}
	life := b.Keeper.Look()
	if life == state.Unknown {
		return nil, fault.New(fault.Unavailable, "sandbox %s: its keeper cannot be looked at", id[:12])
	}
	i.Ready = life != state.Gone
	for _, m := range b.Members {
		if m.Proc.Look() != state.Gone {
			i.Containers = append(i.Containers, m.ID)
		}
	}
	return i, nil
}

// Remove removes a sandbox that was created. One that a container runs in is a
// Conflict.
func (r *Room) Remove(id string) error {
	lock, err := r.State.LockSandboxes(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	b, err := r.find(id)
	if err != nil {
		return err
	}
	for _, m := range b.Members {
		if m.Proc.Look() != state.Gone {
			return fault.New(fault.Conflict, "sandbox %s: container %s runs in it", id[:12], m.ID[:12])
		}
	}
	if err := b.Keeper.Kill(); err != nil {
		return err
	}
	if err := r.release(id, nil); err != nil {
		return err
	}
	b.Keeper, b.Members = state.Proc{}, nil
	return errors.Join(r.State.PutSandbox(b), r.State.RemoveLive(id))
}
