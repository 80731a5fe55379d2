package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func runCat(p *proc, args []string) {
	o, names := p.getopt(args, "nu number=n")
	n := 0
	p.each(names, func(name string, r io.Reader) {
		var err error
		if o.has('n') {
			err = lines(r, func(l string) bool {
				n++
				p.printf("%6d\t%s\n", n, l)
				return true
			})
		} else {
			err = copyOut(p, r)
		}
		if err != nil {
			p.report(name, err)
		}
	})
}

// copyOut copies r to standard output as it comes: a pipe's reader sees each
// part at once.
func copyOut(p *proc, r io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			_, _ = p.out.Write(buf[:n])
			if e := p.out.Flush(); e != nil {
				p.exit(1)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// headTail parses the flags that head and tail share; "-5" is "-n 5".
func (p *proc) headTail(args []string, spec string) (o options, names []string) {
	for i, a := range args {
		if len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			args[i] = "-n" + a[1:]
		}
	}
	return p.getopt(args, spec)
}

func (p *proc) count(s string) int64 {
	n, err := parseSize(s)
	if err != nil {
		p.fatalf(1, "invalid number '%s'", s)
	}
	return n
}

func (p *proc) header(names []string, i *int, name string) {
	if len(names) < 2 {
		return
	}
	if *i > 0 {
		p.println()
	}
	*i++
	p.printf("==> %s <==\n", name)
}

func runHead(p *proc, args []string) {
	o, names := p.headTail(args, "n:c:q lines=n bytes=c quiet=q")
	i := 0
	p.each(names, func(name string, r io.Reader) {
		if !o.has('q') {
			p.header(names, &i, name)
		}
		if o.has('c') {
			if _, err := io.CopyN(p.out, r, p.count(o.get('c', ""))); err != nil && !errors.Is(err, io.EOF) {
				p.report(name, err)
			}
			return
		}
		n := p.count(o.get('n', "10"))
		br := bufio.NewReader(r)
		for ; n > 0; n-- {
			l, err := br.ReadBytes('\n')
			_, _ = p.out.Write(l)
			if err != nil {
				break
			}
		}
	})
}

func runTail(p *proc, args []string) {
	o, names := p.headTail(args, "n:c:qfF lines=n bytes=c quiet=q follow=f")
	i := 0
	v := o.get('n', "10")
	fromStart := strings.HasPrefix(v, "+")
	n := p.count(strings.TrimLeft(v, "+-"))
	p.each(names, func(name string, r io.Reader) {
		if !o.has('q') {
			p.header(names, &i, name)
		}
		switch {
		case o.has('c'):
			b, err := io.ReadAll(r)
			if err != nil {
				p.report(name, err)
			}
			c := min(p.count(o.get('c', "")), int64(len(b)))
			_, _ = p.out.Write(b[int64(len(b))-c:])
		case fromStart:
			k := int64(0)
			_ = lines(r, func(l string) bool {
				if k++; k >= n {
					p.println(l)
				}
				return true
			})
		default:
			var ring []string
			err := lines(r, func(l string) bool {
				if ring = append(ring, l); int64(len(ring)) > n {
					ring = ring[1:]
				}
				return true
			})
			if err != nil {
				p.report(name, err)
			}
			for _, l := range ring {
				p.println(l)
			}
		}
		for o.has('f') || o.has('F') {
			if err := copyOut(p, r); err != nil {
				p.report(name, err)
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
}

func runWc(p *proc, args []string) {
	o, names := p.getopt(args, "lwcm lines=l words=w bytes=c chars=m")
	if len(o) == 0 {
		o = options{'l': {""}, 'w': {""}, 'c': {""}}
	}
	type row struct {
		n    [4]int64
		name string
	}
	var rows []row
	var total row
	stdin := false
	p.each(names, func(name string, r io.Reader) {
		b, err := io.ReadAll(r)
		if err != nil {
			p.report(name, err)
			return
		}
		if name == "-" {
			stdin = true
			if len(names) == 0 {
				name = ""
			}
		}
		rw := row{[4]int64{
			int64(bytes.Count(b, []byte("\n"))), int64(len(bytes.Fields(b))),
			int64(utf8.RuneCount(b)), int64(len(b)),
		}, name}
		for i := range rw.n {
			total.n[i] += rw.n[i]
		}
		rows = append(rows, rw)
	})
	if len(names) > 1 {
		total.name = "total"
		rows = append(rows, total)
	}
	// as wide as the largest size, unless an input has none to ask for
	width := len(strconv.FormatInt(total.n[3], 10))
	if fi, err := os.Stdin.Stat(); stdin && (err != nil || !fi.Mode().IsRegular()) {
		width = max(width, 7)
	}
	if len(o) == 1 && len(rows) == 1 {
		width = 0
	}
	for _, r := range rows {
		sep := ""
		for i, c := range "lwmc" {
			if o.has(byte(c)) {
				p.printf("%s%*d", sep, width, r.n[i])
				sep = " "
			}
		}
		if r.name != "" {
			p.printf(" %s", r.name)
		}
		p.println()
	}
}

func runTee(p *proc, args []string) {
	o, names := p.getopt(args, "ai append=a")
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.has('a') {
		flag = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	var files []*os.File
	for _, n := range names {
		f, err := os.OpenFile(n, flag, 0o666)
		if err != nil {
			p.report(n, err)
			continue
		}
		files = append(files, f)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := p.in.Read(buf)
		_, _ = p.out.Write(buf[:n])
		_ = p.out.Flush()
		for _, f := range files {
			if _, err := f.Write(buf[:n]); err != nil {
				p.report(f.Name(), err)
			}
		}
		if err != nil {
			break
		}
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			p.report(f.Name(), err)
		}
	}
}

func runYes(p *proc, args []string) {
	s := "y"
	if len(args) > 0 {
		s = strings.Join(args, " ")
	}
	block := bytes.Repeat([]byte(s+"\n"), 1+8192/(len(s)+1))
	for {
		if _, err := os.Stdout.Write(block); err != nil {
			p.exit(1)
		}
	}
}

func runSeq(p *proc, args []string) {
	sep, width := "\n", false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && (args[0][1] < '0' || args[0][1] > '9') {
		switch {
		case args[0] == "-w":
			width = true
		case args[0] == "-s" && len(args) > 1:
			sep, args = args[1], args[1:]
		case strings.HasPrefix(args[0], "-s"):
			sep = args[0][2:]
		default:
			p.fatalf(1, "invalid option '%s'", args[0])
		}
		args = args[1:]
	}
	v := []int64{1, 1, 1}
	at := map[int][]int{1: {2}, 2: {0, 2}, 3: {0, 1, 2}}[len(args)]
	if at == nil {
		p.fatalf(1, "usage: seq [-w] [-s SEP] [FIRST [STEP]] LAST")
	}
	for i, a := range args {
		n, err := strconv.ParseInt(a, 10, 64)
		if err != nil {
			p.fatalf(1, "invalid number '%s'", a)
		}
		v[at[i]] = n
	}
	if v[1] == 0 {
		p.fatalf(1, "the step must not be 0")
	}
	w := 0
	if width {
		w = max(len(strconv.FormatInt(v[0], 10)), len(strconv.FormatInt(v[2], 10)))
	}
	first := true
	for n := v[0]; (v[1] > 0 && n <= v[2]) || (v[1] < 0 && n >= v[2]); n += v[1] {
		if !first {
			p.printf("%s", sep)
		}
		first = false
		p.printf("%0*d", w, n)
	}
	if !first {
		p.println()
	}
}

func runRev(p *proc, args []string) {
	_, names := p.getopt(args, "")
	p.each(names, func(_ string, r io.Reader) {
		_ = lines(r, func(l string) bool {
			rs := []rune(l)
			for i, j := 0, len(rs)-1; i < j; i, j = i+1, j-1 {
				rs[i], rs[j] = rs[j], rs[i]
			}
			p.println(string(rs))
			return true
		})
	})
}

func runTac(p *proc, args []string) {
	_, names := p.getopt(args, "")
	p.each(names, func(_ string, r io.Reader) {
		var all []string
		_ = lines(r, func(l string) bool { all = append(all, l); return true })
		for i := len(all) - 1; i >= 0; i-- {
			p.println(all[i])
		}
	})
}

// parseSize reads a number with a binary suffix: 64k, 10M, 2G, 512b, 3kB.
func parseSize(s string) (int64, error) {
	num := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	mult := int64(1)
	switch unit := s[len(num):]; unit {
	case "", "c", "B":
	case "b":
		mult = 512
	case "kB", "KB":
		mult = 1000
	case "MB":
		mult = 1000 * 1000
	case "GB":
		mult = 1000 * 1000 * 1000
	default:
		switch i := strings.IndexByte("kmgt", unit[0]|0x20); {
		case i < 0, len(unit) == 3 && unit[1:] != "iB", len(unit) == 2, len(unit) > 3:
			return 0, strconv.ErrSyntax
		default:
			mult = 1 << (10 * (i + 1))
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil {
		return 0, err
	}
	return n * mult, nil
}
