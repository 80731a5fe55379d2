package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const namespaceMark = "TARE_BENCH_NAMESPACE"

func inNamespace() bool { return os.Getenv(namespaceMark) != "" }

// enterNamespace runs the harness again in a mount namespace of its own, which
// takes all mounts away that engines leave behind.
func enterNamespace() error {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), namespaceMark+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return c.Run()
}

// hideUnified unmounts the v2 hierarchy of a hybrid machine, here only, so
// that all engines work with the same cgroups: crun (to 1.8 at least) refuses
// a hybrid machine whose v2 side has controllers.
func hideUnified() (bool, error) {
	err := unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return false, nil // not a mount point, or not there: nothing to hide
	}
	return false, err
}
