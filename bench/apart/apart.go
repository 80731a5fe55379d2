// Package apart keeps what the benchmarks start away from the rest of the machine:
// namespaces of their own, and nothing left in the cgroup file systems.
package apart

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const inside = "TARE_BENCH_INSIDE"

// Inside says that this program was started by [Enter].
func Inside() bool { return os.Getenv(inside) != "" }

// Enter runs this program again, with the same arguments, in mount, network, pid,
// UTS and IPC namespaces of its own, and returns when it has ended.
func Enter() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL,
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	return cmd.Run()
}

// EndGroup ends a daemon that was started in a process group of its own: with
// SIGTERM, and after ten seconds with SIGKILL.
func EndGroup(cmd *exec.Cmd) {
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGTERM)
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
}

// Cgroups lists the directories of these names at the top of the cgroup file
// systems, of each hierarchy.
func Cgroups(names ...string) []string {
	var out []string
	for _, name := range names {
		for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
			if found, err := filepath.Glob(pattern); err == nil {
				out = append(out, found...)
			}
		}
	}
	return out
}

// RemoveCgroup removes an empty tree of cgroups, deepest first. One that is in use
// stays.
func RemoveCgroup(dir string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list {
		if e.IsDir() {
			RemoveCgroup(filepath.Join(dir, e.Name()))
		}
	}
	_ = unix.Rmdir(dir)
}
