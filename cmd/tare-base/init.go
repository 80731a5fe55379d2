package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// runInit is process 1 of a container with --init: it starts the command,
// forwards every signal to it, reaps what is left behind by others, and ends
// as the command does. It has no link in the image.
func runInit(p *proc, args []string) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.fatalf(125, "usage: tare-init -- COMMAND [ARG...]")
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)

	path, err := exec.LookPath(args[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	if err != nil {
		p.failf("%s: %s", args[0], reason(errors.Unwrap(err)))
		p.exit(execCode(err))
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}
	// The command leads the terminal's foreground, so that what is typed
	// reaches it and not its init.
	attr.Sys = &syscall.SysProcAttr{Setpgid: true}
	if pgrp, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil && pgrp == unix.Getpgrp() {
		attr.Sys.Foreground = true
	}
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		p.failf("%s: %s", args[0], reason(err))
		p.exit(execCode(err))
	}
	for sig := range signals {
		switch sig {
		case unix.SIGCHLD:
			if code, ended := reap(pid); ended {
				p.exit(code)
			}
		case unix.SIGURG, unix.SIGTTIN, unix.SIGTTOU:
			// The first is the Go runtime's own.
		default:
			_ = unix.Kill(pid, sig.(syscall.Signal)) // it may have ended
		}
	}
}

// reap waits for every child that has ended, and tells how pid has.
func reap(pid int) (code int, ended bool) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || got == 0:
			return code, ended
		case got == pid && ws.Signaled():
			code, ended = 128+int(ws.Signal()), true
		case got == pid && ws.Exited():
			code, ended = ws.ExitStatus(), true
		}
	}
}
