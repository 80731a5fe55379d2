package container

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

// notifies reports whether the profile asks somebody outside.
func notifies(s *specs.Spec) bool {
	p := s.Linux.Seccomp
	return p != nil && (p.DefaultAction == specs.ActNotify || slices.ContainsFunc(p.Syscalls, func(r specs.LinuxSyscall) bool {
		return r.Action == specs.ActNotify
	}))
}

// startsUnfiltered: the start gate comes before the filter, but for a filter
// that notifies, whose listener belongs to the create operation.
func startsUnfiltered(s *specs.Spec) bool { return !notifies(s) }

// checkListener refuses a profile that would notify what the child does
// before anybody can answer: the write that tells the engine of the listener.
// What comes later may be notified, for the agent has the listener then.
func checkListener(p *specs.LinuxSeccomp) error {
	if p == nil {
		return nil
	}
	if p.ListenerPath == "" && p.ListenerMetadata != "" {
		return fault.New(fault.Invalid, "seccomp: listenerMetadata without listenerPath")
	}
	return seccomp.NotifiesBeforeExec(p, []string{"write"})
}

// listenerHost hands the listener to the agent, when the child has loaded its
// filter. It is taken out of the child by pidfd_getfd (Linux 5.6), so that
// the filter may notify sendmsg.
func listenerHost(e *env) error {
	p := e.spec.Linux.Seccomp
	if p.ListenerPath == "" {
		return fault.New(fault.Invalid, "seccomp: SCMP_ACT_NOTIFY needs a listenerPath")
	}
	e.newGate(Gate{Name: "seccomp listener", Meet: true, Work: func(child spawn.Process) error {
		if e.listener == 0 {
			return nil // nothing that this machine has is notified
		}
		fd, err := unix.PidfdGetfd(child.Pidfd, e.run.Get(e.listener), 0)
		if err != nil {
			if errors.Is(err, unix.EPERM) {
				err = fault.New(fault.Unsupported, "%w: pidfd_getfd is forbidden (kernel.yama.ptrace_scope?)", err)
			}
			return fmt.Errorf("take seccomp listener: %w", err)
		}
		defer func() { _ = unix.Close(fd) }()
		st := specs.ContainerProcessState{
			Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: child.Pid, Metadata: p.ListenerMetadata, State: e.cfg.State,
		}
		st.State.Version, st.State.Status, st.State.Pid = specs.Version, specs.StateCreating, child.Pid
		if j := e.cfg.join; j != nil {
			st.State.Status, st.State.Pid = specs.StateRunning, j.init.Pid
		}
		if err := sendListener(p.ListenerPath, appendContainerProcessState(nil, &st), fd); err != nil {
			return fmt.Errorf("send seccomp listener to %s: %w", p.ListenerPath, err)
		}
		return nil
	}})
	return nil
}

// sendListener sends text and a descriptor over a connection of its own.
func sendListener(path string, text []byte, fd int) error {
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(sock) }()
	if len(path) >= 108 { // sun_path
		dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(dir) }()
		path = "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)
	}
	if err := unix.Connect(sock, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	rights := unix.UnixRights(fd)
	for len(text) > 0 {
		n, err := unix.SendmsgN(sock, text, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		text, rights = text[n:], nil
	}
	return nil
}

// loadFilter adds the call, and keeps the listener's descriptor.
func (e *env) loadFilter(prog []unix.SockFilter, flags uint32) {
	e.p.Note("load seccomp filter")
	args := []plan.Arg{plan.Int(unix.SECCOMP_SET_MODE_FILTER), plan.Int(flags), e.p.Program(prog)}
	if flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
		e.p.Call(plan.InChild, unix.SYS_SECCOMP, args)
	} else {
		e.listener = e.p.Open(plan.InChild, "listener", unix.SYS_SECCOMP, args)
	}
	if notifies(e.spec) {
		e.p.Note("wait for the seccomp agent")
		e.waitFor("listener")
	}
}
