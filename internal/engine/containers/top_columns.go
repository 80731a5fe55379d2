package containers

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/spec/userdb"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// psColumn is a column of ps(1): its names after -o, its title.
type psColumn struct {
	names string
	title string
	value func(*psProcess) string
}

// psColumns are the columns that there are.
var psColumns = []psColumn{
	{"pid tgid", "PID", func(p *psProcess) string { return strconv.Itoa(p.pid) }},
	{"ppid", "PPID", func(p *psProcess) string { return p.stat[statPPID] }},
	{"pgid pgrp", "PGID", func(p *psProcess) string { return p.stat[statPGRP] }},
	{"sid sess session", "SID", func(p *psProcess) string { return p.stat[statSession] }},
	{"user euser uname", "USER", (*psProcess).user},
	{"uid euid", "UID", func(p *psProcess) string { return strconv.Itoa(int(p.uid)) }},
	{"group egroup", "GROUP", (*psProcess).group},
	{"gid egid", "GID", func(p *psProcess) string { return strconv.Itoa(int(p.gid)) }},
	{"comm ucmd ucomm", "COMMAND", func(p *psProcess) string { return p.comm }},
	{"args command", "COMMAND", func(p *psProcess) string { return p.args }},
	{"cmd", "CMD", func(p *psProcess) string { return p.args }},
	{"%cpu pcpu", "%CPU", func(p *psProcess) string { return fmt.Sprintf("%.1f", p.cpu()) }},
	{"c", "C", func(p *psProcess) string { return strconv.Itoa(min(int(p.cpu()), 99)) }},
	{"%mem pmem", "%MEM", (*psProcess).memory},
	{"vsz vsize", "VSZ", func(p *psProcess) string { return strconv.FormatInt(p.number(statVSize)/1024, 10) }},
	{"rss rssize rsz", "RSS", func(p *psProcess) string { return strconv.FormatInt(p.rss(), 10) }},
	{"sz", "SZ", func(p *psProcess) string { return strconv.FormatInt(p.number(statVSize)/int64(os.Getpagesize()), 10) }},
	{"stat", "STAT", (*psProcess).state},
	{"s state", "S", func(p *psProcess) string { return p.stat[statState] }},
	{"tty tt tname", "TTY", (*psProcess).tty},
	{"time cputime", "TIME", func(p *psProcess) string { return clock(p.ticks()/clockTicks, true) }},
	{"etime", "ELAPSED", func(p *psProcess) string { return clock(int64(p.age()), false) }},
	{"etimes", "ELAPSED", func(p *psProcess) string { return strconv.Itoa(int(p.age())) }},
	{"stime", "STIME", (*psProcess).startTime},
	{"start start_time", "START", (*psProcess).startTime},
	{"lstart", "STARTED", func(p *psProcess) string { return p.started().Format("Mon Jan _2 15:04:05 2006") }},
	{"pri", "PRI", func(p *psProcess) string { return strconv.FormatInt(39-p.number(statPriority), 10) }},
	{"ni nice", "NI", func(p *psProcess) string { return p.stat[statNice] }},
	{"nlwp thcount", "NLWP", func(p *psProcess) string { return p.stat[statThreads] }},
	{"psr", "PSR", func(p *psProcess) string { return p.stat[statProcessor] }},
}

// The lists of columns that options stand for.
var (
	psFull  = "user:UID pid ppid c stime tty time cmd"
	psPlain = "pid tty time comm:CMD"
	psBSD   = "pid tty stat bsdtime:TIME args"
	psUser  = "user pid %cpu %mem vsz rss tty stat start_time bsdtime:TIME args"
	psJobs  = "pid pgid sid tty time comm:CMD"
	psExtra = "user:UID pid ppid c sz rss psr stime tty time cmd"
)

// parsePS reads the options of ps(1): those that choose processes are all
// the same, since it is the container that does.
func parsePS(args []string) ([]psColumn, error) {
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	list, given := "", ""
	bsd := false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if format, ok := strings.CutPrefix(arg, "--format="); ok {
			given += " " + format
			continue
		}
		flags, dash := strings.CutPrefix(arg, "-")
		if strings.HasPrefix(flags, "-") || flags == "" {
			return nil, psRefused(arg)
		}
		for i := 0; i < len(flags); i++ {
			switch c := flags[i]; {
			case c == 'o':
				format := flags[i+1:]
				if format == "" && len(args) > 0 {
					format, args = args[0], args[1:]
				}
				if format == "" {
					return nil, fault.New(fault.Invalid, "ps: %s: a list of columns is missing", arg)
				}
				given, i = given+" "+format, len(flags)
			case dash && c == 'f':
				list = psFull
			case dash && c == 'F':
				list = psExtra
			case c == 'j':
				list = psJobs
			case !dash && c == 'u':
				list, bsd = psUser, true
			case !dash && (c == 'a' || c == 'x'):
				bsd = true
			case dash && strings.IndexByte("aAdexNw", c) >= 0, c == 'w', !dash && c == 'f':
			default:
				return nil, psRefused(arg)
			}
		}
	}
	switch {
	case given != "":
		list = given
	case list == "" && bsd:
		list = psBSD
	case list == "":
		list = psPlain
	}
	return psList(list)
}

func psRefused(arg string) error {
	return fault.WithHint(fault.New(fault.Unsupported, "ps: option %s is not supported", arg), "use -e, -f, -F, -j, aux and -o LIST")
}

// psList reads names of columns, each with a title of its own behind a colon
// or an equals sign.
func psList(list string) ([]psColumn, error) {
	var columns []psColumn
	pid := false
	for name := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ' ' || r == ',' }) {
		title := ""
		if i := strings.IndexAny(name, ":="); i >= 0 {
			name, title = name[:i], name[i+1:]
			if _, err := strconv.Atoi(title); err == nil {
				title = "" // a width
			}
		}
		c, ok := psColumnOf(strings.ToLower(name))
		if !ok {
			return nil, fault.New(fault.Invalid, "ps: unknown column %q", name)
		}
		if title != "" {
			c.title = title
		}
		pid = pid || c.title == "PID"
		columns = append(columns, c)
	}
	if !pid {
		return nil, fault.New(fault.Invalid, "couldn't find PID field in ps output")
	}
	return columns, nil
}

func psColumnOf(name string) (psColumn, bool) {
	if name == "bsdtime" {
		return psColumn{name, "TIME", func(p *psProcess) string {
			s := p.ticks() / clockTicks
			return fmt.Sprintf("%d:%02d", s/60, s%60)
		}}, true
	}
	for i := range psColumns {
		for n := range strings.FieldsSeq(psColumns[i].names) {
			if n == name {
				return psColumns[i], true
			}
		}
	}
	return psColumn{}, false
}

func (p *psProcess) user() string {
	if e, ok := userdb.FindPasswd(p.m.passwd, func(e *userdb.PasswdEntry) bool { return e.UID == p.uid }); ok {
		return e.Name
	}
	return strconv.Itoa(int(p.uid))
}

func (p *psProcess) group() string {
	name := strconv.Itoa(int(p.gid))
	userdb.EachGroup(p.m.group, func(g *userdb.GroupEntry) bool {
		if g.GID != p.gid {
			return true
		}
		name = g.Name
		return false
	})
	return name
}

// rss is the resident memory in kB.
func (p *psProcess) rss() int64 { return p.number(statRSS) * int64(os.Getpagesize()) / 1024 }

func (p *psProcess) memory() string {
	if p.m.memory == 0 {
		return "0.0"
	}
	return fmt.Sprintf("%.1f", 100*float64(p.rss())/p.m.memory)
}

// state is the state with the letters that ps adds.
func (p *psProcess) state() string {
	s := p.stat[statState]
	switch n := p.number(statNice); {
	case n < 0:
		s += "<"
	case n > 0:
		s += "N"
	}
	if p.number(statSession) == int64(p.pid) {
		s += "s"
	}
	if p.number(statThreads) > 1 {
		s += "l"
	}
	if p.number(statTPGID) == p.number(statPGRP) {
		s += "+"
	}
	return s
}

// tty names the controlling terminal by its number.
func (p *psProcess) tty() string {
	n := uint64(p.number(statTTY))
	major, minor := unix.Major(n), unix.Minor(n)
	switch {
	case n == 0:
		return "?"
	case major >= 136 && major <= 143: // Unix98 ptys (devices.txt)
		return "pts/" + strconv.Itoa(int(minor+(major-136)*256))
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(int(minor))
	case major == 4:
		return "ttyS" + strconv.Itoa(int(minor-64))
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

// startTime is a time of today, or else a day.
func (p *psProcess) startTime() string {
	t, now := p.started(), p.m.now
	switch {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04")
	case now.Sub(t).Hours() < 24*365:
		return t.Format("Jan02")
	}
	return t.Format("2006")
}

// clock writes seconds as [DD-]hh:mm:ss; without hours where they are 0 and
// not wanted.
func clock(s int64, hours bool) string {
	d, h, m := s/86400, s/3600%24, s/60%60
	switch {
	case d > 0:
		return fmt.Sprintf("%d-%02d:%02d:%02d", d, h, m, s%60)
	case hours || h > 0:
		return fmt.Sprintf("%02d:%02d:%02d", h, m, s%60)
	}
	return fmt.Sprintf("%02d:%02d", m, s%60)
}
