package container

import (
	"strconv"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// stdio is what becomes the program's descriptors, with a pty for the first
// three instead.
type stdio struct {
	slots     [3]plan.Slot
	preserved []plan.Slot // 3 and up
}

// stdioHost takes the descriptors that become 0, 1 and 2. One that is already
// in its place needs no op; any other must not lie in another's place.
func stdioHost(e *env) error {
	for fd := 3; fd < 3+e.cfg.PreserveFDs; fd++ {
		e.stdio.preserved = append(e.stdio.preserved, e.p.Given("descriptor "+strconv.Itoa(fd), fd))
	}
	if e.spec.Process.Terminal {
		return nil
	}
	e.giveStdio()
	for i, fd := range [3]int{e.cfg.Stdin, e.cfg.Stdout, e.cfg.Stderr} {
		switch {
		case fd < 0 || fd == i:
		case fd < 3:
			return fault.New(fault.Internal, "stdio %d: descriptor %d is in the way", i, fd)
		default:
			e.stdio.slots[i] = e.p.Given([3]string{"stdin", "stdout", "stderr"}[i], fd)
		}
	}
	return nil
}

// sessionChild gives the container a session and its standard descriptors.
func sessionChild(e *env) error {
	e.p.Note("new session")
	e.p.Call(plan.InChild, unix.SYS_SETSID, nil)
	for i, s := range e.stdio.preserved {
		e.p.Note("keep descriptor " + strconv.Itoa(3+i))
		e.p.Call(plan.InChild, unix.SYS_FCNTL, []plan.Arg{s.Arg(), plan.Int(unix.F_SETFD), plan.Int(0)})
	}
	if e.cfg.Keyring != "" {
		// Else the container would have the caller's keys.
		e.p.Note("new session keyring")
		e.p.Call(plan.InChild, unix.SYS_KEYCTL, []plan.Arg{plan.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), e.p.Str(e.cfg.Keyring)},
			plan.OK(unix.ENOSYS))
	}
	if e.spec.Process.Terminal {
		e.p.Note("take the terminal")
		e.p.Call(plan.InChild, unix.SYS_IOCTL, []plan.Arg{e.console.pty.Arg(), plan.Int(unix.TIOCSCTTY), plan.Int(0)})
		for fd := range 3 {
			e.p.Call(plan.InChild, unix.SYS_DUP3, []plan.Arg{e.console.pty.Arg(), plan.Int(fd), plan.Int(0)})
		}
		return nil
	}
	for fd, given := range [3]int{e.cfg.Stdin, e.cfg.Stdout, e.cfg.Stderr} {
		if given == fd {
			continue
		}
		e.p.Note("standard descriptors")
		from := e.stdio.slots[fd]
		if given < 0 {
			// The container's own node: through the host's, a chmod would
			// reach the host.
			from = e.open("/dev/null", unix.O_RDWR)
			if e.cfg.join != nil {
				// In a container that runs, something else may lie there
				// (CVE-2025-31133).
				e.p.WantDevice(plan.InChild, from, 1, 3)
			}
		}
		e.p.Call(plan.InChild, unix.SYS_DUP3, []plan.Arg{from.Arg(), plan.Int(fd), plan.Int(0)})
	}
	return nil
}

// cwdChild opens the working directory inside the root, and makes it if it is
// missing, while the root is still writable. It is entered by descriptor:
// /proc/self/fd/N as a working directory is refused (CVE-2024-21626).
func cwdChild(e *env) error {
	cwd := e.spec.Process.Cwd
	if cwd == "" || cwd[0] != '/' {
		return fault.New(fault.Invalid, "working directory %q: not absolute", cwd)
	}
	e.p.Note("working directory " + cwd)
	e.root.cwd = e.target(cwd, true, 0o755)
	return nil
}
