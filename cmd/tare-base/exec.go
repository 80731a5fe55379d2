package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// execCode is the exit code that a shell gives to how a command ended.
func execCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return exit.ExitCode()
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return 127
	}
	return 126
}

// replace becomes another program; it returns only what went wrong.
func (p *proc) replace(args, env []string) {
	_ = p.out.Flush()
	path, err := exec.LookPath(args[0])
	if err == nil {
		err = syscall.Exec(path, args, env)
	}
	p.failf("%s: %s", args[0], reason(errors.Unwrap(err)))
	p.exit(execCode(err))
}

func command(args []string) *exec.Cmd {
	c := exec.Command(args[0], args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c
}

func runXargs(p *proc, args []string) {
	o, cmd := p.getopt(args, "+0rtn:I:P:L: null=0 no-run-if-empty=r verbose=t max-args=n replace=I")
	if len(cmd) == 0 {
		cmd = []string{"echo"}
	}
	b, err := io.ReadAll(p.in)
	if err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	var items []string
	switch {
	case o.has('0'):
		items = strings.FieldsFunc(string(b), func(r rune) bool { return r == 0 })
	case o.has('I'), o.has('L'):
		items = strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
	default:
		items = quotedFields(string(b))
	}
	per := 5000 // far below the kernel's limit for one command line
	if o.has('n') || o.has('L') {
		per = int(p.count(o.get('n', o.get('L', ""))))
	}
	if o.has('I') {
		per = 1
	}
	if per < 1 {
		p.fatalf(1, "the number of arguments must be at least 1")
	}
	if len(items) == 0 && (o.has('r') || o.has('I')) {
		return
	}
	for first := true; first || len(items) > 0; first = false {
		n := min(per, len(items))
		line := append([]string(nil), cmd...)
		if m := o.get('I', ""); m != "" {
			for i := range line {
				line[i] = strings.ReplaceAll(line[i], m, items[0])
			}
		} else {
			line = append(line, items[:n]...)
		}
		items = items[n:]
		if o.has('t') {
			p.failf("%s", strings.Join(line, " "))
			p.code = 0
		}
		c := command(line)
		c.Stdin = nil
		switch code := execCode(c.Run()); {
		case code == 0:
		case code >= 126:
			p.fatalf(code, "%s: cannot run", line[0])
		default:
			p.code = 123
		}
	}
}

// quotedFields splits at blanks, minding quotes and backslashes.
func quotedFields(s string) []string {
	var out []string
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '\'' || c == '"':
			in, quote = true, c
		case c == '\\' && i+1 < len(s):
			i++
			in = true
			b.WriteByte(s[i])
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			in = true
			b.WriteByte(c)
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}

func runEnv(p *proc, args []string) {
	o, rest := p.getopt(args, "+iu:0 ignore-environment=i unset=u null=0")
	env := os.Environ()
	if o.has('i') {
		env = nil
	}
	drop := func(name string) {
		kept := env[:0]
		for _, e := range env {
			if !strings.HasPrefix(e, name+"=") {
				kept = append(kept, e)
			}
		}
		env = kept
	}
	for _, u := range o['u'] {
		drop(u)
	}
	for len(rest) > 0 && strings.Contains(rest[0], "=") {
		name, value, _ := strings.Cut(rest[0], "=")
		drop(name)
		env = append(env, rest[0])
		if name == "PATH" {
			if err := os.Setenv("PATH", value); err != nil {
				p.fatalf(125, "%s", err)
			}
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		p.replace(rest, env)
	}
	end := "\n"
	if o.has('0') {
		end = "\x00"
	}
	for _, e := range env {
		p.printf("%s%s", e, end)
	}
}

func runPrintenv(p *proc, args []string) {
	if len(args) == 0 {
		for _, e := range os.Environ() {
			p.println(e)
		}
	}
	for _, a := range args {
		if v, ok := os.LookupEnv(a); ok {
			p.println(v)
		} else {
			p.code = 1
		}
	}
}

func runWhich(p *proc, args []string) {
	for _, a := range args {
		path, err := exec.LookPath(a)
		if err != nil {
			p.code = 1
			continue
		}
		p.println(path)
	}
}

func runTimeout(p *proc, args []string) {
	o, rest := p.getopt(args, "+s:k: signal=s kill-after=k")
	if len(rest) < 2 {
		p.fatalf(125, "usage: timeout [-s SIGNAL] [-k DURATION] DURATION COMMAND [ARG...]")
	}
	limit, ok := parseDuration(rest[0])
	if !ok {
		p.fatalf(125, "invalid time interval '%s'", rest[0])
	}
	sig, ok := parseSignal(o.get('s', "TERM"))
	if !ok {
		p.fatalf(125, "invalid signal '%s'", o.get('s', ""))
	}
	c := command(rest[1:])
	if err := c.Start(); err != nil {
		p.fatalf(execCode(err), "%s: %s", rest[1], reason(errors.Unwrap(err)))
	}
	done := make(chan int, 1)
	go func() { done <- execCode(c.Wait()) }()
	var expire <-chan time.Time
	if limit > 0 {
		expire = time.After(limit)
	}
	select {
	case code := <-done:
		p.exit(code)
	case <-expire:
	}
	_ = c.Process.Signal(sig)
	if k, ok := parseDuration(o.get('k', "")); ok {
		select {
		case <-done:
			p.exit(124)
		case <-time.After(k):
			_ = c.Process.Kill()
			<-done
			p.exit(137)
		}
	}
	<-done
	p.exit(124)
}

func runNohup(p *proc, args []string) {
	if len(args) == 0 {
		p.fatalf(125, "missing operand")
	}
	signal.Ignore(syscall.SIGHUP)
	p.replace(args, os.Environ())
}

func runSetsid(p *proc, args []string) {
	o, rest := p.getopt(args, "+cfw ctty=c fork=f wait=w")
	if len(rest) == 0 {
		p.fatalf(1, "no command specified")
	}
	if _, err := syscall.Setsid(); err == nil && !o.has('f') {
		p.replace(rest, os.Environ())
	}
	// A group leader cannot: a child can.
	c := command(rest)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		p.fatalf(execCode(err), "%s: %s", rest[0], reason(errors.Unwrap(err)))
	}
	if o.has('w') {
		p.exit(execCode(c.Wait()))
	}
}

func runChroot(p *proc, args []string) {
	if len(args) == 0 {
		p.fatalf(125, "missing operand")
	}
	if err := syscall.Chroot(args[0]); err != nil {
		p.fatalf(125, "cannot change root directory to '%s': %s", args[0], reason(err))
	}
	if err := os.Chdir("/"); err != nil {
		p.fatalf(125, "cannot chdir to root directory: %s", reason(err))
	}
	if args = args[1:]; len(args) == 0 {
		args = []string{"/bin/sh", "-i"}
	}
	p.replace(args, os.Environ())
}

// parseDuration reads a number with s, m, h or d; "infinity" is very long.
func parseDuration(s string) (time.Duration, bool) {
	if s == "infinity" || s == "inf" {
		return 1 << 62, true
	}
	unit := time.Second
	if s != "" {
		switch s[len(s)-1] {
		case 's':
			s = s[:len(s)-1]
		case 'm':
			unit, s = time.Minute, s[:len(s)-1]
		case 'h':
			unit, s = time.Hour, s[:len(s)-1]
		case 'd':
			unit, s = 24*time.Hour, s[:len(s)-1]
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return time.Duration(f * float64(unit)), err == nil && f >= 0
}

func runSleep(p *proc, args []string) {
	if len(args) == 0 {
		p.fatalf(1, "missing operand")
	}
	var sum time.Duration
	for _, a := range args {
		d, ok := parseDuration(a)
		if !ok {
			p.fatalf(1, "invalid time interval '%s'", a)
		}
		sum += d
	}
	time.Sleep(sum)
}

// parseSignal reads 9, KILL or SIGKILL.
func parseSignal(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), n >= 0 && n <= 64
	}
	s = strings.ToUpper(s)
	if !strings.HasPrefix(s, "SIG") {
		s = "SIG" + s
	}
	n := unix.SignalNum(s)
	return n, n != 0
}

func runKill(p *proc, args []string) {
	sig := syscall.SIGTERM
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		a := args[0]
		args = args[1:]
		if a == "-l" {
			listSignals(p, args)
			return
		}
		name := a[1:]
		if a == "-s" || a == "-n" {
			if len(args) == 0 {
				p.fatalf(1, "option requires an argument -- '%s'", name)
			}
			name, args = args[0], args[1:]
		}
		var ok bool
		if sig, ok = parseSignal(name); !ok {
			p.fatalf(1, "invalid signal '%s'", name)
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.fatalf(1, "usage: kill [-SIGNAL] PID...")
	}
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil {
			p.failf("invalid process id '%s'", a)
			continue
		}
		if err := syscall.Kill(pid, sig); err != nil {
			p.failf("(%d): %s", pid, reason(err))
		}
	}
}

func listSignals(p *proc, args []string) {
	for _, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil {
			if s, ok := parseSignal(a); ok {
				p.println(int(s))
			}
			continue
		}
		if n > 128 {
			n -= 128
		}
		p.println(strings.TrimPrefix(unix.SignalName(syscall.Signal(n)), "SIG"))
	}
	if len(args) > 0 {
		return
	}
	for n := 1; n < 32; n++ {
		p.printf("%2d) %s\n", n, strings.TrimPrefix(unix.SignalName(syscall.Signal(n)), "SIG"))
	}
}
