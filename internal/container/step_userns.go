package container

import (
	"fmt"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// idMapText renders mappings as /proc/PID/uid_map takes them.
func idMapText(maps []specs.LinuxIDMapping) string {
	var b []byte
	for _, m := range maps {
		b = strconv.AppendUint(b, uint64(m.ContainerID), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(m.HostID), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(m.Size), 10)
		b = append(b, '\n')
	}
	return string(b)
}

func usernsHost(e *env) error {
	l := e.spec.Linux
	if len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0 {
		return fault.New(fault.Invalid, "user namespace: uidMappings and gidMappings are required")
	}
	e.newGate(Gate{Name: "id-map", Work: func(p spawn.Process) error { return writeIDMaps(p, l.UIDMappings, l.GIDMappings) }})
	return nil
}

// usernsChild waits for the id map and becomes root inside.
func usernsChild(e *env) error {
	e.p.Note("wait for the id map")
	e.waitFor("userns")
	e.becomeRoot()
	return nil
}

// hasGID reports whether the container's user namespace has a group id.
func (e *env) hasGID(text string) bool {
	gid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return true // for the kernel to judge
	}
	if !ownUserNS(e.spec) {
		return e.cfg.Facts.HasGID(uint32(gid))
	}
	for _, m := range e.spec.Linux.GIDMappings {
		if gid >= uint64(m.ContainerID) && gid < uint64(m.ContainerID)+uint64(m.Size) {
			return true
		}
	}
	return false
}

func (e *env) becomeRoot() {
	e.p.Note("become root of the user namespace")
	zero := []plan.Arg{plan.Int(0), plan.Int(0), plan.Int(0)}
	e.p.Call(plan.InChild, unix.SYS_SETRESGID, zero)
	e.p.Call(plan.InChild, unix.SYS_SETRESUID, zero)
	// setresuid from an unmapped id leaves full capabilities, and clears
	// dumpable only where ids changed.
	e.p.Prctl(plan.InChild, unix.PR_SET_DUMPABLE, 0, 0)
}

// writeIDMaps writes the maps of a waiting child. Its /proc directory cannot
// be another process's: it is our child and not reaped.
func writeIDMaps(p spawn.Process, uids, gids []specs.LinuxIDMapping) error {
	dir := fmt.Sprintf("/proc/%d/", p.Pid)
	for _, f := range []struct{ name, text string }{
		{"uid_map", idMapText(uids)},
		{"gid_map", idMapText(gids)},
	} {
		if err := os.WriteFile(dir+f.name, []byte(f.text), 0); err != nil { //nolint:forbidigo // a file of procfs
			return fmt.Errorf("write %s: %w", f.name, unwrapPath(err))
		}
	}
	return nil
}

func unwrapPath(err error) error {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // made by the call above
		return pe.Err
	}
	return err
}

// idmapFD returns a user namespace with the given maps, for idmapped mounts.
// It lives in a child that waits at a gate until the namespace is open.
func idmapFD(uids, gids []specs.LinuxIDMapping) (int, error) {
	p := plan.New()
	p.Begin("idmap")
	var write int
	read := p.HostSlot("gate:idmap")
	p.Do(plan.Text(), func(s plan.Slots) error {
		var fd [2]int
		if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("pipe: %w", err)
		}
		s.Set(read, fd[0])
		write = fd[1]
		return nil
	})
	p.Gate(read)
	run, err := spawn.New(p)
	if err != nil {
		return -1, err
	}
	defer run.Close()
	if err := run.Host(spawn.Options{}); err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(write) }()
	child, err := run.Clone(spawn.Options{Flags: unix.CLONE_NEWUSER})
	_ = unix.Close(run.Get(read))
	if err != nil {
		return -1, err
	}
	defer func() {
		_ = child.Signal(unix.SIGKILL)
		_, _ = child.Wait()
		child.Release()
	}()
	if err := writeIDMaps(child, uids, gids); err != nil {
		return -1, err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", child.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open user namespace for id map: %w", err)
	}
	return fd, nil
}

// userNSMap returns a user namespace with the container's map, for idmapped
// mounts; 0 where the container has none of its own.
func (e *env) userNSMap() plan.Slot {
	if ownUserNS(e.spec) {
		return e.idmapSlot(e.spec.Linux.UIDMappings, e.spec.Linux.GIDMappings)
	}
	for _, j := range e.ns.joins {
		if j.flag == unix.CLONE_NEWUSER {
			return j.fd
		}
	}
	return 0
}

// idmapSlot adds the host action that makes such a namespace.
func (e *env) idmapSlot(uids, gids []specs.LinuxIDMapping) plan.Slot {
	s := e.p.HostSlot("userns:idmap")
	text := func() []string {
		return []string{
			"clone3({flags=CLONE_NEWUSER|CLONE_PIDFD})",
			fmt.Sprintf("write(/proc/PID/uid_map, %q)", idMapText(uids)),
			fmt.Sprintf("write(/proc/PID/gid_map, %q)", idMapText(gids)),
			"open(/proc/PID/ns/user, O_RDONLY|O_CLOEXEC) = [userns:idmap]",
		}
	}
	e.p.Do(text, func(v plan.Slots) error {
		fd, err := idmapFD(uids, gids)
		if err != nil {
			return err
		}
		e.ends.own = append(e.ends.own, fd)
		v.Set(s, fd)
		return nil
	})
	return s
}
