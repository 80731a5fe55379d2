package cgroupfs

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Group is one container's cgroup in all hierarchies, held by directory fds.
// It is not safe for concurrent use.
type Group struct {
	layout  cgroup.Layout
	path    string
	in      []place // by hierarchy
	missing []cgroup.Missing
}

// place is the group's share in one hierarchy.
type place struct {
	parentPath, name string
	parent           int      // fd of the parent directory, or -1
	there            bool     // the group's own directory exists
	dir              int      // its fd, or -1: most hierarchies never need one (see Group.dir)
	tasks            int      // fd of dir/tasks, or -1
	chain            []int    // v2: fds of all directories from the mount to the parent (the last one is parent)
	made             bool     // the directory was made here
	madeParents      []string // ancestors that were made here, relative to the mount
	skip             bool     // left out: an optional hierarchy without permission
}

func newGroup(l cgroup.Layout, path string) (*Group, error) {
	dirs, err := l.Dirs(path)
	if err != nil {
		return nil, err
	}
	g := &Group{layout: l, path: path, in: make([]place, len(dirs))}
	for i, d := range dirs {
		p := &g.in[i]
		p.parent, p.dir, p.tasks = -1, -1, -1
		p.name = d
		if n := strings.LastIndexByte(d, '/'); n >= 0 {
			p.parentPath, p.name = d[:n], d[n+1:]
		}
	}
	return g, nil
}

// Open finds the group of an earlier Create, for any process. Hierarchies
// that lack the directory are left out; a group that exists nowhere is
// fault.NotFound. path is Set.Path, which must be absolute.
func Open(l cgroup.Layout, path string) (*Group, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fault.New(fault.Invalid, "open cgroup %s: not an absolute path", path)
	}
	g, err := newGroup(l, path)
	if err != nil {
		return nil, err
	}
	found := false
	for i := range g.in {
		if l.Hierarchies[i].ReadOnly {
			continue
		}
		p := &g.in[i]
		parent := join(l.Hierarchies[i].Mount, p.parentPath)
		if p.parent, err = openat(unix.AT_FDCWD, parent, unix.O_PATH|dirFlags); err == nil {
			p.dir, err = openat(p.parent, p.name, unix.O_RDONLY|dirFlags)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			g.Close()
			return nil, fail("open", join(parent, p.name), err)
		}
		p.there = err == nil
		found = found || p.there
	}
	if !found {
		g.Close()
		return nil, fault.New(fault.NotFound, "open cgroup %s: no such group", path)
	}
	return g, nil
}

// Missing lists limits whose file turned out to be absent (Create, Update).
func (g *Group) Missing() []cgroup.Missing { return g.missing }

// TasksFDs returns one fd for each v1 hierarchy, to which the child writes
// "0" to join. They belong to the Group.
func (g *Group) TasksFDs() []int {
	fds := make([]int, 0, len(g.in))
	for i := range g.in {
		if g.in[i].tasks >= 0 {
			fds = append(fds, g.in[i].tasks)
		}
	}
	return fds
}

// OpenTasks fills TasksFDs on a group from Open, for a further process that
// is to join.
func (g *Group) OpenTasks() error {
	for i := range g.in {
		p := &g.in[i]
		if g.layout.Hierarchies[i].Unified || !p.there || p.tasks >= 0 {
			continue
		}
		var err error
		if p.tasks, err = openat(p.parent, p.name+"/tasks", unix.O_WRONLY); err != nil {
			return fail("open", g.target(i)+"/tasks", err)
		}
	}
	return nil
}

// UnifiedFD returns the v2 directory for CLONE_INTO_CGROUP, or -1. Hybrid
// hosts have both this and TasksFDs.
func (g *Group) UnifiedFD() int {
	if i := g.layout.Unified(); i >= 0 {
		return g.dir(i)
	}
	return -1
}

// CloseTasks closes the fds of TasksFDs once the child has joined.
func (g *Group) CloseTasks() {
	for i := range g.in {
		closeFD(&g.in[i].tasks)
	}
}

// Close closes all fds; the group itself stays.
func (g *Group) Close() {
	for i := range g.in {
		p := &g.in[i]
		closeFD(&p.tasks)
		closeFD(&p.dir)
		p.closeParent()
	}
}

func (p *place) closeParent() {
	if len(p.chain) > 0 {
		p.parent = -1 // it is the last of the chain
	}
	for i := range p.chain {
		closeFD(&p.chain[i])
	}
	p.chain = nil
	closeFD(&p.parent)
}

// target is the directory's name in messages.
func (g *Group) target(i int) string {
	return join(join(g.layout.Hierarchies[i].Mount, g.in[i].parentPath), g.in[i].name)
}

func join(dir, name string) string {
	if name == "" {
		return dir
	}
	return dir + "/" + name
}

// find returns the group's directory fd in the hierarchy of a controller, or
// -1.
func (g *Group) find(controller string) int {
	if i := g.layout.Find(controller); i >= 0 {
		return g.dir(i)
	}
	return -1
}

// dir returns the group's directory in hierarchy i, opened on first use, or
// -1 where it is not (or no longer) there.
func (g *Group) dir(i int) int {
	p := &g.in[i]
	if p.there && p.dir < 0 {
		p.dir, _ = openat(p.parent, p.name, unix.O_RDONLY|dirFlags) // -1: removed meanwhile
	}
	return p.dir
}

// Procs lists the processes of the group and its sub-groups, unsorted.
func (g *Group) Procs() ([]int, error) {
	var pids []int
	for _, i := range g.witnesses() {
		var err error
		if pids, err = procsBelow(g.dir(i), pids); err != nil {
			return nil, fail("read", g.target(i)+"/cgroup.procs", err)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// witnesses are the hierarchies that together know every process of the
// group: v2, where a child may be born into it, and one of v1, preferably one
// that containers cannot do without.
func (g *Group) witnesses() []int {
	var out []int
	u := g.layout.Unified()
	if u >= 0 && g.dir(u) >= 0 {
		out = append(out, u)
	}
	for _, c := range [...]string{"freezer", "devices", "pids", "memory"} {
		if i := g.layout.Find(c); i >= 0 && i != u && g.dir(i) >= 0 {
			return append(out, i)
		}
	}
	for i := range g.in {
		if i != u && g.dir(i) >= 0 {
			return append(out, i)
		}
	}
	return out
}

// procsBelow appends the processes of dir and of every group below it.
func procsBelow(dir int, pids []int) ([]int, error) {
	text, err := readAt(dir, "cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) { // a threaded v2 group
		text, err = readAt(dir, "cgroup.threads")
	}
	if gone(err) {
		return pids, nil
	}
	if err != nil {
		return nil, err
	}
	pids = append(pids, cgroup.Procs(text)...)
	err = eachSubdir(dir, func(name string) error {
		sub, err := openat(dir, name, unix.O_RDONLY|dirFlags)
		if err != nil {
			if gone(err) {
				return nil
			}
			return err
		}
		pids, err = procsBelow(sub, pids)
		closeFD(&sub)
		return err
	})
	return pids, err
}

// gone tells whether err says that the group was removed meanwhile.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) }

// eachSubdir calls f for each directory in dir.
func eachSubdir(dir int, f func(name string) error) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if st.Nlink == 2 { // kernfs counts sub-directories
		return nil
	}
	names, err := namesIn(dir, unix.DT_DIR)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := f(name); err != nil {
			return err
		}
	}
	return nil
}

// namesIn lists the entries of dir that have a type. There are none in a
// group that is gone.
func namesIn(dir int, kind byte) ([]string, error) {
	fd, err := openat(dir, ".", unix.O_RDONLY|dirFlags) // own offset
	if err != nil {
		if gone(err) {
			return nil, nil
		}
		return nil, err
	}
	defer closeFD(&fd)
	var names []string
	buf := make([]byte, 8192)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil && !gone(err) {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		names = appendNames(names, buf[:n], kind)
	}
}

// appendNames decodes struct linux_dirent64 {u64 ino, off; u16 reclen; u8
// type; char name[]}.
func appendNames(names []string, b []byte, kind byte) []string {
	for len(b) > 19 {
		n := int(b[16]) | int(b[17])<<8
		if n < 20 || n > len(b) {
			return names
		}
		name, _, _ := strings.Cut(string(b[19:n]), "\x00")
		if b[18] == kind && name != "." && name != ".." {
			names = append(names, name)
		}
		b = b[n:]
	}
	return names
}

// OOMKills returns how many processes of the group the kernel has OOM-killed.
func (g *Group) OOMKills() (uint64, error) {
	text, err := g.readOf("memory", "memory.oom_control", "memory.events")
	if err != nil {
		return 0, err
	}
	return cgroup.OOMKills(text)
}

// CPUUsage returns the CPU time that the group has used.
func (g *Group) CPUUsage() (time.Duration, error) {
	v1 := "cpuacct"
	if g.find(v1) < 0 {
		v1 = "cpu"
	}
	text, err := g.readOf(v1, "cpuacct.usage", "cpu.stat")
	if err != nil {
		return 0, err
	}
	return cgroup.CPUUsage(text)
}

// readOf reads a controller's file, by the name of its version.
func (g *Group) readOf(controller, v1, v2 string) (string, error) {
	i := g.layout.Find(controller)
	if i < 0 || g.dir(i) < 0 {
		return "", fault.New(fault.Unsupported, "read cgroup %s: no %s controller", g.path, controller)
	}
	file := v1
	if g.layout.Hierarchies[i].Unified {
		file = v2
	}
	text, err := readAt(g.dir(i), file)
	if err != nil {
		return "", fail("read", g.target(i)+"/"+file, err)
	}
	return text, nil
}

// Attach moves a process into the group. It waits for an RCU grace period in
// each v1 hierarchy; a process that is to be in a new group from its start
// joins by itself (TasksFDs).
func (g *Group) Attach(pid int) error {
	text := strconv.Itoa(pid)
	for i := range g.in {
		if g.in[i].skip || !g.in[i].there {
			continue
		}
		if err := writeAt(g.dir(i), "cgroup.procs", text); err != nil {
			return fail("move a process into", g.target(i), err)
		}
	}
	return nil
}
