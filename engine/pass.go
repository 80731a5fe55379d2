package engine

import (
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// passFDs gives the container the first n descriptors from 3 on: sockets that
// a service manager has opened for it (sd_listen_fds(3)).
func (d *draft) passFDs(n int) {
	if n == 0 {
		return
	}
	d.runtime.PreserveFDs = n
	p := d.composed.Spec.Process
	// Its first process is 1, unless it joins another pid namespace.
	p.Env = setEnv(p.Env, []string{"LISTEN_FDS=" + itoa(n), "LISTEN_PID=1"})
	if names := os.Getenv("LISTEN_FDNAMES"); names != "" {
		p.Env = setEnv(p.Env, []string{"LISTEN_FDNAMES=" + names})
	}
}

// Who tells the service manager that the container is ready.
const (
	NotifyContainer = "container"
	NotifyConmon    = "conmon"
	NotifyIgnore    = "ignore"
)

// notifySocket is where the container finds it.
const notifySocket = "/run/notify.sock"

// notifies arranges what --sdnotify asks for, where a service manager waits
// (sd_notify(3)). The container gets a socket of its own: the manager does not
// know its processes, only the keeper, which passes on what is said.
func (k *kept) notifies(d *draft, uid int) error {
	to := os.Getenv("NOTIFY_SOCKET")
	if to == "" || d.config.SdNotify == NotifyIgnore {
		return nil
	}
	k.keeper.NotifyTo = to
	if d.config.SdNotify == NotifyConmon {
		k.keeper.NotifyNow = true
		return nil
	}
	dir := k.e.state.LiveDir(d.id)
	fd, err := bindSocket(dir, "notify", unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	k.keeper.Notify = fd
	if err := unix.Chown(dir+"/notify", uid, -1); err != nil && !strings.HasPrefix(to, "@") {
		return fault.New(fault.KindOf(err), "notify socket: %w", err)
	}
	s := d.composed.Spec
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: notifySocket, Source: dir + "/notify", Type: "bind", Options: []string{"bind", "nosuid", "nodev", "noexec"},
	})
	s.Process.Env = setEnv(s.Process.Env, []string{"NOTIFY_SOCKET=" + notifySocket})
	return nil
}
