package main

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

type lsFile struct {
	name string
	path string
	fi   fs.FileInfo
}

func runLs(p *proc, args []string) {
	o, names := p.getopt(args, "alA1RdhintSrFCpsU all=a almost-all=A recursive=R directory=d human-readable=h inode=i numeric-uid-gid=n reverse=r classify=F color=U")
	if len(names) == 0 {
		names = []string{"."}
	}
	l := &lister{p: p, o: o, long: o.has('l') || o.has('n')}
	l.columns = o.has('C') || !l.long && !o.has('1') && term.IsTerminal(1)
	var files, dirs []lsFile
	for _, n := range names {
		fi, err := os.Lstat(n)
		if err == nil && fi.Mode()&fs.ModeSymlink != 0 && !l.long {
			if t, e := os.Stat(n); e == nil {
				fi = t
			}
		}
		switch {
		case err != nil:
			p.failf("cannot access '%s': %s", n, reason(err))
			p.code = 2
		case fi.IsDir() && !o.has('d'):
			dirs = append(dirs, lsFile{n, n, fi})
		default:
			files = append(files, lsFile{n, n, fi})
		}
	}
	l.sort(files)
	l.print(files)
	l.sort(dirs)
	for i, d := range dirs {
		if i > 0 || len(files) > 0 {
			p.println()
		}
		l.dir(d.path, len(names) > 1 || o.has('R'))
	}
}

type lister struct {
	p             *proc
	o             options
	long, columns bool
}

func (l *lister) dir(path string, title bool) {
	if title {
		l.p.printf("%s:\n", path)
	}
	list, err := os.ReadDir(path)
	if err != nil {
		l.p.failf("cannot open directory '%s': %s", path, reason(err))
		l.p.code = 2
	}
	var files []lsFile
	if l.o.has('a') {
		for _, n := range []string{".", ".."} {
			if fi, err := os.Lstat(join(path, n)); err == nil {
				files = append(files, lsFile{n, join(path, n), fi})
			}
		}
	}
	for _, d := range list {
		if strings.HasPrefix(d.Name(), ".") && !l.o.has('a') && !l.o.has('A') {
			continue
		}
		fi, err := d.Info()
		if err != nil {
			continue // gone meanwhile
		}
		files = append(files, lsFile{d.Name(), join(path, d.Name()), fi})
	}
	l.sort(files)
	if l.long || l.o.has('s') {
		var blocks int64
		for _, f := range files {
			blocks += statOf(f.fi).Blocks
		}
		if l.o.has('h') {
			l.p.printf("total %s\n", human(uint64(blocks)*512))
		} else {
			l.p.printf("total %d\n", blocks/2)
		}
	}
	l.print(files)
	if !l.o.has('R') {
		return
	}
	for _, f := range files {
		if f.fi.IsDir() && f.name != "." && f.name != ".." {
			l.p.println()
			l.dir(f.path, true)
		}
	}
}

func (l *lister) sort(files []lsFile) {
	slices.SortStableFunc(files, func(a, b lsFile) int {
		c := 0
		switch {
		case l.o.has('t'):
			c = b.fi.ModTime().Compare(a.fi.ModTime())
		case l.o.has('S'):
			c = int(min(max(b.fi.Size()-a.fi.Size(), -1), 1))
		}
		if c == 0 {
			c = strings.Compare(a.name, b.name)
		}
		if l.o.has('r') {
			c = -c
		}
		return c
	})
}

func (l *lister) print(files []lsFile) {
	if l.long {
		l.printLong(files)
		return
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = l.prefix(f) + f.name + l.suffix(f)
	}
	if l.columns {
		printColumns(l.p, names)
		return
	}
	for _, n := range names {
		l.p.println(n)
	}
}

func (l *lister) prefix(f lsFile) string {
	s := ""
	if l.o.has('i') {
		s += strconv.FormatUint(statOf(f.fi).Ino, 10) + " "
	}
	if l.o.has('s') {
		s += strconv.FormatInt(statOf(f.fi).Blocks/2, 10) + " "
	}
	return s
}

func (l *lister) suffix(f lsFile) string {
	m := f.fi.Mode()
	switch {
	case m.IsDir() && (l.o.has('F') || l.o.has('p')):
		return "/"
	case !l.o.has('F'):
		return ""
	case m&fs.ModeSymlink != 0:
		return "@"
	case m&fs.ModeNamedPipe != 0:
		return "|"
	case m&fs.ModeSocket != 0:
		return "="
	case m.IsRegular() && m&0o111 != 0:
		return "*"
	}
	return ""
}

func (l *lister) printLong(files []lsFile) {
	rows := make([][]string, len(files))
	var width [6]int
	for i, f := range files {
		st := statOf(f.fi)
		size := strconv.FormatInt(st.Size, 10)
		switch t := st.Mode & syscall.S_IFMT; {
		case t == syscall.S_IFCHR || t == syscall.S_IFBLK:
			size = fmt.Sprintf("%d, %3d", major(st.Rdev), minor(st.Rdev))
		case l.o.has('h'):
			size = human(uint64(st.Size))
		}
		user, group := strconv.Itoa(int(st.Uid)), strconv.Itoa(int(st.Gid))
		if !l.o.has('n') {
			user, group = userName(int(st.Uid)), groupName(int(st.Gid))
		}
		name := f.name
		if f.fi.Mode()&fs.ModeSymlink != 0 {
			to, _ := os.Readlink(f.path)
			name += " -> " + to
		} else {
			name += l.suffix(f)
		}
		rows[i] = []string{strconv.FormatUint(uint64(st.Nlink), 10), user, group, size, lsTime(f.fi.ModTime(), time.Now()), name}
		for j, s := range rows[i] {
			width[j] = max(width[j], len(s))
		}
	}
	for i, f := range files {
		r := rows[i]
		l.p.printf("%s%s %*s %-*s %-*s %*s %s %s\n", l.prefix(f), modeString(statOf(f.fi).Mode),
			width[0], r[0], width[1], r[1], width[2], r[2], width[3], r[3], r[4], r[5])
	}
}

// lsTime shows the hour of a recent time and the year of another.
func lsTime(t, now time.Time) string {
	if age := now.Sub(t); age > 182*24*time.Hour || age < -time.Hour {
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}

func printColumns(p *proc, names []string) {
	width, _, err := term.GetSize(1)
	if err != nil || width <= 0 {
		width = 80
	}
	longest := 0
	for _, n := range names {
		longest = max(longest, len(n))
	}
	per := max(width/(longest+2), 1)
	rows := (len(names) + per - 1) / per
	for r := range rows {
		for i := r; i < len(names); i += rows {
			if i+rows < len(names) {
				p.printf("%-*s", longest+2, names[i])
			} else {
				p.printf("%s", names[i])
			}
		}
		p.println()
	}
}

// human is a size with a binary unit, as ls -h, df -h and du -h round it: up.
func human(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10)
	}
	f := float64(n)
	unit := -1
	for f >= 1024 && unit < 5 {
		f /= 1024
		unit++
	}
	if f < 10 {
		return strconv.FormatFloat(float64(int(f*10+0.999999))/10, 'f', 1, 64) + "KMGTPE"[unit:unit+1]
	}
	return strconv.Itoa(int(f+0.999999)) + "KMGTPE"[unit:unit+1]
}
