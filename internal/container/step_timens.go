package container

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/oci"
	"golang.org/x/sys/unix"
)

// timensHost sets the clocks for a child in a user namespace: its own files of
// procfs are root's of the host, since it is not dumpable.
func timensHost(e *env) error {
	if _, user := oci.HasNamespace(e.spec, specs.UserNamespace); !user || len(e.spec.Linux.TimeOffsets) == 0 {
		return nil
	}
	e.newGate(Gate{Name: "time-offsets", Meet: true, Work: func(p spawn.Process) error {
		file := fmt.Sprintf("/proc/%d/timens_offsets", p.Pid)                      // our child's, and not reaped
		if err := os.WriteFile(file, []byte(timeOffsets(e.spec)), 0); err != nil { //nolint:forbidigo // a file of procfs
			return fmt.Errorf("set time offsets: %w", unwrapPath(err))
		}
		return nil
	}})
	return nil
}

// timeOffsets are the clocks as /proc/PID/timens_offsets takes them.
func timeOffsets(s *specs.Spec) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Linux.TimeOffsets)) {
		o := s.Linux.TimeOffsets[name]
		fmt.Fprintf(&text, "%s %d %d\n", name, o.Secs, o.Nanosecs)
	}
	return text.String()
}

// timensChild makes a time namespace, sets its clocks and enters it. unshare
// affects only children (and exec, since Linux 6.3): setns enters at once, on
// every kernel.
func timensChild(e *env) error {
	e.p.Note("make time namespace")
	e.p.Call(plan.InChild, unix.SYS_UNSHARE, []plan.Arg{plan.Int(unix.CLONE_NEWTIME)})
	proc := e.procfs()
	if len(e.gates.of("timens")) > 0 {
		e.p.Note("wait for the time offsets")
		e.waitFor("timens")
	} else if text := timeOffsets(e.spec); text != "" {
		e.p.Note("set time offsets")
		fd := e.p.Openat2(plan.InChild, "timens_offsets", proc.Arg(), "self/timens_offsets", unix.O_WRONLY, 0, inProc)
		e.p.Write(plan.InChild, fd.Arg(), text, plan.Want(int64(len(text))))
	}
	e.p.Note("enter time namespace")
	ns := e.p.Open(plan.InChild, "time_for_children", unix.SYS_OPENAT, []plan.Arg{
		proc.Arg(), e.p.Str("self/ns/time_for_children"), plan.Int(unix.O_RDONLY | unix.O_CLOEXEC), plan.Int(0),
	})
	e.p.Setns(plan.InChild, ns, unix.CLONE_NEWTIME)
	return nil
}

// procfs returns a private procfs mount of the child's pid namespace. What is
// written through it cannot be redirected by mounts of the container
// (CVE-2019-16884, CVE-2025-52881).
func (e *env) procfs() plan.Slot {
	if e.proc == 0 {
		fs := e.p.Fsopen(plan.InChild, "proc")
		e.p.FsString(plan.InChild, fs, "source", "proc") // what mountinfo shows
		e.p.FsCreate(plan.InChild, fs)
		e.proc = e.p.Fsmount(plan.InChild, "proc", fs, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	}
	return e.proc
}

// procfsChild opens procfs for the steps that need it, before the mounts.
func procfsChild(e *env) error {
	e.p.Note("mount procfs privately")
	e.procfs()
	return nil
}
