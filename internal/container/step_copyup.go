package container

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// maxCopyUp bounds the files that a tmpfs begins with: each is some ten
// operations of a plan.
const maxCopyUp = 20000

// copyUp is a tmpfs that begins with what it covers. While the child waits at
// the gate, a second plan copies by the child's descriptors, in the child's
// user namespace: no path of the container is resolved by the engine.
type copyUp struct {
	gate     *gate
	from, to plan.Slot // the child's: the directory below, the new mount
}

// copyUpHost adds the gate of mount i.
func (e *env) copyUpHost(i int, m *specs.Mount) {
	if e.mounts.copyUps == nil {
		e.mounts.copyUps = map[int]*copyUp{}
	}
	c := &copyUp{}
	e.mounts.copyUps[i] = c
	c.gate = e.newGate(Gate{Name: "tmpcopyup " + m.Destination, Meet: true, Work: func(p spawn.Process) error {
		if err := e.copyTree(c, p); err != nil {
			return fault.New(fault.KindOf(err), "copy up %s: %w", m.Destination, err)
		}
		return nil
	}})
}

// copyTree makes the second plan and runs it.
func (e *env) copyTree(c *copyUp, child spawn.Process) error {
	from, err := childFile(child, e.run.Get(c.from))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(from) }()
	to, err := childFile(child, e.run.Get(c.to))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(to) }()
	t := &treeCopy{p: plan.New()}
	if e.ns.user {
		if err := t.readMaps(child); err != nil {
			return err
		}
		t.p.Begin("join")
		t.p.Setns(plan.InChild, t.p.Given("container", child.Pidfd), unix.CLONE_NEWUSER)
		(&env{p: t.p}).becomeRoot()
	}
	t.p.Begin("copy")
	t.from, t.to = t.p.Given("from", from), t.p.Given("to", to)
	t.p.Call(plan.InChild, unix.SYS_UMASK, []plan.Arg{plan.Int(0)})
	if err := t.dir(from, "."); err != nil {
		return err
	}
	t.p.Begin("end")
	t.p.Call(plan.InChild, unix.SYS_EXIT_GROUP, []plan.Arg{plan.Int(0)})
	return t.run()
}

// childFile opens what a descriptor of a process that waits for this one
// stands for.
func childFile(p spawn.Process, fd int) (int, error) {
	return unix.Open(fmt.Sprintf("/proc/%d/fd/%d", p.Pid, fd), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// treeCopy turns a directory into a plan that copies it.
type treeCopy struct {
	p          *plan.Plan
	from, to   plan.Slot
	in, out    plan.Slot // reused for each file
	uids, gids []specs.LinuxIDMapping
	mapped     bool
	files      int
}

func (t *treeCopy) run() error {
	run, err := spawn.New(t.p)
	if err != nil {
		return err
	}
	defer run.Close()
	child, err := run.Clone(spawn.Options{})
	if err != nil {
		return err
	}
	defer child.Release()
	return run.WaitEnd()
}

// dir adds the copying of what the directory holds, then its own attributes.
func (t *treeCopy) dir(fd int, rel string) error {
	names, err := listDir(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		if t.files++; t.files > maxCopyUp {
			return fault.New(fault.Unsupported, "more than %d files", maxCopyUp)
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if err := t.entry(fd, path.Join(rel, name), name, &st); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	t.attributes(rel, &st)
	return nil
}

func (t *treeCopy) entry(dir int, rel, name string, st *unix.Stat_t) error {
	t.p.Note("copy " + rel)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		t.p.Mkdirat(plan.InChild, t.to.Arg(), rel, 0o700)
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return t.dir(fd, rel)
	case unix.S_IFREG:
		t.file(rel, st.Size)
	case unix.S_IFLNK:
		var buf [unix.PathMax]byte
		n, err := unix.Readlinkat(dir, name, buf[:])
		if err != nil {
			return err
		}
		t.p.Symlinkat(plan.InChild, string(buf[:n]), t.to.Arg(), rel)
	case unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
		// EPERM: no devices in a user namespace.
		t.p.Mknodat(plan.InChild, t.to.Arg(), rel, st.Mode&^0o7777, st.Rdev, plan.OK(unix.EPERM))
	default:
		return nil // a socket is nothing without its process
	}
	t.attributes(rel, st)
	return nil
}

const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func (t *treeCopy) file(rel string, size int64) {
	open := func(out *plan.Slot, dir plan.Slot, flags, mode int) {
		if *out == 0 {
			*out = t.p.Openat2(plan.InChild, "file", dir.Arg(), rel, flags, mode, beneath)
			return
		}
		how := t.p.Words(plan.MemOpenHow, uint64(flags|unix.O_CLOEXEC), uint64(mode), beneath)
		t.p.Call(plan.InChild, unix.SYS_OPENAT2, []plan.Arg{dir.Arg(), t.p.Str(rel), how, plan.Int(24)}, plan.Out(*out))
	}
	open(&t.in, t.from, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	open(&t.out, t.to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	const most = 1 << 30 // sendfile(2) copies a little less than 2 GB at once
	for ; size > 0; size -= most {
		n := min(size, most)
		t.p.Call(plan.InChild, unix.SYS_SENDFILE, []plan.Arg{t.out.Arg(), t.in.Arg(), plan.Int(0), plan.Int(n)}, plan.Want(n))
	}
	t.p.Close(plan.InChild, t.in.Arg())
	t.p.Close(plan.InChild, t.out.Arg())
}

// attributes adds owner, mode and times.
func (t *treeCopy) attributes(rel string, st *unix.Stat_t) {
	missing := plan.OK(unix.ENOENT) // the device that could not be made
	uid, gid := t.id(t.uids, st.Uid), t.id(t.gids, st.Gid)
	t.p.Call(plan.InChild, unix.SYS_FCHOWNAT, []plan.Arg{
		t.to.Arg(), t.p.Str(rel), plan.Int(uid), plan.Int(gid), plan.Int(unix.AT_SYMLINK_NOFOLLOW),
	}, missing)
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.p.Call(plan.InChild, unix.SYS_FCHMODAT, []plan.Arg{t.to.Arg(), t.p.Str(rel), plan.Int(st.Mode & 0o7777)}, missing)
	}
	times := t.p.Words(plan.MemBytes, uint64(st.Atim.Sec), uint64(st.Atim.Nsec), uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec))
	t.p.Call(plan.InChild, unix.SYS_UTIMENSAT, []plan.Arg{t.to.Arg(), t.p.Str(rel), times, plan.Int(unix.AT_SYMLINK_NOFOLLOW)}, missing)
}

// id is what an id of this process's user namespace is called in the child's;
// -1, which changes nothing, where it has no name.
func (t *treeCopy) id(maps []specs.LinuxIDMapping, id uint32) int64 {
	if !t.mapped {
		return int64(id)
	}
	for _, m := range maps {
		if id >= m.HostID && id-m.HostID < m.Size {
			return int64(m.ContainerID) + int64(id-m.HostID)
		}
	}
	return -1
}

func (t *treeCopy) readMaps(p spawn.Process) error {
	t.mapped = true
	for _, f := range []struct {
		name string
		maps *[]specs.LinuxIDMapping
	}{{"uid_map", &t.uids}, {"gid_map", &t.gids}} {
		b, err := readSmall(fmt.Sprintf("/proc/%d/%s", p.Pid, f.name))
		if err != nil {
			return err
		}
		for line := range strings.Lines(b) {
			w := strings.Fields(line)
			if len(w) != 3 {
				continue
			}
			var n [3]uint64
			for i := range n {
				if n[i], err = strconv.ParseUint(w[i], 10, 32); err != nil {
					return fmt.Errorf("read %s: %w", f.name, err)
				}
			}
			*f.maps = append(*f.maps, specs.LinuxIDMapping{ContainerID: uint32(n[0]), HostID: uint32(n[1]), Size: uint32(n[2])})
		}
	}
	return nil
}

// readSmall reads a file of procfs.
func readSmall(name string) (string, error) {
	text, err := readAt(unix.AT_FDCWD, name)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

func readAt(dir int, name string) (string, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }()
	var text []byte
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(text), nil
		}
		text = append(text, buf[:n]...)
	}
}

// listDir returns the names in a directory, sorted.
func listDir(fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 8192)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	slices.Sort(names)
	return names, nil
}
