package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

func cstring(b []byte) string { return unix.ByteSliceToString(b) }

func runUname(p *proc, args []string) {
	o, _ := p.getopt(args, "asnrvmpio all=a kernel-name=s nodename=n kernel-release=r kernel-version=v machine=m operating-system=o")
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	if len(o) == 0 {
		o['s'] = []string{""}
	}
	var out []string
	for _, f := range []struct {
		c byte
		s string
	}{
		{'s', cstring(u.Sysname[:])},
		{'n', cstring(u.Nodename[:])},
		{'r', cstring(u.Release[:])},
		{'v', cstring(u.Version[:])},
		{'m', cstring(u.Machine[:])},
		{'o', "GNU/Linux"},
	} {
		if o.has(f.c) || o.has('a') {
			out = append(out, f.s)
		}
	}
	p.println(strings.Join(out, " "))
}

func runNproc(p *proc, args []string) {
	o, _ := p.getopt(args, "a all=a")
	if o.has('a') {
		b, _ := os.ReadFile("/sys/devices/system/cpu/present")
		if _, last, ok := strings.Cut(strings.TrimSpace(string(b)), "-"); ok {
			if n, err := strconv.Atoi(last); err == nil {
				p.println(n + 1)
				return
			}
		}
	}
	p.println(runtime.NumCPU())
}

func runDate(p *proc, args []string) {
	o, rest := p.getopt(args, "ud:r:IRs: utc=u date=d reference=r iso-8601=I rfc-email=R set=s")
	t := time.Now()
	switch {
	case o.has('d'):
		var ok bool
		if t, ok = parseDate(o.get('d', "")); !ok {
			p.fatalf(1, "invalid date '%s'", o.get('d', ""))
		}
	case o.has('r'):
		fi, err := os.Stat(o.get('r', ""))
		if err != nil {
			p.fatalf(1, "%s: %s", o.get('r', ""), reason(err))
		}
		t = fi.ModTime()
	case o.has('s'):
		var ok bool
		if t, ok = parseDate(o.get('s', "")); !ok {
			p.fatalf(1, "invalid date '%s'", o.get('s', ""))
		}
		tv := unix.NsecToTimeval(t.UnixNano())
		if err := unix.Settimeofday(&tv); err != nil {
			p.failf("cannot set date: %s", reason(err))
		}
	}
	if o.has('u') {
		t = t.UTC()
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	switch {
	case o.has('I'):
		format = "%Y-%m-%d"
	case o.has('R'):
		format = "%a, %d %b %Y %H:%M:%S %z"
	case len(rest) > 0 && strings.HasPrefix(rest[0], "+"):
		format = rest[0][1:]
	case len(rest) > 0:
		p.fatalf(1, "invalid date '%s'", rest[0])
	}
	p.println(strftime(format, t))
}

func parseDate(s string) (time.Time, bool) {
	if n, ok := strings.CutPrefix(s, "@"); ok {
		f, err := strconv.ParseFloat(n, 64)
		return time.Unix(0, int64(f*1e9)), err == nil
	}
	if s == "now" || s == "" {
		return time.Now(), true
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05", "2006-01-02 15:04",
		"2006-01-02", "2006-01-02T15:04:05", time.RFC1123Z, time.RFC1123, time.UnixDate, "15:04:05", "15:04",
	} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func strftime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		layout := ""
		switch c := format[i]; c {
		case 'Y':
			layout = "2006"
		case 'm':
			layout = "01"
		case 'd':
			layout = "02"
		case 'e':
			layout = "_2"
		case 'H':
			layout = "15"
		case 'I':
			layout = "03"
		case 'M':
			layout = "04"
		case 'S':
			layout = "05"
		case 'N':
			b.WriteString(t.Format(".000000000")[1:])
		case 's':
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		case 'y':
			layout = "06"
		case 'b', 'h':
			layout = "Jan"
		case 'B':
			layout = "January"
		case 'a':
			layout = "Mon"
		case 'A':
			layout = "Monday"
		case 'j':
			layout = "002"
		case 'p':
			layout = "PM"
		case 'Z':
			layout = "MST"
		case 'z':
			layout = "-0700"
		case 'F':
			layout = "2006-01-02"
		case 'D':
			layout = "01/02/06"
		case 'T':
			layout = "15:04:05"
		case 'R':
			layout = "15:04"
		case 'c':
			layout = "Mon Jan _2 15:04:05 2006"
		case 'u':
			b.WriteString(strconv.Itoa((int(t.Weekday())+6)%7 + 1))
		case 'w':
			b.WriteString(strconv.Itoa(int(t.Weekday())))
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '%':
			b.WriteByte('%')
		default:
			b.WriteByte('%')
			b.WriteByte(c)
		}
		if layout != "" {
			b.WriteString(t.Format(layout))
		}
	}
	return b.String()
}

func runUptime(p *proc, _ []string) {
	up := uptime()
	b, _ := os.ReadFile("/proc/loadavg")
	load := strings.Fields(string(b))
	load = load[:min(3, len(load))]
	days := ""
	if d := int(up.Hours()) / 24; d > 0 {
		days = strconv.Itoa(d) + " days, "
	}
	p.printf(" %s up %s%2d:%02d,  load average: %s\n", time.Now().Format("15:04:05"), days,
		int(up.Hours())%24, int(up.Minutes())%60, strings.Join(load, ", "))
}

// meminfo is /proc/meminfo in KiB.
func meminfo() map[string]int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	m := map[string]int64{}
	for _, l := range strings.Split(string(b), "\n") {
		name, rest, _ := strings.Cut(l, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			m[name], _ = strconv.ParseInt(f[0], 10, 64)
		}
	}
	return m
}

func runFree(p *proc, args []string) {
	o, _ := p.getopt(args, "bkmgh")
	m := meminfo()
	show := func(kib int64) string {
		switch {
		case o.has('b'):
			return strconv.FormatInt(kib<<10, 10)
		case o.has('m'):
			return strconv.FormatInt(kib>>10, 10)
		case o.has('g'):
			return strconv.FormatInt(kib>>20, 10)
		case o.has('h'):
			return human(uint64(max(kib, 0))<<10) + "i"
		}
		return strconv.FormatInt(kib, 10)
	}
	cache := m["Buffers"] + m["Cached"] + m["SReclaimable"]
	row := func(name string, v ...int64) {
		p.printf("%-7s", name)
		for _, n := range v {
			p.printf("%12s", show(n))
		}
		p.println()
	}
	p.println("               total        used        free      shared  buff/cache   available")
	row("Mem:", m["MemTotal"], m["MemTotal"]-m["MemAvailable"], m["MemFree"], m["Shmem"], cache, m["MemAvailable"])
	row("Swap:", m["SwapTotal"], m["SwapTotal"]-m["SwapFree"], m["SwapFree"])
}

func runTty(p *proc, args []string) {
	o, _ := p.getopt(args, "s silent=s quiet=s")
	name := "not a tty"
	if term.IsTerminal(0) {
		if n, err := os.Readlink("/proc/self/fd/0"); err == nil {
			name = n
		}
	} else {
		p.code = 1
	}
	if !o.has('s') {
		p.println(name)
	}
}

func runSync(p *proc, args []string) {
	if len(args) == 0 {
		syscall.Sync()
	}
	for _, n := range args {
		f, err := os.Open(n)
		if err == nil {
			err = f.Sync()
			_ = f.Close()
		}
		if err != nil {
			p.report(n, err)
		}
	}
}

func runPwd(p *proc, args []string) {
	o, _ := p.getopt(args, "LP")
	d, err := os.Getwd() // honours $PWD when it is true
	if err == nil && o.has('P') {
		d, err = filepath.EvalSymlinks(d)
	}
	if err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	p.println(d)
}

func runBasename(p *proc, args []string) {
	o, a := p.getopt(args, "+as: multiple=a suffix=s")
	if len(a) == 0 {
		p.fatalf(1, "missing operand")
	}
	suffix := o.get('s', "")
	if !o.has('a') && !o.has('s') {
		if len(a) > 1 {
			suffix = a[1]
		}
		a = a[:1]
	}
	for _, s := range a {
		s = filepath.Base(s)
		if s != suffix {
			s = strings.TrimSuffix(s, suffix)
		}
		p.println(s)
	}
}

func runDirname(p *proc, args []string) {
	_, a := p.getopt(args, "+")
	if len(a) == 0 {
		p.fatalf(1, "missing operand")
	}
	for _, s := range a {
		s = strings.TrimRight(s, "/")
		i := strings.LastIndexByte(s, '/')
		switch {
		case i < 0 && s == "" && a[0] != "":
			p.println("/")
		case i < 0:
			p.println(".")
		case strings.TrimRight(s[:i], "/") == "":
			p.println("/")
		default:
			p.println(strings.TrimRight(s[:i], "/"))
		}
	}
}

func runReadlink(p *proc, args []string) {
	o, names := p.getopt(args, "fenmqsv canonicalize=f canonicalize-existing=e canonicalize-missing=m no-newline=n")
	canonical := p.name == "realpath" || o.has('f') || o.has('e') || o.has('m')
	if len(names) == 0 {
		p.fatalf(1, "missing operand")
	}
	for _, n := range names {
		to, err := os.Readlink(n)
		if canonical {
			to, err = realpath(n, o.has('e'), o.has('m'))
		}
		switch {
		case err == nil && o.has('n') && p.name == "readlink":
			p.printf("%s", to)
		case err == nil:
			p.println(to)
		case p.name == "realpath":
			p.report(n, err)
		default:
			p.code = 1
		}
	}
}

// realpath resolves every link; the last element need not exist, nor any
// when missing is set.
func realpath(path string, existing, missing bool) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	full, err := filepath.EvalSymlinks(abs)
	if err == nil || existing || !os.IsNotExist(err) {
		return full, err
	}
	if to, e := os.Readlink(abs); e == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(abs), to)
		}
		return realpath(to, existing, missing)
	}
	if missing {
		dir, err := realpath(filepath.Dir(abs), false, true)
		return filepath.Join(dir, filepath.Base(abs)), err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	return filepath.Join(dir, filepath.Base(abs)), err
}
