package keeper

import (
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probe is the health check: tare does it, as a child, and prints how many ns
// later it wants to be called again.
type probe struct {
	at  time.Time
	pid int
	fd  int // what it prints; -1: none runs
}

func (k *keeper) startProbe() {
	p := &k.probe
	p.at = time.Now().Add(time.Duration(k.Probe)) // where it cannot be started
	var pipe [2]int
	if unix.Pipe2(pipe[:], unix.O_CLOEXEC) != nil {
		return
	}
	pid, err := syscall.ForkExec(k.settings.Tare, k.helper("probe"), &syscall.ProcAttr{Files: []uintptr{0, uintptr(pipe[1]), 2}})
	_ = unix.Close(pipe[1])
	if err != nil {
		_ = unix.Close(pipe[0])
		return
	}
	p.pid, p.fd, p.at = pid, pipe[0], time.Time{}
}

// endProbe ends the check that runs, whose container has ended: this process becomes
// another program, which knows nothing of a child.
func (k *keeper) endProbe() {
	if k.probe.pid == 0 {
		return
	}
	_ = unix.Kill(k.probe.pid, unix.SIGKILL) // our child, and not reaped
	k.reapProbe()
}

func (k *keeper) reapProbe() {
	for {
		if _, err := unix.Wait4(k.probe.pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	k.probe.pid = 0
}

// probed takes the answer. A probe ends with it.
func (k *keeper) probed() {
	p := &k.probe
	var b [32]byte
	n, err := unix.Read(p.fd, b[:])
	if err == unix.EINTR {
		return
	}
	next := k.Probe
	if n > 1 {
		if ns, err := strconv.ParseInt(string(b[:n-1]), 10, 64); err == nil {
			next = max(ns, int64(time.Millisecond))
		}
	}
	_ = unix.Close(p.fd)
	k.reapProbe()
	p.fd, p.at = -1, time.Now().Add(time.Duration(next))
}
