package ground

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// HelperArgs are the arguments of this program as a helper, its path first.
func (g *Ground) HelperArgs(args ...string) ([]string, error) {
	exe, err := g.Tare()
	if err != nil {
		return nil, err
	}
	return append([]string{exe, "--root", g.Root, "--run-root", g.RunRoot, wire.HelperCommand}, args...), nil
}

// SendHelper starts a helper that outlives this process and is not waited
// for.
func (g *Ground) SendHelper(args ...string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	fd := null.Fd()
	return g.ForkHelper([]uintptr{fd, fd, fd}, args)
}

// ForkHelper starts a helper in a session of its own.
func (g *Ground) ForkHelper(files []uintptr, args []string) error {
	argv, err := g.HelperArgs(args...)
	if err != nil {
		return err
	}
	_, err = g.Fork(argv[0], argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return err
}

// Fork starts a process that lives for itself, and is this one's child: it is
// reaped, some time after its end, when the next one is started.
func (g *Ground) Fork(bin string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	g.children.reap()
	pid, err = syscall.ForkExec(bin, argv, attr)
	if err != nil {
		return 0, fault.New(fault.KindOf(err), "start %s: %w", bin, err)
	}
	g.children.add(pid)
	return pid, nil
}

// children are processes that nobody waits for. A command ends before they do;
// a server would keep the dead ones.
type children struct {
	mu   sync.Mutex
	pids []int
}

func (c *children) add(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pids = append(c.pids, pid)
}

func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pids = slices.DeleteFunc(c.pids, func(pid int) bool {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		return got == pid || errors.Is(err, unix.ECHILD)
	})
}
