package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// clockTick is USER_HZ: 100 on every architecture that Linux has today.
const clockTick = 100

// process is one line of /proc/PID/stat and friends.
type process struct {
	pid, ppid, uid, session, tty int
	state                        string
	comm, args                   string
	ticks                        int64 // user and system time
	start                        int64 // ticks after boot
	vsz, rss                     int64 // KiB
	nice, threads                int
}

func processes() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var out []process
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if pr, ok := readProcess(pid); ok {
			out = append(out, pr)
		}
	}
	slices.SortFunc(out, func(a, b process) int { return a.pid - b.pid })
	return out
}

func readProcess(pid int) (process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/stat")
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 0 || end < open {
		return process{}, false // it has ended meanwhile
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 22 {
		return process{}, false
	}
	num := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	pr := process{
		pid: pid, comm: string(b[open+1 : end]), state: f[0], ppid: int(num(1)), session: int(num(3)),
		tty: int(num(4)), ticks: num(11) + num(12), nice: int(num(16)), threads: int(num(17)),
		start: num(19), vsz: num(20) / 1024, rss: num(21) * int64(os.Getpagesize()) / 1024,
	}
	if fi, err := os.Stat(dir); err == nil {
		pr.uid = int(statOf(fi).Uid)
	}
	cmd, _ := os.ReadFile(dir + "/cmdline")
	pr.args = strings.TrimSpace(string(bytes.ReplaceAll(cmd, []byte{0}, []byte{' '})))
	pr.args = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' ' // one process, one line
		}
		return r
	}, pr.args)
	if pr.args == "" {
		pr.args = "[" + pr.comm + "]"
	}
	return pr, true
}

// boot is when the clock that /proc counts from was zero: in a time namespace
// that is the namespace's own.
func boot() time.Time { return time.Now().Add(-uptime()) }

func uptime() time.Duration {
	b, _ := os.ReadFile("/proc/uptime")
	s, _, _ := strings.Cut(string(b), " ")
	f, _ := strconv.ParseFloat(s, 64)
	return time.Duration(f * float64(time.Second))
}

func ttyName(dev int) string {
	switch maj, mnr := major(uint64(dev)), minor(uint64(dev)); {
	case dev == 0:
		return "?"
	case maj == 136:
		return "pts/" + strconv.Itoa(int(mnr))
	case maj == 4 && mnr < 64:
		return "tty" + strconv.Itoa(int(mnr))
	case maj == 4:
		return "ttyS" + strconv.Itoa(int(mnr)-64)
	default:
		return "?"
	}
}

func (pr *process) stat() string {
	s := pr.state
	if pr.nice < 0 {
		s += "<"
	} else if pr.nice > 0 {
		s += "N"
	}
	if pr.session == pr.pid {
		s += "s"
	}
	if pr.threads > 1 {
		s += "l"
	}
	return s
}

// psColumn is one column that ps knows.
type psColumn struct {
	name, title string
	right       bool
	value       func(pr *process, now time.Time) string
}

func psColumns() []psColumn {
	hms := func(ticks int64) string {
		s := ticks / clockTick
		return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	number := func(f func(*process) int64) func(*process, time.Time) string {
		return func(pr *process, _ time.Time) string { return strconv.FormatInt(f(pr), 10) }
	}
	text := func(f func(*process) string) func(*process, time.Time) string {
		return func(pr *process, _ time.Time) string { return f(pr) }
	}
	started := func(pr *process, now time.Time) string {
		t := boot().Add(time.Duration(pr.start) * time.Second / clockTick)
		if now.Sub(t) > 24*time.Hour {
			return t.Format("Jan02")
		}
		return t.Format("15:04")
	}
	cpu := func(pr *process, _ time.Time) string {
		alive := uptime().Seconds() - float64(pr.start)/clockTick
		return strconv.FormatFloat(min(float64(pr.ticks)/clockTick/max(alive, 0.01)*100, 999), 'f', 1, 64)
	}
	mem := func(pr *process, _ time.Time) string {
		total := meminfo()["MemTotal"]
		return strconv.FormatFloat(float64(pr.rss)/float64(max(total, 1))*100, 'f', 1, 64)
	}
	return []psColumn{
		{"user", "USER", false, text(func(pr *process) string { return userName(pr.uid) })},
		{"uid", "UID", true, number(func(pr *process) int64 { return int64(pr.uid) })},
		{"pid", "PID", true, number(func(pr *process) int64 { return int64(pr.pid) })},
		{"ppid", "PPID", true, number(func(pr *process) int64 { return int64(pr.ppid) })},
		{"c", "C", true, number(func(*process) int64 { return 0 })},
		{"pcpu", "%CPU", true, cpu},
		{"pmem", "%MEM", true, mem},
		{"vsz", "VSZ", true, number(func(pr *process) int64 { return pr.vsz })},
		{"rss", "RSS", true, number(func(pr *process) int64 { return pr.rss })},
		{"tty", "TTY", false, text(func(pr *process) string { return ttyName(pr.tty) })},
		{"stat", "STAT", false, text((*process).stat)},
		{"start", "START", false, started},
		{"stime", "STIME", false, started},
		{"bsdtime", "TIME", true, text(func(pr *process) string {
			s := pr.ticks / clockTick
			return fmt.Sprintf("%d:%02d", s/60, s%60)
		})},
		{"time", "TIME", true, text(func(pr *process) string { return hms(pr.ticks) })},
		{"nlwp", "NLWP", true, number(func(pr *process) int64 { return int64(pr.threads) })},
		{"ni", "NI", true, number(func(pr *process) int64 { return int64(pr.nice) })},
		{"comm", "COMMAND", false, text(func(pr *process) string { return pr.comm })},
		{"cmd", "CMD", false, text(func(pr *process) string { return pr.args })},
		{"args", "COMMAND", false, text(func(pr *process) string { return pr.args })},
	}
}

func runPs(p *proc, args []string) {
	format, all, want := "pid,tty,time,comm", false, map[int]bool{}
	for i := 0; i < len(args); i++ {
		a := strings.TrimPrefix(args[i], "-")
		switch {
		case (a == "o" || a == "p") && i+1 < len(args):
			i++
			if a == "o" {
				format = args[i]
				continue
			}
			for _, s := range strings.Split(args[i], ",") {
				n, _ := strconv.Atoi(s)
				want[n] = true
			}
		case strings.Trim(a, "axuwef") == "" && a != "":
			all = all || strings.ContainsAny(a, "axe")
			switch {
			case strings.Contains(a, "u"):
				format = "user,pid,pcpu,pmem,vsz,rss,tty,stat,start,bsdtime,args"
			case strings.Contains(a, "f") && args[i][0] == '-':
				format = "user=UID,pid,ppid,c,stime,tty,time,cmd"
			case strings.Contains(a, "x"):
				format = "pid,tty,stat,bsdtime,args"
			}
		case strings.Trim(a, "eA") == "" && a != "":
			all = true
		default:
			p.fatalf(1, "unknown option '%s'; known: aux, -e, -ef, -o COLUMNS, -p PIDS", args[i])
		}
	}
	var cols []psColumn
	heading := false
	for _, f := range strings.Split(format, ",") {
		name, title, renamed := strings.Cut(f, "=")
		i := slices.IndexFunc(psColumns(), func(c psColumn) bool { return c.name == psAlias(name) })
		if i < 0 {
			p.fatalf(1, "unknown column '%s'", name)
		}
		c := psColumns()[i]
		if renamed {
			c.title = title
		}
		heading = heading || c.title != ""
		cols = append(cols, c)
	}
	var rows [][]string
	if heading {
		var titles []string
		for _, c := range cols {
			titles = append(titles, c.title)
		}
		rows = append(rows, titles)
	}
	self, _ := readProcess(os.Getpid())
	now := time.Now()
	list, found := processes(), false
	for i := range list {
		pr := &list[i]
		if len(want) > 0 && !want[pr.pid] || len(want) == 0 && !all && pr.session != self.session {
			continue
		}
		found = true
		var row []string
		for _, c := range cols {
			row = append(row, c.value(pr, now))
		}
		rows = append(rows, row)
	}
	if !found {
		p.code = 1
	}
	psPrint(p, cols, rows)
}

func psAlias(name string) string {
	switch name {
	case "%cpu":
		return "pcpu"
	case "%mem":
		return "pmem"
	case "tt", "tname":
		return "tty"
	case "command":
		return "args"
	case "ucmd", "ucomm":
		return "comm"
	case "s", "state":
		return "stat"
	case "euser", "uname":
		return "user"
	}
	return name
}

func psPrint(p *proc, cols []psColumn, rows [][]string) {
	width := make([]int, len(cols))
	for _, r := range rows {
		for i, s := range r {
			width[i] = max(width[i], len(s))
		}
	}
	limit := 1 << 20
	if w, _, err := term.GetSize(1); err == nil && w > 0 {
		limit = w
	}
	for _, r := range rows {
		var b strings.Builder
		for i, s := range r {
			if i > 0 {
				b.WriteByte(' ')
			}
			switch {
			case cols[i].right:
				fmt.Fprintf(&b, "%*s", width[i], s)
			case i == len(r)-1:
				b.WriteString(s)
			default:
				fmt.Fprintf(&b, "%-*s", width[i], s)
			}
		}
		s := b.String()
		p.println(s[:min(len(s), limit)])
	}
}

// runPgrep is pgrep, pkill, pidof and killall: processes by name.
func runPgrep(p *proc, args []string) {
	sig := syscall.SIGTERM
	if len(args) > 0 && strings.HasSuffix(p.name, "kill") || p.name == "killall" {
		if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
			if s, ok := parseSignal(args[0][1:]); ok {
				sig, args = s, args[1:]
			}
		}
	}
	o, names := p.getopt(args, "fxlaqso full=f exact=x list-name=l")
	if len(names) == 0 {
		p.fatalf(2, "usage: %s NAME...", p.name)
	}
	exact := o.has('x') || p.name == "pidof" || p.name == "killall"
	found := false
	var pids []string
	for _, pr := range processes() {
		text := pr.comm
		if o.has('f') {
			text = pr.args
		}
		hit := slices.ContainsFunc(names, func(n string) bool {
			if exact {
				// comm is cut to 15 bytes by the kernel
				return text == n || len(n) > 15 && text == n[:15]
			}
			return strings.Contains(text, n)
		})
		if !hit || pr.pid == os.Getpid() {
			continue
		}
		found = true
		switch {
		case strings.Contains(p.name, "kill"):
			if err := syscall.Kill(pr.pid, sig); err != nil {
				p.failf("(%d): %s", pr.pid, reason(err))
			}
		case o.has('l'):
			p.printf("%d %s\n", pr.pid, pr.comm)
		case o.has('a'):
			p.printf("%d %s\n", pr.pid, pr.args)
		case p.name == "pidof":
			pids = append(pids, strconv.Itoa(pr.pid))
		default:
			p.println(pr.pid)
		}
	}
	if len(pids) > 0 {
		slices.Reverse(pids)
		p.println(strings.Join(pids, " "))
	}
	if !found {
		p.code = 1
	}
}
