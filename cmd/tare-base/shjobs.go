package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// job is one background command.
type job struct {
	started chan struct{} // closed when it has a process, or is done
	done    chan struct{}
	once    sync.Once
	// below: guarded by shell.mu
	pid    int // of its first process
	live   []int
	status int
	killed syscall.Signal
}

func (j *job) start() { j.once.Do(func() { close(j.started) }) }

// errKilled ends the part of the interpreter that runs a killed job.
var errKilled = errors.New("job killed")

func (s *shell) jobOf(env expand.Environ) *job {
	v := env.Get(jobVar)
	n, err := strconv.Atoi(v.Str)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || n < 1 || n > len(s.jobs) {
		return nil
	}
	return s.jobs[n-1]
}

func (s *shell) track(j *job, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j == nil {
		s.foreground++
		return
	}
	if j.pid == 0 {
		j.pid = pid
	}
	j.live = append(j.live, pid)
	j.start()
}

func (s *shell) untrack(j *job, pid, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j != nil {
		j.live = slices.DeleteFunc(j.live, func(p int) bool { return p == pid })
		return
	}
	s.foreground--
	// ^C on a terminal ends the whole line, not only the program.
	if code == 128+int(syscall.SIGINT) && s.interactive && s.cancel != nil {
		s.cancel()
	}
}

func (s *shell) finish(j *job, code int) {
	s.mu.Lock()
	j.status = code
	s.mu.Unlock()
	j.start()
	close(j.done)
}

func (s *shell) printPid(w io.Writer) {
	s.mu.Lock()
	n := len(s.jobs)
	if n == 0 {
		s.mu.Unlock()
		return
	}
	j := s.jobs[n-1]
	s.mu.Unlock()
	select {
	case <-j.started:
	case <-time.After(time.Second):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.pid != 0 {
		fmt.Fprintln(w, j.pid)
	} else {
		fmt.Fprintf(w, "%%%d\n", n) // it has no process of its own
	}
}

// lookJob finds a job by its process id or as %N.
func (s *shell) lookJob(a string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, err := strconv.Atoi(strings.TrimPrefix(a, "%")); err == nil {
		for i, j := range s.jobs {
			if a[0] == '%' && n == i+1 || a[0] != '%' && n == j.pid {
				return j
			}
		}
	}
	return nil
}

// wait ends early when a trapped signal comes, whose action then runs.
func (s *shell) wait(ctx context.Context, args []string) []string {
	jobs, code := []*job(nil), 0
	if len(args) == 0 {
		s.mu.Lock()
		jobs = slices.Clone(s.jobs)
		s.mu.Unlock()
	}
	for _, a := range args {
		j := s.lookJob(a)
		if j == nil {
			code = 127
			continue
		}
		jobs, code = append(jobs, j), 0
	}
	for _, j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return status(130)
		case sig := <-s.signals:
			n, _ := sig.(syscall.Signal)
			if line, ok := s.action(sig, status(128+int(n))...); ok {
				return line
			}
		}
	}
	if len(args) > 0 && code == 0 && len(jobs) > 0 {
		s.mu.Lock()
		code = jobs[len(jobs)-1].status
		s.mu.Unlock()
	}
	return status(code)
}

// kill turns jobs into processes and leaves the rest to the applet.
func (s *shell) kill(args []string) []string {
	out := []string{"env", "kill"}
	sig := syscall.SIGTERM
	sent, pids := false, 0
	for i, a := range args[1:] {
		if strings.HasPrefix(a, "-") && pids == 0 && !sent {
			if n, ok := parseSignal(a[1:]); ok {
				sig = n
			}
			out = append(out, a)
			continue
		}
		if n, ok := parseSignal(a); ok && i > 0 && args[i] == "-s" {
			sig = n
			out = append(out, a)
			continue
		}
		j := s.lookJob(a)
		if j == nil {
			pids++
			out = append(out, a)
			continue
		}
		sent = true
		s.mu.Lock()
		switch {
		case len(j.live) == 0 && j.pid != 0 && a[0] != '%':
			pids++
			out = append(out, a) // ended: let the kernel say so
		case sig != 0:
			if len(j.live) == 0 || sig == syscall.SIGTERM || sig == syscall.SIGKILL {
				j.killed = sig
			}
			fallthrough
		default:
			for _, pid := range j.live {
				_ = syscall.Kill(pid, sig) // it may have ended just now
			}
		}
		s.mu.Unlock()
	}
	if sent && pids == 0 {
		return []string{"true"}
	}
	return out
}

func (s *shell) listJobs(hc interp.HandlerContext, name string) []string {
	if name != "jobs" {
		fmt.Fprintf(hc.Stderr, "%s: %s: no job control in this shell\n", s.name, name)
		return status(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, j := range s.jobs {
		select {
		case <-j.done:
		default:
			fmt.Fprintf(hc.Stdout, "[%d] Running  %d\n", i+1, j.pid)
		}
	}
	return []string{"true"}
}
