package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// call sees every simple command before the interpreter looks at it, and may
// put another in its place.
func (s *shell) call(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	j := s.jobOf(hc.Env)
	if j != nil && args[0] != markDone {
		s.mu.Lock()
		killed := j.killed
		s.mu.Unlock()
		if killed != 0 {
			return nil, errKilled
		}
	}
	if j == nil && !strings.HasPrefix(args[0], "__tare_") {
		if line := s.pending(args); line != nil {
			return line, nil
		}
	}
	switch args[0] {
	case markExec:
		if len(args) == 1 {
			return []string{"exec"}, nil
		}
		return s.replaceShell(hc, args[1:])
	case markTail:
		args = args[1:]
		s.mu.Lock()
		trapped := len(s.traps) > 0
		s.mu.Unlock()
		if len(args) > 0 && !interp.IsBuiltin(args[0]) && !trapped {
			return s.replaceShell(hc, args)
		}
		if len(args) == 0 {
			return []string{"true"}, nil
		}
		return s.call(ctx, args)
	case markFork:
		s.mu.Lock()
		s.jobs = append(s.jobs, &job{started: make(chan struct{}), done: make(chan struct{})})
		n := len(s.jobs)
		s.mu.Unlock()
		return []string{"eval", jobVar + "=" + strconv.Itoa(n)}, nil
	case markForked:
		return []string{"unset", jobVar}, nil
	case markDone:
		if j != nil {
			s.finish(j, hc.LastExitStatus)
		}
		return []string{"true"}, nil
	case markPid:
		s.printPid(hc.Stdout)
		return []string{"true"}, nil
	case "printf":
		if len(args) > 1 && hasFloat(args[1]) {
			return append([]string{"env"}, args...), nil
		}
	case "eval":
		return evalArgs(args), nil
	case "wait":
		return s.wait(ctx, args[1:]), nil
	case "kill":
		return s.kill(args), nil
	case "jobs", "fg", "bg":
		return s.listJobs(hc, args[0]), nil
	case "trap":
		return s.trap(hc, args)
	case "ulimit":
		return status(ulimit(hc, args[1:])), nil
	case "umask":
		return status(setUmask(hc, args[1:])), nil
	case "logout":
		return []string{"exit"}, nil
	}
	return args, nil
}

// status is a command that does nothing but end with n.
func status(n int) []string { return []string{markStatus, strconv.Itoa(n)} }

// evalArgs rewrites the text of eval as the rest of the script was.
func evalArgs(args []string) []string {
	f, err := syntax.NewParser().Parse(strings.NewReader(strings.Join(args[1:], " ")), "")
	if err != nil {
		return args
	}
	rewriteJobs(f)
	var b strings.Builder
	if err := syntax.NewPrinter().Print(&b, f); err != nil {
		return args
	}
	return []string{"eval", b.String()}
}

// pending returns what to run when a trapped signal has come: its action, and
// then the command that was about to run.
func (s *shell) pending(args []string) []string {
	select {
	case sig := <-s.signals:
		if line, ok := s.action(sig, args...); ok {
			return line
		}
	default:
	}
	return nil
}

func (s *shell) action(sig os.Signal, args ...string) ([]string, bool) {
	n, ok := sig.(syscall.Signal)
	s.mu.Lock()
	text, trapped := s.traps[n]
	s.mu.Unlock()
	if !ok || !trapped {
		return nil, false
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		q, err := syntax.Quote(a, syntax.LangBash)
		if err != nil {
			return nil, false
		}
		quoted[i] = q
	}
	return []string{"eval", text + "\n" + strings.Join(quoted, " ")}, true
}

func (s *shell) trap(hc interp.HandlerContext, args []string) ([]string, error) {
	if len(args) > 1 && args[1] == "--" {
		args = slices.Delete(slices.Clone(args), 1, 2)
	}
	if len(args) < 3 || strings.HasPrefix(args[1], "-") && args[1] != "-" {
		s.mu.Lock()
		for n, text := range s.traps {
			fmt.Fprintf(hc.Stdout, "trap -- %q %s\n", text, strings.TrimPrefix(unix.SignalName(n), "SIG"))
		}
		s.mu.Unlock()
		return args, nil
	}
	rest := args[:2:2]
	for _, a := range args[2:] {
		if a == "EXIT" || a == "0" || a == "ERR" {
			rest = append(rest, strings.Replace(a, "0", "EXIT", 1))
			continue
		}
		n, ok := parseSignal(a)
		if !ok {
			fmt.Fprintf(hc.Stderr, "trap: %s: invalid signal specification\n", a)
			return status(1), nil
		}
		s.mu.Lock()
		switch args[1] {
		case "-":
			delete(s.traps, n)
			signal.Reset(n)
		case "":
			delete(s.traps, n)
			signal.Ignore(n)
		default:
			s.traps[n] = args[1]
			signal.Notify(s.signals, n)
		}
		s.mu.Unlock()
	}
	if len(rest) == 2 {
		return []string{"true"}, nil
	}
	return rest, nil
}

// replaceShell is exec: the process becomes the command.
func (s *shell) replaceShell(hc interp.HandlerContext, args []string) ([]string, error) {
	path, argv, err := s.lookup(hc, args)
	if err == nil {
		err = s.become(hc, path, argv)
	}
	fmt.Fprintf(hc.Stderr, "%s: %s: %s\n", s.name, args[0], lookupReason(err))
	return []string{"exit", strconv.Itoa(execCode(err))}, nil
}

func (s *shell) become(hc interp.HandlerContext, path string, argv []string) error {
	for fd, v := range []any{hc.Stdin, hc.Stdout, hc.Stderr} {
		f, ok := v.(*os.File)
		if !ok || f == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			f = null
		}
		// Fd makes the file blocking, which the next program expects.
		if n := int(f.Fd()); n != fd {
			if err := unix.Dup3(n, fd, 0); err != nil {
				return err
			}
		} else if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	if err := os.Chdir(hc.Dir); err != nil {
		return err
	}
	err := syscall.Exec(path, argv, environ(hc.Env))
	if errors.Is(err, syscall.ENOEXEC) {
		err = syscall.Exec("/proc/self/exe", append([]string{"sh", path}, argv[1:]...), environ(hc.Env))
	}
	return err
}

// environ is what the shell exports.
func environ(env expand.Environ) []string {
	var out []string
	for name, v := range env.Each {
		if v.Exported && v.Kind == expand.String && name != jobVar {
			out = append(out, name+"="+v.Str)
		}
	}
	return out
}

// lookup finds a program in PATH; an applet that PATH lacks is this very file.
func (s *shell) lookup(hc interp.HandlerContext, args []string) (string, []string, error) {
	path, err := interp.LookPathDir(hc.Dir, hc.Env, args[0])
	if err == nil {
		return path, args, nil
	}
	if _, ok := find(args[0]); ok {
		return "/proc/self/exe", args, nil
	}
	if strings.Contains(args[0], "/") {
		p := args[0]
		if !strings.HasPrefix(p, "/") {
			p = hc.Dir + "/" + p
		}
		if fi, e := os.Stat(p); e != nil {
			return "", nil, e
		} else if fi.IsDir() {
			return "", nil, syscall.EISDIR
		}
		return "", nil, syscall.EACCES
	}
	return "", nil, exec.ErrNotFound
}

func lookupReason(err error) string {
	if errors.Is(err, exec.ErrNotFound) {
		return "not found"
	}
	return reason(err)
}

// exec runs a program as a child and waits for it.
func (s *shell) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	if args[0] == markStatus {
		n, _ := strconv.Atoi(args[1])
		if n == 0 {
			return nil
		}
		return interp.ExitStatus(n)
	}
	path, argv, err := s.lookup(hc, args)
	if err != nil {
		fmt.Fprintf(hc.Stderr, "%s: %s: %s\n", s.name, args[0], lookupReason(err))
		return interp.ExitStatus(execCode(err))
	}
	j := s.jobOf(hc.Env)
	c, err := s.start(hc, path, argv, j != nil && s.interactive)
	if errors.Is(err, syscall.ENOEXEC) {
		c, err = s.start(hc, "/proc/self/exe", append([]string{"sh", path}, argv[1:]...), j != nil && s.interactive)
	}
	if err != nil {
		fmt.Fprintf(hc.Stderr, "%s: %s: %s\n", s.name, args[0], reason(err))
		return interp.ExitStatus(execCode(err))
	}
	s.track(j, c.Process.Pid)
	err = c.Wait()
	code := execCode(err)
	s.untrack(j, c.Process.Pid, code)
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(code)
}

func (s *shell) start(hc interp.HandlerContext, path string, argv []string, group bool) (*exec.Cmd, error) {
	c := &exec.Cmd{
		Path: path, Args: argv, Env: environ(hc.Env), Dir: hc.Dir,
		Stdin: hc.Stdin, Stdout: hc.Stdout, Stderr: hc.Stderr,
		// Without job control this keeps ^C away from background jobs.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: group},
	}
	err := c.Start()
	// Another thread's fork may hold a just written program open (go.dev/issue/22315).
	for i := 0; i < 8 && errors.Is(err, syscall.ETXTBSY); i++ {
		time.Sleep(time.Millisecond << i)
		c = &exec.Cmd{
			Path: path, Args: argv, Env: c.Env, Dir: hc.Dir,
			Stdin: hc.Stdin, Stdout: hc.Stdout, Stderr: hc.Stderr, SysProcAttr: c.SysProcAttr,
		}
		err = c.Start()
	}
	return c, err
}
