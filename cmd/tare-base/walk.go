package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// entry is one file that walk meets.
type entry struct {
	path  string
	depth int
	info  fs.FileInfo // of the file itself, symlinks are not followed
	err   error
}

// walk calls f for root and, where f says so, what is below it, parents
// first, names sorted; no deeper than max when that is not negative.
func walk(root string, max int, f func(entry) bool) { walkAt(root, 0, max, f) }

func walkAt(path string, depth, max int, f func(entry) bool) {
	info, err := os.Lstat(path)
	if !f(entry{path, depth, info, err}) || err != nil || !info.IsDir() || depth == max {
		return
	}
	list, err := os.ReadDir(path)
	if err != nil {
		f(entry{path, depth, info, err})
	}
	for _, d := range list {
		walkAt(join(path, d.Name()), depth+1, max, f)
	}
}

// join keeps the form the user gave: find . prints ./a, not a.
func join(dir, name string) string {
	if strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

func statOf(fi fs.FileInfo) *syscall.Stat_t {
	st, _ := fi.Sys().(*syscall.Stat_t)
	return st
}

// modeString is the mode as ls -l prints it.
func modeString(mode uint32) string {
	b := []byte("?rwxrwxrwx")
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		b[0] = '-'
	case syscall.S_IFDIR:
		b[0] = 'd'
	case syscall.S_IFLNK:
		b[0] = 'l'
	case syscall.S_IFCHR:
		b[0] = 'c'
	case syscall.S_IFBLK:
		b[0] = 'b'
	case syscall.S_IFIFO:
		b[0] = 'p'
	case syscall.S_IFSOCK:
		b[0] = 's'
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			b[i+1] = '-'
		}
	}
	special := func(bit uint32, at int, on byte) {
		switch {
		case mode&bit == 0:
		case b[at] == 'x':
			b[at] = on
		default:
			b[at] = on &^ 0x20
		}
	}
	special(syscall.S_ISUID, 3, 's')
	special(syscall.S_ISGID, 6, 's')
	special(syscall.S_ISVTX, 9, 't')
	return string(b)
}

// fileType is the letter of find -type.
func fileType(mode uint32) byte {
	switch c := modeString(mode)[0]; c {
	case '-':
		return 'f'
	default:
		return c
	}
}

func major(dev uint64) uint64 { return dev>>8&0xfff | dev>>32&^0xfff }
func minor(dev uint64) uint64 { return dev&0xff | dev>>12&^0xff }

func makedev(major, minor uint64) uint64 {
	return major&0xfff<<8 | major&^0xfff<<32 | minor&0xff | minor&^0xff<<12
}

func runFind(p *proc, args []string) {
	var roots []string
	for len(args) > 0 && (args[0] == "" || !strings.ContainsRune("-(!", rune(args[0][0]))) {
		roots, args = append(roots, args[0]), args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	fp := &findParser{p: p, args: args, maxDepth: -1}
	test := fp.or()
	if len(fp.args) > 0 {
		p.fatalf(1, "unexpected '%s'", fp.args[0])
	}
	for _, root := range roots {
		walk(root, fp.maxDepth, func(e entry) bool {
			if e.err != nil {
				p.failf("'%s': %s", e.path, reason(e.err))
				return false
			}
			if fp.xdev && e.depth == 0 {
				fp.dev = statOf(e.info).Dev
			}
			fp.pruned = false
			if e.depth >= fp.minDepth {
				if test(e) && !fp.acts {
					p.println(e.path)
				}
			}
			return !fp.pruned && (!fp.xdev || statOf(e.info).Dev == fp.dev)
		})
	}
	for _, batch := range fp.batches {
		batch()
	}
}

// baseMatch is a shell pattern over the last element.
func baseMatch(pattern string, fold bool) func(entry) bool {
	return func(e entry) bool {
		name := filepath.Base(e.path)
		if fold {
			name, pattern = strings.ToLower(name), strings.ToLower(pattern)
		}
		ok, err := filepath.Match(pattern, name)
		return ok && err == nil
	}
}
