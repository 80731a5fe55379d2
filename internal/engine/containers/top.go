package containers

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// Top lists the processes of a running container: column titles, and a row of
// values for each process. Args are options of ps(1); none are -ef. Ids and
// users are the host's.
func (e *Room) Top(ref string, args []string) (titles []string, rows [][]string, err error) {
	columns, err := parsePS(args)
	if err != nil {
		return nil, nil, err
	}
	id, err := e.State.Find(ref)
	if err != nil {
		return nil, nil, err
	}
	r, st, err := e.Load(id)
	if err != nil {
		return nil, nil, err
	}
	if !st.Running() {
		_, err := st.After(state.Signal)
		return nil, nil, err
	}
	pids, err := e.pids(r)
	if err != nil {
		return nil, nil, err
	}
	m := newPSMachine()
	for i := range columns {
		titles = append(titles, columns[i].title)
	}
	for _, pid := range pids {
		p, ok := readProcess(pid)
		if !ok {
			continue // it has ended
		}
		p.m = m
		row := make([]string, len(columns))
		for i := range columns {
			row[i] = columns[i].value(p)
		}
		rows = append(rows, row)
	}
	return titles, rows, nil
}

// pids lists the container's processes: those in its cgroup, or without one
// (a user's container) those in its first process's pid namespace.
func (e *Room) pids(r *state.Record) ([]int, error) {
	g, err := e.Group(r)
	if err == nil {
		defer g.Close()
		return g.Procs()
	}
	if fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var ns, other unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(r.Proc.Pid)+"/ns/pid", &ns); err != nil {
		return nil, err
	}
	var pids []int
	for _, en := range entries {
		if pid, err := strconv.Atoi(en.Name()); err == nil && unix.Stat("/proc/"+en.Name()+"/ns/pid", &other) == nil && other.Ino == ns.Ino {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// psMachine is what a list of processes needs besides the processes.
type psMachine struct {
	now    time.Time
	uptime float64 // seconds
	memory float64 // kB
	passwd []byte
	group  []byte
}

func newPSMachine() *psMachine {
	host := ground.Accounts(func(name string) (*os.File, error) { return os.Open("/" + name) })
	m := &psMachine{now: time.Now(), passwd: host.Passwd, group: host.Group} // without them there are numbers
	if b, err := os.ReadFile("/proc/uptime"); err == nil {
		text, _, _ := strings.Cut(string(b), " ")
		m.uptime, _ = strconv.ParseFloat(text, 64) // the kernel's
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
				m.memory, _ = strconv.ParseFloat(f[1], 64) // the kernel's
			}
		}
	}
	return m
}

// psProcess is a process as /proc shows it.
type psProcess struct {
	m        *psMachine
	pid      int
	uid, gid uint32
	comm     string
	args     string
	stat     []string // fields of /proc/PID/stat from the state, field 3, on
}

// Fields of /proc/PID/stat that columns show, counted from the state.
const (
	statState = iota
	statPPID
	statPGRP
	statSession
	statTTY
	statTPGID
	statUTime     = 11
	statSTime     = 12
	statPriority  = 15
	statNice      = 16
	statThreads   = 17
	statStart     = 19
	statVSize     = 20
	statRSS       = 21
	statProcessor = 36
)

// clockTicks is USER_HZ, 100 on all architectures that Go has.
const clockTicks = 100

func readProcess(pid int) (*psProcess, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, false
	}
	text := string(b)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return nil, false
	}
	p := &psProcess{pid: pid, comm: text[open+1 : end], stat: strings.Fields(text[end+1:])}
	if len(p.stat) <= statProcessor {
		return nil, false
	}
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return nil, false
	}
	p.uid, p.gid = st.Uid, st.Gid
	if b, err := os.ReadFile(dir + "/status"); err == nil { // the directory is root's when it is not dumpable
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 3 {
				continue
			}
			n, err := strconv.ParseUint(f[2], 10, 32) // the effective one
			if err == nil && f[0] == "Uid:" {
				p.uid = uint32(n)
			}
			if err == nil && f[0] == "Gid:" {
				p.gid = uint32(n)
			}
		}
	}
	p.args = "[" + p.comm + "]"
	if b, err := os.ReadFile(dir + "/cmdline"); err == nil && len(b) > 0 {
		p.args = printable(strings.TrimRight(string(b), "\x00"))
	}
	p.comm = printable(p.comm)
	return p, true
}

// printable keeps a process's text in one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return ' '
		case r < ' ' || r == 0x7f:
			return '?'
		}
		return r
	}, s)
}

func (p *psProcess) number(field int) int64 {
	n, err := strconv.ParseInt(p.stat[field], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ticks is the CPU time.
func (p *psProcess) ticks() int64 { return p.number(statUTime) + p.number(statSTime) }

// age is how long the process has been there, in seconds.
func (p *psProcess) age() float64 {
	return max(0, p.m.uptime-float64(p.number(statStart))/clockTicks)
}

func (p *psProcess) started() time.Time {
	return p.m.now.Add(-time.Duration(p.age() * float64(time.Second)))
}

// cpu is the share of one CPU over the process's life, in percent.
func (p *psProcess) cpu() float64 {
	if age := p.age(); age > 0 {
		return min(100*float64(p.ticks())/clockTicks/age, 9999)
	}
	return 0
}
