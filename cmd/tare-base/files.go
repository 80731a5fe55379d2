package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func runMv(p *proc, args []string) {
	o, names := p.getopt(args, "fnvuTi force=f no-clobber=n verbose=v update=u no-target-directory=T")
	if len(names) < 2 {
		p.fatalf(1, "missing file operand")
	}
	dst := names[len(names)-1]
	fi, err := os.Stat(dst)
	isDir := err == nil && fi.IsDir() && !o.has('T')
	if len(names) > 2 && !isDir {
		p.fatalf(1, "target '%s' is not a directory", dst)
	}
	for _, src := range names[:len(names)-1] {
		to := dst
		if isDir {
			to = filepath.Join(dst, filepath.Base(src))
		}
		if old, err := os.Lstat(to); err == nil {
			now, err := os.Lstat(src)
			if o.has('n') || o.has('u') && err == nil && !now.ModTime().After(old.ModTime()) {
				continue
			}
		}
		err := os.Rename(src, to)
		if errors.Is(err, syscall.EXDEV) {
			c := &copier{p: p, recursive: true, keep: true, links: true}
			if c.copy(src, to); p.code == 0 {
				err = os.RemoveAll(src)
			} else {
				continue
			}
		}
		if err != nil {
			p.failf("cannot move '%s' to '%s': %s", src, to, reason(err))
		} else if o.has('v') {
			p.printf("renamed '%s' -> '%s'\n", src, to)
		}
	}
}

func runMktemp(p *proc, args []string) {
	o, rest := p.getopt(args, "dqutp: directory=d quiet=q dry-run=u tmpdir=p")
	dir := o.get('p', os.Getenv("TMPDIR"))
	if dir == "" {
		dir = "/tmp"
	}
	pattern := "tmp.XXXXXXXXXX"
	if len(rest) > 0 {
		pattern = rest[0]
		if !o.has('p') && !o.has('t') {
			dir = "."
			if d := filepath.Dir(pattern); d != "." || strings.HasPrefix(pattern, "./") {
				dir = d
			}
			pattern = filepath.Base(pattern)
		}
	}
	stem := strings.TrimRight(pattern, "X")
	if len(pattern)-len(stem) < 3 {
		p.fatalf(1, "too few X's in template '%s'", pattern)
	}
	var name string
	var err error
	if o.has('d') {
		name, err = os.MkdirTemp(dir, stem+"*")
	} else {
		var f *os.File
		if f, err = os.CreateTemp(dir, stem+"*"); err == nil {
			name, err = f.Name(), f.Close()
		}
	}
	if err != nil {
		p.fatalf(1, "failed to create in '%s': %s", dir, reason(err))
	}
	if o.has('u') {
		_ = os.Remove(name)
	}
	p.println(name)
}

func runMkdir(p *proc, args []string) {
	o, dirs := p.getopt(args, "pm:v parents=p mode=m verbose=v")
	if len(dirs) == 0 {
		p.fatalf(1, "missing operand")
	}
	for _, d := range dirs {
		make := os.Mkdir
		if o.has('p') {
			make = os.MkdirAll
		}
		if err := make(d, 0o777); err != nil {
			p.failf("cannot create directory '%s': %s", d, reason(err))
			continue
		}
		if o.has('v') {
			p.printf("created directory '%s'\n", d)
		}
		if m := o.get('m', ""); m != "" {
			chmodOne(p, m, d)
		}
	}
}

func runRmdir(p *proc, args []string) {
	o, dirs := p.getopt(args, "p parents=p")
	for _, d := range dirs {
		for {
			if err := syscall.Rmdir(d); err != nil {
				p.failf("failed to remove '%s': %s", d, reason(err))
				break
			}
			d = filepath.Dir(filepath.Clean(d))
			if !o.has('p') || d == "." || d == "/" {
				break
			}
		}
	}
}

func runRm(p *proc, args []string) {
	o, names := p.getopt(args, "rRfivd recursive=r force=f verbose=v dir=d")
	if len(names) == 0 && !o.has('f') {
		p.fatalf(1, "missing operand")
	}
	for _, n := range names {
		fi, err := os.Lstat(n)
		switch {
		case errors.Is(err, fs.ErrNotExist) && o.has('f'):
			continue
		case err != nil:
			p.failf("cannot remove '%s': %s", n, reason(err))
			continue
		}
		if b := filepath.Base(n); b == "/" || b == "." || b == ".." {
			p.failf("refusing to remove '%s'", n)
			continue
		}
		remove := os.Remove
		if fi.IsDir() {
			switch {
			case o.has('r') || o.has('R'):
				remove = os.RemoveAll
			case !o.has('d'):
				p.failf("cannot remove '%s': Is a directory", n)
				continue
			}
		}
		if err := remove(n); err != nil {
			p.failf("cannot remove '%s': %s", n, reason(err))
		} else if o.has('v') {
			p.printf("removed '%s'\n", n)
		}
	}
}

func runLn(p *proc, args []string) {
	o, names := p.getopt(args, "sfnvT symbolic=s force=f no-dereference=n verbose=v no-target-directory=T")
	if len(names) == 0 {
		p.fatalf(1, "missing file operand")
	}
	dir := "."
	if len(names) > 1 {
		dir, names = names[len(names)-1], names[:len(names)-1]
	}
	isDir := false
	if fi, err := os.Lstat(dir); err == nil && !o.has('T') {
		if fi.Mode()&fs.ModeSymlink != 0 && !o.has('n') {
			if t, e := os.Stat(dir); e == nil {
				fi = t
			}
		}
		isDir = fi.IsDir()
	}
	if len(names) > 1 && !isDir {
		p.fatalf(1, "target '%s' is not a directory", dir)
	}
	for _, n := range names {
		to := dir
		if isDir {
			to = filepath.Join(dir, filepath.Base(n))
		}
		if o.has('f') {
			_ = os.Remove(to) // a failure shows in the link
		}
		link, kind := os.Link, "hard"
		if o.has('s') {
			link, kind = os.Symlink, "symbolic"
		}
		if err := link(n, to); err != nil {
			p.failf("failed to create %s link '%s': %s", kind, to, reason(err))
		} else if o.has('v') {
			p.printf("'%s' -> '%s'\n", to, n)
		}
	}
}

func runTouch(p *proc, args []string) {
	o, names := p.getopt(args, "acmd:r:t:h no-create=c date=d reference=r no-dereference=h")
	if len(names) == 0 {
		p.fatalf(1, "missing file operand")
	}
	now := time.Now()
	when := [2]time.Time{now, now}
	switch {
	case o.has('r'):
		fi, err := os.Stat(o.get('r', ""))
		if err != nil {
			p.fatalf(1, "failed to get attributes of '%s': %s", o.get('r', ""), reason(err))
		}
		st := statOf(fi)
		when = [2]time.Time{time.Unix(st.Atim.Unix()), time.Unix(st.Mtim.Unix())}
	case o.has('d'):
		t, ok := parseDate(o.get('d', ""))
		if !ok {
			p.fatalf(1, "invalid date format '%s'", o.get('d', ""))
		}
		when = [2]time.Time{t, t}
	case o.has('t'):
		t, err := time.ParseInLocation("200601021504", strings.Split(o.get('t', ""), ".")[0], time.Local)
		if err != nil {
			p.fatalf(1, "invalid date format '%s'", o.get('t', ""))
		}
		when = [2]time.Time{t, t}
	}
	for _, n := range names {
		fi, err := os.Stat(n)
		if errors.Is(err, fs.ErrNotExist) {
			if o.has('c') {
				continue
			}
			f, err := os.OpenFile(n, os.O_CREATE|os.O_WRONLY, 0o666)
			if err != nil {
				p.failf("cannot touch '%s': %s", n, reason(err))
				continue
			}
			fi, err = f.Stat()
			if e := f.Close(); err != nil || e != nil {
				p.report(n, errors.Join(err, e))
				continue
			}
		}
		w := when
		if fi != nil && o.has('a') && !o.has('m') {
			w[1] = time.Unix(statOf(fi).Mtim.Unix())
		}
		if fi != nil && o.has('m') && !o.has('a') {
			w[0] = time.Unix(statOf(fi).Atim.Unix())
		}
		if err := os.Chtimes(n, w[0], w[1]); err != nil {
			p.failf("cannot touch '%s': %s", n, reason(err))
		}
	}
}

func runTruncate(p *proc, args []string) {
	o, names := p.getopt(args, "s:c size=s no-create=c")
	n, err := parseSize(o.get('s', "x"))
	if err != nil {
		p.fatalf(1, "you must specify a size with -s")
	}
	for _, name := range names {
		flag := os.O_WRONLY | os.O_CREATE
		if o.has('c') {
			flag = os.O_WRONLY
		}
		f, err := os.OpenFile(name, flag, 0o666)
		if err != nil {
			p.report(name, err)
			continue
		}
		if err := errors.Join(f.Truncate(n), f.Close()); err != nil {
			p.report(name, err)
		}
	}
}

func runMkfifo(p *proc, args []string) {
	o, names := p.getopt(args, "m: mode=m")
	for _, n := range names {
		if err := syscall.Mkfifo(n, 0o666); err != nil {
			p.failf("cannot create fifo '%s': %s", n, reason(err))
		} else if o.has('m') {
			chmodOne(p, o.get('m', ""), n)
		}
	}
}

func runMknod(p *proc, args []string) {
	o, a := p.getopt(args, "m: mode=m")
	if len(a) != 2 && len(a) != 4 {
		p.fatalf(1, "usage: mknod [-m MODE] NAME TYPE [MAJOR MINOR]")
	}
	kind, ok := map[string]uint32{"c": syscall.S_IFCHR, "u": syscall.S_IFCHR, "b": syscall.S_IFBLK, "p": syscall.S_IFIFO}[a[1]]
	if !ok || len(a) == 2 != (a[1] == "p") {
		p.fatalf(1, "invalid device type '%s'", a[1])
	}
	var dev uint64
	if len(a) == 4 {
		maj, e1 := strconv.ParseUint(a[2], 0, 32)
		mnr, e2 := strconv.ParseUint(a[3], 0, 32)
		if e1 != nil || e2 != nil {
			p.fatalf(1, "invalid device number '%s, %s'", a[2], a[3])
		}
		dev = makedev(maj, mnr)
	}
	if err := syscall.Mknod(a[0], kind|0o666, int(dev)); err != nil {
		p.failf("%s: %s", a[0], reason(err))
	} else if o.has('m') {
		chmodOne(p, o.get('m', ""), a[0])
	}
}

func runCmp(p *proc, args []string) {
	o, a := p.getopt(args, "s quiet=s silent=s")
	if len(a) != 2 {
		p.fatalf(2, "usage: cmp [-s] FILE1 FILE2")
	}
	var data [2][]byte
	for i, n := range a {
		p.each([]string{n}, func(_ string, r io.Reader) { data[i], _ = io.ReadAll(r) })
	}
	if p.code != 0 {
		p.exit(2)
	}
	line := 1
	for i := 0; i < len(data[0]) || i < len(data[1]); i++ {
		switch {
		case i >= len(data[0]) || i >= len(data[1]):
			short := 0
			if i >= len(data[1]) {
				short = 1
			}
			if !o.has('s') {
				p.failf("EOF on %s after byte %d", a[short], i)
			}
			p.exit(1)
		case data[0][i] != data[1][i]:
			if !o.has('s') {
				p.printf("%s %s differ: char %d, line %d\n", a[0], a[1], i+1, line)
			}
			p.exit(1)
		case data[0][i] == '\n':
			line++
		}
	}
}
