package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// findParser turns the expression of find into one function.
type findParser struct {
	p                  *proc
	args               []string
	maxDepth, minDepth int
	acts               bool // an action other than the implied -print
	pruned             bool
	xdev               bool
	dev                uint64
	batches            []func() // -exec … + that wait for the end
}

type findTest func(entry) bool

func (f *findParser) or() findTest {
	left := f.and()
	for len(f.args) > 0 && (f.args[0] == "-o" || f.args[0] == "-or") {
		f.args = f.args[1:]
		l, r := left, f.and()
		left = func(e entry) bool { return l(e) || r(e) }
	}
	return left
}

func (f *findParser) and() findTest {
	left := findTest(func(entry) bool { return true })
	for len(f.args) > 0 && f.args[0] != ")" && f.args[0] != "-o" && f.args[0] != "-or" {
		if f.args[0] == "-a" || f.args[0] == "-and" {
			f.args = f.args[1:]
		}
		l, r := left, f.not()
		left = func(e entry) bool { return l(e) && r(e) }
	}
	return left
}

func (f *findParser) next(of string) string {
	if len(f.args) == 0 {
		f.p.fatalf(1, "missing argument to '%s'", of)
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

func (f *findParser) not() findTest {
	switch a := f.next("expression"); a {
	case "!", "-not":
		t := f.not()
		return func(e entry) bool { return !t(e) }
	case "(":
		t := f.or()
		if f.next("(") != ")" {
			f.p.fatalf(1, "missing ')'")
		}
		return t
	default:
		return f.primary(a)
	}
}

func (f *findParser) primary(a string) findTest {
	switch a {
	case "-name":
		return baseMatch(f.next(a), false)
	case "-iname":
		return baseMatch(f.next(a), true)
	case "-path", "-wholename":
		pat := f.next(a)
		return func(e entry) bool { ok, _ := filepath.Match(pat, e.path); return ok || pathGlob(pat, e.path) }
	case "-type":
		kinds := f.next(a)
		return func(e entry) bool { return strings.IndexByte(kinds, fileType(statOf(e.info).Mode)) >= 0 }
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(f.next(a))
		if err != nil || n < 0 {
			f.p.fatalf(1, "%s wants a number", a)
		}
		if a == "-maxdepth" {
			f.maxDepth = n
		} else {
			f.minDepth = n
		}
	case "-xdev", "-mount":
		f.xdev = true
	case "-true":
	case "-false":
		return func(entry) bool { return false }
	case "-empty":
		return func(e entry) bool {
			if e.info.IsDir() {
				l, err := os.ReadDir(e.path)
				return err == nil && len(l) == 0
			}
			return e.info.Mode().IsRegular() && e.info.Size() == 0
		}
	case "-user", "-group", "-uid", "-gid":
		return f.owned(a)
	case "-perm":
		return f.perm(f.next(a))
	case "-size":
		return f.size(f.next(a))
	case "-mtime", "-mmin":
		unit := time.Minute
		if a == "-mtime" {
			unit = 24 * time.Hour
		}
		cmp := f.number(f.next(a))
		return func(e entry) bool { return cmp(int64(time.Since(e.info.ModTime()) / unit)) }
	case "-newer":
		fi, err := os.Stat(f.next(a))
		if err != nil {
			f.p.fatalf(1, "%s", reason(err))
		}
		return func(e entry) bool { return e.info.ModTime().After(fi.ModTime()) }
	case "-links":
		cmp := f.number(f.next(a))
		return func(e entry) bool { return cmp(int64(statOf(e.info).Nlink)) }
	default:
		return f.action(a)
	}
	return func(entry) bool { return true }
}

func (f *findParser) action(a string) findTest {
	f.acts = f.acts || a != "-prune"
	switch a {
	case "-print":
		return func(e entry) bool { f.p.println(e.path); return true }
	case "-print0":
		return func(e entry) bool { f.p.printf("%s\x00", e.path); return true }
	case "-prune":
		return func(entry) bool { f.pruned = true; return true }
	case "-quit":
		return func(entry) bool { f.p.exit(f.p.code); return true }
	case "-delete":
		return func(e entry) bool {
			if err := os.Remove(e.path); err != nil {
				f.p.failf("cannot delete '%s': %s", e.path, reason(err))
				return false
			}
			return true
		}
	case "-exec":
		return f.exec()
	}
	f.p.fatalf(1, "unknown predicate '%s'", a)
	return nil
}

func (f *findParser) exec() findTest {
	var cmd []string
	for {
		a := f.next("-exec")
		if a == ";" || a == "+" && len(cmd) > 0 && cmd[len(cmd)-1] == "{}" {
			if a == ";" {
				return func(e entry) bool { return f.run(cmd, e.path) }
			}
			var all []string
			cmd = cmd[:len(cmd)-1]
			f.batches = append(f.batches, func() {
				if len(all) > 0 && !f.run(append(cmd, all...), "") {
					f.p.code = 1
				}
			})
			return func(e entry) bool { all = append(all, e.path); return true }
		}
		cmd = append(cmd, a)
	}
}

func (f *findParser) run(cmd []string, path string) bool {
	args := make([]string, len(cmd))
	for i, a := range cmd {
		args[i] = a
		if path != "" {
			args[i] = strings.ReplaceAll(a, "{}", path)
		}
	}
	_ = f.p.out.Flush()
	c := exec.Command(args[0], args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c.Run() == nil
}

// number reads "N", "+N" or "-N".
func (f *findParser) number(s string) func(int64) bool {
	n, err := strconv.ParseInt(strings.TrimLeft(s, "+-"), 10, 64)
	if err != nil {
		f.p.fatalf(1, "invalid number '%s'", s)
	}
	switch s[0] {
	case '+':
		return func(v int64) bool { return v > n }
	case '-':
		return func(v int64) bool { return v < n }
	}
	return func(v int64) bool { return v == n }
}

func (f *findParser) size(s string) findTest {
	unit := int64(512)
	switch s[max(len(s)-1, 0):] {
	case "c":
		unit = 1
	case "k":
		unit = 1 << 10
	case "M":
		unit = 1 << 20
	case "G":
		unit = 1 << 30
	}
	cmp := f.number(strings.TrimRight(s, "bckMG"))
	return func(e entry) bool { return cmp((e.info.Size() + unit - 1) / unit) }
}

func (f *findParser) perm(s string) findTest {
	n, err := strconv.ParseUint(strings.TrimLeft(s, "-/"), 8, 32)
	if err != nil {
		f.p.fatalf(1, "invalid mode '%s'", s)
	}
	want := uint32(n)
	return func(e entry) bool {
		m := statOf(e.info).Mode & 0o7777
		switch s[0] {
		case '-':
			return m&want == want
		case '/':
			return want == 0 || m&want != 0
		}
		return m == want
	}
}

func (f *findParser) owned(a string) findTest {
	file := "/etc/passwd"
	if a == "-group" || a == "-gid" {
		file = "/etc/group"
	}
	id, ok := idOf(file, f.next(a))
	if !ok {
		f.p.fatalf(1, "%s: no such name", a)
	}
	return func(e entry) bool {
		st := statOf(e.info)
		if file == "/etc/group" {
			return int(st.Gid) == id
		}
		return int(st.Uid) == id
	}
}

// pathGlob matches a pattern in which * and ? also match slashes.
func pathGlob(pattern, path string) bool {
	re := regexp.QuoteMeta(pattern)
	re = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(re)
	ok, err := regexp.MatchString("(?s)^"+re+"$", path)
	return ok && err == nil
}
