package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/syntax"
)

// errInterrupt: ^C while a line is edited.
var errInterrupt = errors.New("interrupted")

// console is the line editor over the terminal: raw while a line is typed,
// ordinary while commands run.
type console struct {
	s           *shell
	t           *term.Terminal
	more        bool // in the middle of a statement
	interrupted bool
	rest        []byte
}

func (s *shell) runInteractive() int {
	// A prompt survives ^C and a polite kill; children get the default.
	ints := make(chan os.Signal, 8)
	signal.Notify(ints, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	go s.interrupts(ints)
	if !term.IsTerminal(0) {
		return s.runStdinPrompt()
	}
	c := &console{s: s}
	c.t = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{c.keys(), os.Stderr}, "")
	code := 0
	for {
		parser := syntax.NewParser()
		err := error(nil)
		for stmts, perr := range parser.InteractiveSeq(c) {
			if err = perr; err != nil {
				break
			}
			if c.more = parser.Incomplete(); c.more {
				continue
			}
			var exited bool
			if code, exited = s.interactiveLine(stmts, code); exited {
				return code
			}
		}
		switch c.more = false; {
		case c.interrupted:
			c.interrupted, c.rest, code = false, nil, 130
		case err != nil && !errors.Is(err, io.EOF):
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			c.rest, code = nil, 2
		default:
			fmt.Fprintln(os.Stderr)
			return s.end(code)
		}
	}
}

// runStdinPrompt is sh -i without a terminal: prompts, but no editor.
func (s *shell) runStdinPrompt() int {
	parser := syntax.NewParser()
	code := 0
	fmt.Fprint(os.Stderr, s.prompt())
	for stmts, err := range parser.InteractiveSeq(byteReader{os.Stdin}) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			return 2
		}
		if parser.Incomplete() {
			continue
		}
		var exited bool
		if code, exited = s.interactiveLine(stmts, code); exited {
			return code
		}
		fmt.Fprint(os.Stderr, s.prompt())
	}
	return s.end(code)
}

// interactiveLine runs a line; the interpreter takes an interrupted one for an
// exit, the shell does not.
func (s *shell) interactiveLine(stmts []*syntax.Stmt, code int) (_ int, exited bool) {
	// Not cancelled at the end of the line: background jobs live on with it.
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	code = s.runStmts(ctx, stmts, code)
	return code, s.runner.Exited() && ctx.Err() == nil
}

// interrupts: ^C stops what the shell itself does (a loop of builtins); a
// program in the foreground has got the signal too and decides for itself.
func (s *shell) interrupts(c <-chan os.Signal) {
	for sig := range c {
		s.mu.Lock()
		if sig == syscall.SIGINT && s.foreground == 0 && s.cancel != nil {
			s.cancel()
		}
		s.mu.Unlock()
	}
}

// prompt is the directory and # for root, unless PS1 says otherwise.
func (s *shell) prompt() string {
	if v := s.runner.Vars["PS1"].Str; v != "" && !strings.ContainsAny(v, "\\$`") {
		return v
	}
	dir := s.runner.Dir
	if home := os.Getenv("HOME"); home != "" && home != "/" && (dir == home || strings.HasPrefix(dir, home+"/")) {
		dir = "~" + dir[len(home):]
	}
	if os.Geteuid() == 0 {
		return dir + " # "
	}
	return dir + " $ "
}

// Read gives the parser one edited line.
func (c *console) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		line, err := c.line()
		if err != nil {
			return 0, err
		}
		c.rest = []byte(line + "\n")
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *console) line() (string, error) {
	if w, h, err := term.GetSize(0); err == nil && w > 0 && h > 0 {
		_ = c.t.SetSize(w, h) // only the display depends on it
	}
	prompt := c.s.prompt()
	if c.more {
		prompt = "> "
	}
	c.t.SetPrompt(prompt)
	old, err := term.MakeRaw(0)
	if err != nil {
		return "", err
	}
	line, err := c.t.ReadLine()
	if e := term.Restore(0, old); err == nil && e != nil {
		err = e
	}
	if c.interrupted {
		return "", errInterrupt
	}
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return line, err
}

// keys is standard input with ^C turned into "empty this line and return".
func (c *console) keys() io.Reader {
	return readFunc(func(p []byte) (int, error) {
		var b [1]byte
		n, err := os.Stdin.Read(b[:])
		if n == 0 || err != nil {
			return 0, err
		}
		if b[0] == 3 && len(p) >= 3 {
			c.interrupted = true
			return copy(p, "\x05\x15\r"), nil
		}
		return copy(p, b[:]), nil
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
