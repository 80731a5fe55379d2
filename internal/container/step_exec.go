package container

import (
	"fmt"
	"strings"

	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// execChild adds one execve for each place where the program may be. The
// search happens in the container, with the container's PATH.
func execChild(e *env) error {
	args := e.spec.Process.Args
	if len(args) == 0 {
		return fault.New(fault.Invalid, "no command")
	}
	if args[0] == "" {
		return &ExecError{Errno: unix.ENOENT} // no file has that name
	}
	for _, list := range [2][]string{args, e.spec.Process.Env} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return fault.New(fault.Invalid, "argument or variable %q: has a NUL byte", s)
			}
		}
	}
	e.p.Note("exec: " + args[0])
	name := args[0]
	if e.cfg.Program != "" {
		name = e.cfg.Program
	}
	e.p.Exec(candidates(name, e.spec.Process.Env), args, e.spec.Process.Env)
	return nil
}

// candidates lists the paths that name may stand for. There are none when the
// environment has no PATH.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	path := ""
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p // the last wins
		}
	}
	if path == "" {
		return nil
	}
	var list []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		list = append(list, strings.TrimSuffix(dir, "/")+"/"+name)
	}
	return list
}

// ExecError says that the container was made but its program could not be
// executed. The text is the one that other engines print and scripts look
// for.
type ExecError struct {
	Name  string
	Errno unix.Errno
}

func (e *ExecError) Error() string {
	if e.Errno == unix.ENOENT && !strings.Contains(e.Name, "/") {
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", e.Name)
	}
	return fmt.Sprintf("exec: %q: %v", e.Name, e.Errno)
}

func (e *ExecError) Unwrap() error { return e.Errno }

// FaultCode is the shell's: 127 for a program that is not there, 126 for one that
// cannot be executed.
func (e *ExecError) FaultCode() int {
	if e.NotFound() {
		return exit.NotFound
	}
	return exit.NotExecutable
}

// NotFound reports whether the program is not there (exit code 127); else it
// is there and cannot be executed (126).
func (e *ExecError) NotFound() bool { return e.Errno == unix.ENOENT || e.Errno == unix.ENOTDIR }
