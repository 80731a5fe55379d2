package container

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// hookAt says where a hook's process runs.
type hookAt struct {
	flags uint64                                                                // namespaces of into to join
	into  spawn.Process                                                         // the container's process
	root  int                                                                   // a directory to work in instead of dir, if not 0
	dir   string                                                                // working directory
	begin func(hook *specs.Hook, at hookAt, in, out int) (spawn.Process, error) // nil: besideContainer
}

// hookResult is how a hook ended.
type hookResult struct {
	status spawn.Status
	late   bool   // it was killed for its time was over
	said   string // the end of what it wrote, in one line
}

// hookOutput is how much of a hook's output an error shows.
const hookOutput = 2048

// execute runs one hook to its end. An error means that it was not executed.
func (h *Hooks) execute(hook *specs.Hook, input []byte, at hookAt) (res hookResult, err error) {
	in, err := sealed(input)
	if err != nil {
		return res, err
	}
	defer func() { _ = unix.Close(in) }()
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return res, fmt.Errorf("pipe: %w", err)
	}
	defer func() { _ = unix.Close(out[0]) }()
	begin := h.besideContainer
	if at.begin != nil {
		begin = at.begin
	}
	child, err := begin(hook, at, in, out[1])
	_ = unix.Close(out[1])
	if err != nil {
		return res, err
	}
	defer child.Release()
	return watchHook(hook, child, out[0])
}

// inContainer begins a hook as a further process of the container, with the
// rights of its first.
func (h *Hooks) inContainer(hook *specs.Hook, at hookAt, in, out int) (spawn.Process, error) {
	process := *h.Spec.Process
	process.Args, process.Env = argsOf(hook), hook.Env
	process.Cwd, process.Terminal, process.OOMScoreAdj = "/", false, nil
	c, err := Exec(ExecConfig{
		Init: at.into, Spec: h.Spec, Process: &process, Program: hook.Path, State: h.State,
		Stdin: in, Stdout: out, Stderr: out, Layout: h.Layout, Facts: h.Facts, Warn: func(string) {},
	})
	if err != nil {
		return spawn.Process{}, err
	}
	return c.Process, c.Start()
}

// besideContainer begins a hook with the rights of this process.
func (h *Hooks) besideContainer(hook *specs.Hook, at hookAt, in, out int) (spawn.Process, error) {
	run, err := spawn.New(h.plan(hook, at, in, out))
	if err != nil {
		return spawn.Process{}, err
	}
	defer run.Close()
	child, err := run.Clone(spawn.Options{})
	if err == nil && at.flags&unix.CLONE_NEWPID != 0 {
		child, err = run.Forked()
	}
	if err != nil {
		return spawn.Process{}, err
	}
	if err := run.WaitExec(); err != nil {
		child.Release()
		return spawn.Process{}, err
	}
	return child, nil
}

func argsOf(hook *specs.Hook) []string {
	if len(hook.Args) == 0 {
		return []string{hook.Path}
	}
	return hook.Args
}

// sealed returns a descriptor to read data from that nobody can change.
func sealed(data []byte) (int, error) {
	fd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("memfd: %w", err)
	}
	for n := 0; n < len(data) && err == nil; {
		var m int
		m, err = unix.Pwrite(fd, data[n:], int64(n))
		n += m
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("write state: %w", err)
	}
	return fd, nil
}

// plan is what such a hook's process does: join the container, if that is
// where it belongs, take its descriptors, execute.
func (h *Hooks) plan(hook *specs.Hook, at hookAt, in, out int) *plan.Plan {
	p := plan.New()
	p.Begin("hook")
	stdin, output := p.Given("state", in), p.Given("output", out)
	e := &env{p: p}
	if at.flags != 0 {
		p.Note("join the container")
		p.Setns(plan.InChild, p.Given("container", at.into.Pidfd), int(at.flags)) // pidfd: Linux 5.8
		if at.flags&unix.CLONE_NEWUSER != 0 {
			e.becomeRoot()
		}
		if at.flags&unix.CLONE_NEWPID != 0 {
			p.Fork()
		}
	}
	switch {
	case at.root != 0:
		p.Note("enter the root file system")
		p.Call(plan.InChild, unix.SYS_FCHDIR, []plan.Arg{p.Given("root", at.root).Arg()})
	case at.dir != "":
		p.Note("enter " + at.dir)
		p.Call(plan.InChild, unix.SYS_CHDIR, []plan.Arg{p.Str(at.dir)})
	}
	p.Note("new session")
	p.Call(plan.InChild, unix.SYS_SETSID, nil)
	for fd, from := range [3]plan.Slot{stdin, output, output} {
		p.Call(plan.InChild, unix.SYS_DUP3, []plan.Arg{from.Arg(), plan.Int(fd), plan.Int(0)})
	}
	if l := h.Facts.NoFile; l != [2]uint64{} { // Go raised it
		p.Note("restore RLIMIT_NOFILE")
		p.Rlimit(plan.InChild, unix.RLIMIT_NOFILE, l[0], l[1])
	}
	e.unblockSignals()
	p.Note("execute")
	p.Exec([]string{hook.Path}, argsOf(hook), hook.Env)
	return p
}

// watchHook waits for the end of a hook. Its output is not waited for: what
// it left running may hold that for ever.
func watchHook(hook *specs.Hook, p spawn.Process, out int) (res hookResult, err error) {
	var said []byte
	var deadline time.Time
	if hook.Timeout != nil {
		deadline = time.Now().Add(time.Duration(*hook.Timeout) * time.Second)
	}
	fds := []unix.PollFd{{Fd: int32(p.Pidfd), Events: unix.POLLIN}, {Fd: int32(out), Events: unix.POLLIN}}
	for fds[0].Revents == 0 {
		left := -1
		if !deadline.IsZero() && !res.late {
			left = max(0, int(time.Until(deadline).Milliseconds()))
		}
		n, err := unix.Poll(fds, left)
		if err != nil && err != unix.EINTR {
			return res, fmt.Errorf("wait: %w", err)
		}
		if n == 0 && err == nil && time.Now().After(deadline) {
			res.late = true
			// Its session: the process is our child and not reaped, so the
			// number is still its own.
			_ = unix.Kill(-p.Pid, unix.SIGKILL)
			_ = p.Signal(unix.SIGKILL)
		}
		if fds[1].Revents != 0 && !drain(out, &said) {
			fds[1].Fd = -1
		}
	}
	drain(out, &said)
	res.status, err = p.Wait()
	res.said = oneLine(said)
	return res, err
}

// drain reads what is there and keeps its end; false when there will be no
// more.
func drain(fd int, said *[]byte) bool {
	var buf [4096]byte
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err == unix.EAGAIN
		case n == 0:
			return false
		}
		*said = append(*said, buf[:n]...)
		if over := len(*said) - hookOutput; over > 0 {
			*said = append((*said)[:0], (*said)[over:]...)
		}
	}
}

// oneLine makes one line of text that a program has written.
func oneLine(b []byte) string {
	var parts []string
	for line := range bytes.Lines(b) {
		if s := strings.TrimSpace(strings.ToValidUTF8(string(line), "?")); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.Join(parts, "; "))
}
