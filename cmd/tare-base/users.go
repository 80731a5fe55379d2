package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// passwd looks an entry of /etc/passwd or /etc/group up: by name (column 0)
// or by id (column 2).
func passwd(file string, column int, want string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Split(l, ":")
		if len(f) > column && len(f) > 2 && f[column] == want {
			return f
		}
	}
	return nil
}

func idName(file string, id int) string {
	if f := passwd(file, 2, strconv.Itoa(id)); f != nil {
		return f[0]
	}
	return ""
}

func userName(uid int) string  { return orNumber(idName("/etc/passwd", uid), uid) }
func groupName(gid int) string { return orNumber(idName("/etc/group", gid), gid) }

func orNumber(s string, n int) string {
	if s == "" {
		return strconv.Itoa(n)
	}
	return s
}

// idOf reads a number or a name of the file.
func idOf(file, s string) (int, bool) {
	if f := passwd(file, 0, s); f != nil {
		s = f[2]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil
}

func runID(p *proc, args []string) {
	o, rest := p.getopt(args, "ugGnr user=u group=g groups=G name=n real=r")
	uid, gid := os.Geteuid(), os.Getegid()
	if o.has('r') {
		uid, gid = os.Getuid(), os.Getgid()
	}
	groups, err := os.Getgroups()
	if err != nil {
		p.failf("groups: %s", reason(err))
	}
	if len(rest) > 0 {
		f := passwd("/etc/passwd", 0, rest[0])
		if len(f) < 4 {
			p.fatalf(1, "'%s': no such user", rest[0])
		}
		uid, _ = strconv.Atoi(f[2])
		gid, _ = strconv.Atoi(f[3])
		groups = nil
	}
	all := []int{gid}
	for _, g := range groups {
		if g != gid {
			all = append(all, g)
		}
	}
	show := func(file string, n int) string {
		if o.has('n') {
			return orNumber(idName(file, n), n)
		}
		return strconv.Itoa(n)
	}
	switch {
	case o.has('u'):
		p.println(show("/etc/passwd", uid))
	case o.has('g'):
		p.println(show("/etc/group", gid))
	case o.has('G'):
		var s []string
		for _, g := range all {
			s = append(s, show("/etc/group", g))
		}
		p.println(strings.Join(s, " "))
	default:
		with := func(file string, n int) string {
			if s := idName(file, n); s != "" {
				return strconv.Itoa(n) + "(" + s + ")"
			}
			return strconv.Itoa(n)
		}
		var s []string
		for _, g := range all {
			s = append(s, with("/etc/group", g))
		}
		p.printf("uid=%s gid=%s groups=%s\n", with("/etc/passwd", uid), with("/etc/group", gid), strings.Join(s, ","))
	}
}

func runWhoami(p *proc, _ []string) {
	if s := idName("/etc/passwd", os.Geteuid()); s != "" {
		p.println(s)
		return
	}
	p.failf("cannot find name for user ID %d", os.Geteuid())
}

func runGroups(p *proc, _ []string) { runID(p, []string{"-Gn"}) }

// owner reads "user[:group]" or ":group"; -1 leaves an id alone.
func owner(p *proc, s string) (uid, gid int) {
	u, g, has := strings.Cut(s, ":")
	uid, gid = -1, -1
	var ok bool
	if u != "" {
		if uid, ok = idOf("/etc/passwd", u); !ok {
			p.fatalf(1, "invalid user: '%s'", s)
		}
	}
	if has && g != "" {
		if gid, ok = idOf("/etc/group", g); !ok {
			p.fatalf(1, "invalid group: '%s'", s)
		}
	}
	return uid, gid
}

func runChown(p *proc, args []string) {
	o, rest := p.getopt(args, "Rhvf recursive=R no-dereference=h")
	if len(rest) < 2 {
		p.fatalf(1, "usage: %s [-Rh] OWNER[:GROUP] FILE...", p.name)
	}
	spec := rest[0]
	if p.name == "chgrp" {
		spec = ":" + spec
	}
	uid, gid := owner(p, spec)
	change := func(path string) {
		do := syscall.Chown
		if o.has('h') || o.has('R') {
			do = syscall.Lchown
		}
		if err := do(path, uid, gid); err != nil {
			p.failf("changing ownership of '%s': %s", path, reason(err))
		}
	}
	for _, f := range rest[1:] {
		if !o.has('R') {
			change(f)
			continue
		}
		walk(f, -1, func(e entry) bool {
			if e.err != nil {
				p.report(e.path, e.err)
				return false
			}
			change(e.path)
			return true
		})
	}
}
