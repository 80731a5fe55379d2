// Package rootless lets an ordinary user run the same engine: the program
// starts itself once more inside a user and mount namespace in which the user
// is root, and everything else is values (id maps, missing cgroups).
package rootless

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/container/stdio/signals"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/linux/spawn/nofile"
	"golang.org/x/sys/unix"
)

// Roots returns the data root and the run root of a user without privileges,
// as the XDG base directory specification has them.
func Roots() (root, run string) {
	root = os.Getenv("XDG_DATA_HOME")
	if root == "" {
		root = os.Getenv("HOME") + "/.local/share"
	}
	run = os.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		run = shared()
	}
	return root + "/tare", run + "/tare"
}

// shared is a run directory where everybody may make one.
func shared() string { return "/tmp/tare-run-" + strconv.Itoa(host.UID()) }

// own makes the directory or makes sure that it is the user's alone: whoever
// made it first could tell us what to clean up.
func own(dir string, uid int) error {
	if err := unix.Mkdir(dir, 0o700); err == nil || err != unix.EEXIST {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != uid || st.Mode&0o022 != 0 {
		return fault.New(fault.Denied, "not a directory of this user alone")
	}
	return nil
}

// Run executes this program with args and env in new user and mount
// namespaces, forwards signals, and returns its exit code. runRoot is the run
// root that it will use.
func Run(args, env []string, runRoot string) (int, error) {
	if dir := shared(); strings.HasPrefix(runRoot, dir+"/") {
		if err := own(dir, host.UID()); err != nil {
			return 0, fault.WithHint(fmt.Errorf("run root %s: %w", dir, err), "set XDG_RUNTIME_DIR")
		}
	}
	// The gate is the only descriptor that the child needs beside 0, 1 and 2.
	var gate [2]int
	if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(gate[1]) }()
	p := plan.New()
	p.Begin("rootless")
	p.Note("wait for the id map")
	p.Gate(p.Given("gate", gate[0]))
	return again(p, args, env, unix.CLONE_NEWUSER|unix.CLONE_NEWNS, func(child spawn.Process, err error) error {
		_ = unix.Close(gate[0])
		if err != nil {
			return fault.WithHint(fmt.Errorf("make a user namespace: %w", err), "this system may forbid them to users; run tare as root")
		}
		if err := writeMaps(child.Pid); err != nil {
			return err
		}
		_, err = unix.Write(gate[1], []byte{1})
		return err
	})
}

// Join executes this program with args and env in the user namespace of a
// process that pidfd stands for, as its root, forwards signals, and returns
// its exit code.
func Join(pidfd int, args, env []string) (int, error) {
	p := plan.New()
	p.Begin("rootless")
	p.Note("stay unreadable until exec")
	p.Prctl(plan.InChild, unix.PR_SET_DUMPABLE, 0, 0)
	p.Note("join the container's user namespace")
	p.Setns(plan.InChild, p.Given("init", pidfd), unix.CLONE_NEWUSER)
	return again(p, args, env, 0, func(_ spawn.Process, err error) error { return err })
}

// again clones, and executes this program at the end of p; cloned does what
// the child waits for.
func again(p *plan.Plan, args, env []string, flags uint64, cloned func(spawn.Process, error) error) (int, error) {
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	becomeRoot(p, exe, args, env)
	run, err := spawn.New(p)
	if err != nil {
		return 0, err
	}
	defer run.Close()
	sig, err := signals.Catch(true, false)
	if err != nil {
		return 0, err
	}
	child, err := run.Clone(spawn.Options{Flags: flags})
	if err := cloned(child, err); err != nil {
		if child.Pid != 0 {
			_ = child.Signal(unix.SIGKILL)
			_, _ = child.Wait()
			child.Release()
		}
		return 0, err
	}
	defer child.Release()
	if err := run.WaitExec(); err != nil {
		return 0, err
	}
	status, err := stdio.Wait(sig, child, nil)
	return status.ExitCode(), err
}

func becomeRoot(p *plan.Plan, exe string, args, env []string) {
	p.Note("become root of the user namespace")
	zero := []plan.Arg{plan.Int(0), plan.Int(0), plan.Int(0)}
	p.Call(plan.InChild, unix.SYS_SETRESGID, zero)
	p.Call(plan.InChild, unix.SYS_SETRESUID, zero)
	p.Note("restore RLIMIT_NOFILE")
	p.Rlimit(plan.InChild, unix.RLIMIT_NOFILE, nofile.Soft, nofile.Hard)
	p.Call(plan.InChild, unix.SYS_RT_SIGPROCMASK, []plan.Arg{
		plan.Int(unix.SIG_SETMASK), p.Bytes(make([]byte, 8)), plan.Int(0), plan.Int(8),
	})
	p.Begin("exec")
	p.Exec([]string{exe}, args, env)
}

// writeMaps gives the child the user's own id as root and, where the system
// has set ids aside for the user and the setuid helpers are there, those from
// 1 on. Without them root is the only id.
func writeMaps(pid int) error {
	uid, gid := host.UID(), host.GID()
	// Whether the ranges are this user's is for the setuid helpers to judge.
	uids, gids := host.SubIDs(os.Getenv("USER"), strconv.Itoa(uid))
	newuidmap, uerr := exec.LookPath("newuidmap")
	newgidmap, gerr := exec.LookPath("newgidmap")
	if len(uids) > 0 && uerr == nil && gerr == nil {
		if err := helper(newuidmap, pid, uid, uids); err != nil {
			return err
		}
		return helper(newgidmap, pid, gid, gids)
	}
	dir := "/proc/" + strconv.Itoa(pid)
	for _, f := range []struct{ name, text string }{
		{"/setgroups", "deny"}, // the kernel's condition for a map of one's own group (CVE-2014-8989)
		{"/uid_map", fmt.Sprintf("0 %d 1", uid)},
		{"/gid_map", fmt.Sprintf("0 %d 1", gid)},
	} {
		if err := os.WriteFile(dir+f.name, []byte(f.text), 0); err != nil { //nolint:forbidigo // a file of procfs
			return fmt.Errorf("map ids: %w", err)
		}
	}
	return nil
}

func helper(path string, pid, id int, ranges []host.IDRange) error {
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(id), "1"}
	next := uint32(1)
	for _, r := range ranges {
		args = append(args, strconv.Itoa(int(next)), strconv.Itoa(int(r.First)), strconv.Itoa(int(r.Count)))
		next += r.Count
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return fault.New(fault.Denied, "map ids: %s: %s", path, out)
	}
	return nil
}
