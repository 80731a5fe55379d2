package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// shell is sh: mvdan.cc/sh's interpreter plus what it leaves out and a
// container's entry point needs: exec that replaces the process, process ids
// of background jobs, signal traps, ulimit and umask. Where the interpreter
// offers no hook for one of these, the parsed script is rewritten (rewrite.go)
// to call markers that the call handler understands.
type shell struct {
	p           *proc
	runner      *interp.Runner
	name        string // $0
	interactive bool

	mu         sync.Mutex
	jobs       []*job
	traps      map[syscall.Signal]string
	foreground int                // running foreground commands
	cancel     context.CancelFunc // of the statement that runs

	signals chan os.Signal // those with a trap
}

func runSh(p *proc, args []string) {
	s := &shell{p: p, name: p.name, traps: map[syscall.Signal]string{}, signals: make(chan os.Signal, 64)}
	var opts []string
	var script *string
	stdin := false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		a := args[0]
		args = args[1:]
		if a == "--" {
			break
		}
		if strings.HasPrefix(a, "--") {
			continue // --login, --norc
		}
		for _, c := range a[1:] {
			switch c {
			case 'c':
				script = new(string)
			case 'i':
				s.interactive = true
			case 's':
				stdin = true
			case 'l':
			case 'o':
				if len(args) > 0 {
					opts, args = append(opts, a[:1]+"o", args[0]), args[1:]
				}
			default:
				opts = append(opts, a[:1]+string(c))
			}
		}
	}
	var in io.Reader
	switch {
	case script != nil:
		if len(args) == 0 {
			p.fatalf(2, "-c requires an argument")
		}
		*script, args = args[0], args[1:]
		if len(args) > 0 {
			s.name, args = args[0], args[1:]
		}
		in = strings.NewReader(*script)
	case len(args) > 0 && !stdin:
		f, err := os.Open(args[0])
		if err != nil {
			p.failf("%s: %s", args[0], reason(err))
			p.exit(127)
		}
		s.name, args, in = args[0], args[1:], f
	default:
		s.interactive = s.interactive || term.IsTerminal(0) && term.IsTerminal(2)
	}
	r, err := interp.New(
		interp.StdIO(os.Stdin, os.Stdout, os.Stderr),
		interp.Interactive(s.interactive),
		interp.Params(append(append(opts, "--"), args...)...),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
	)
	if err != nil {
		p.fatalf(2, "%s", err)
	}
	s.runner = r
	switch {
	case in != nil:
		os.Exit(s.runFile(in, script != nil))
	case s.interactive:
		os.Exit(s.runInteractive())
	default:
		os.Exit(s.runStdin())
	}
}

// runFile parses and runs a whole script.
func (s *shell) runFile(in io.Reader, command bool) int {
	s.dieOfSignals()
	f, err := syntax.NewParser().Parse(in, s.name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	rewrite(f, command)
	return s.status(s.runner.Run(context.Background(), f))
}

// runStdin runs a script from standard input a statement at a time, reading
// no more than it needs: what the script starts reads on from there.
func (s *shell) runStdin() int {
	s.dieOfSignals()
	parser := syntax.NewParser()
	code := 0
	for stmts, err := range parser.InteractiveSeq(byteReader{os.Stdin}) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			return 2
		}
		if parser.Incomplete() {
			continue
		}
		if code = s.runStmts(context.Background(), stmts, code); s.runner.Exited() {
			return code
		}
	}
	return s.end(code)
}

// runStmts runs one line; code is what the one before ended with.
func (s *shell) runStmts(ctx context.Context, stmts []*syntax.Stmt, code int) int {
	f := &syntax.File{Name: s.name, Stmts: stmts}
	rewrite(f, false)
	for _, st := range f.Stmts {
		code = s.status(s.runner.Run(ctx, st))
		if s.runner.Exited() || ctx.Err() != nil {
			break
		}
	}
	return code
}

// end runs the EXIT trap.
func (s *shell) end(code int) int {
	if _, err := exitStatus(s.runner.Run(context.Background(), &syntax.File{})); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

func (s *shell) status(err error) int {
	code, err := exitStatus(err)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
	}
	return code
}

// exitStatus separates exit codes from the interpreter's own errors.
func exitStatus(err error) (int, error) {
	var st interp.ExitStatus
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &st):
		return int(st), nil
	case errors.Is(err, context.Canceled):
		return 130, err
	}
	return 1, err
}

// dieOfSignals: process 1 of a pid namespace is not killed by a signal that it
// has no handler for, so it says goodbye by itself.
func (s *shell) dieOfSignals() {
	if os.Getpid() != 1 {
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for sig := range c {
			n, ok := sig.(syscall.Signal)
			s.mu.Lock()
			_, trapped := s.traps[n]
			s.mu.Unlock()
			if ok && !trapped {
				os.Exit(128 + int(n))
			}
		}
	}()
}

// byteReader reads one byte at a time, so that nothing is read ahead.
type byteReader struct{ r io.Reader }

func (b byteReader) Read(p []byte) (int, error) { return b.r.Read(p[:min(1, len(p))]) }
