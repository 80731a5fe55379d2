package engine

import (
	"os"
	"strconv"
	"syscall"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor/wire"
	"golang.org/x/sys/unix"
)

// HelperCommand is the hidden command that the engine runs of its own program:
// what a starter does, and a keeper's last act.
const HelperCommand = wire.HelperCommand

// helperArgs are the arguments of this program as a helper, its path first.
func (e *Engine) helperArgs(args ...string) ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return append([]string{exe, "--root", e.opt.Root, "--run-root", e.opt.RunRoot, HelperCommand}, args...), nil
}

// sendHelper starts a helper that outlives this process and is not waited
// for.
func (e *Engine) sendHelper(args ...string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	fd := null.Fd()
	_, err = e.forkHelper([]uintptr{fd, fd, fd}, args)
	return err
}

// forkHelper starts a helper in a session of its own.
func (e *Engine) forkHelper(files []uintptr, args []string) (pid int, err error) {
	argv, err := e.helperArgs(args...)
	if err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fault.New(fault.KindOf(err), "start %s: %w", argv[0], err)
	}
	return pid, nil
}

// listenFDs is the number of descriptors, from 3 on, that a service manager
// has given this process for its container (sd_listen_fds(3)).
func listenFDs() int {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(unix.Getpid()) {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1000 {
		return 0
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }
