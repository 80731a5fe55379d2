// Command tare-base is the userland of the built-in image tare/base: one
// static program that is a shell and the small tools that a person expects,
// chosen by the name it is called under (as BusyBox does).
//
//	tare-base --list           print the applets, one per line
//	tare-base APPLET [ARG…]    run one
//
// The shell starts applets as processes, found through PATH, so that what runs
// in a container is what ps shows. Exit codes are those of the usual tools;
// 127 is an unknown applet.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	// A login shell is called as "-sh".
	name = strings.TrimPrefix(name, "-")
	if strings.HasPrefix(name, "tare-base") {
		if len(args) == 0 || args[0] == "--help" {
			usage(os.Stdout)
			return
		}
		if args[0] == "--list" {
			list(os.Stdout)
			return
		}
		name, args = filepath.Base(args[0]), args[1:]
	}
	// Containers that only ask "does it start" run these two.
	switch name {
	case "true":
		return
	case "false":
		os.Exit(1)
	}
	run, ok := find(name)
	if name == "tare-init" {
		run, ok = runInit, true
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "tare-base: %s: applet not found\n", name)
		os.Exit(127)
	}
	p := &proc{name: name, in: os.Stdin, out: bufio.NewWriterSize(os.Stdout, 32<<10), err: os.Stderr}
	run(p, args)
	p.exit(p.code)
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: tare-base APPLET [ARG...]\n       tare-base --list\n")
}

func list(w io.Writer) {
	for _, a := range applets() {
		fmt.Fprintln(w, a.name)
	}
}

// proc is what an applet runs in: its streams and its exit code.
type proc struct {
	name string
	in   io.Reader
	out  *bufio.Writer
	err  io.Writer
	code int
}

type applet struct {
	name string
	run  func(p *proc, args []string)
}

func find(name string) (func(*proc, []string), bool) {
	all := applets()
	i := sort.Search(len(all), func(i int) bool { return all[i].name >= name })
	if i < len(all) && all[i].name == name {
		return all[i].run, true
	}
	return nil, false
}

// exit flushes what the applet printed; a full disk or a closed pipe is an
// error of the applet like any other.
func (p *proc) exit(code int) {
	if err := p.out.Flush(); err != nil && code == 0 {
		if !errors.Is(err, syscall.EPIPE) {
			p.failf("write error: %s", reason(err))
		}
		code = 1
	}
	os.Exit(code)
}

// failf prints one line in the name of the applet and makes it end with 1.
func (p *proc) failf(format string, args ...any) {
	_ = p.out.Flush()
	fmt.Fprintf(p.err, "%s: %s\n", p.name, fmt.Sprintf(format, args...))
	if p.code == 0 {
		p.code = 1
	}
}

// fatalf is failf for what cannot go on.
func (p *proc) fatalf(code int, format string, args ...any) {
	p.failf(format, args...)
	p.exit(code)
}

// report says what went wrong with a file and goes on.
func (p *proc) report(path string, err error) { p.failf("%s: %s", path, reason(err)) }

func (p *proc) printf(format string, args ...any) { fmt.Fprintf(p.out, format, args...) }

func (p *proc) println(args ...any) { fmt.Fprintln(p.out, args...) }

// reason is the cause of err as the C library words it.
func reason(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		s := no.Error()
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return err.Error()
}

// each calls f for every file named, or for standard input without names; "-"
// is standard input too.
func (p *proc) each(names []string, f func(name string, r io.Reader)) {
	if len(names) == 0 {
		names = []string{"-"}
	}
	for _, n := range names {
		if n == "-" {
			f(n, p.in)
			continue
		}
		file, err := os.Open(n)
		if err != nil {
			p.report(n, err)
			continue
		}
		if fi, err := file.Stat(); err == nil && fi.IsDir() {
			p.failf("%s: Is a directory", n)
		} else {
			f(n, file)
		}
		_ = file.Close()
	}
}

// lines calls f with every line of r, without its newline, until f is false.
func lines(r io.Reader, f func(line string) bool) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		s, err := br.ReadString('\n')
		if s != "" && !f(strings.TrimSuffix(s, "\n")) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
