package cgroupfs

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/spec/cgroup"
)

// Create executes s.Actions in order and calls after(i) (when not nil) after
// each. On error it removes exactly what it made. A group that is already
// there is taken over when it is empty, and fault.Conflict otherwise.
func Create(s *cgroup.Set, after func(i int)) (*Group, error) {
	g, err := newGroup(s.Layout, s.Path)
	if err != nil {
		return nil, err
	}
	x := &executor{g: g, s: s, fd: -1}
	if err := x.run(after); err != nil {
		g.undo()
		return nil, err
	}
	return g, nil
}

// Update executes a Set computed with Options.Update on this group. Limits
// written before an error stay.
func (g *Group) Update(s *cgroup.Set) error {
	if len(s.Layout.Hierarchies) != len(g.in) || s.Path != g.path {
		return fault.New(fault.Internal, "update cgroup %s: computed for %s", g.path, s.Path)
	}
	g.missing = nil
	x := &executor{g: g, s: s, fd: -1, update: true}
	return x.run(nil)
}

// undo takes back a Create that did not end well.
func (g *Group) undo() {
	for i := len(g.in) - 1; i >= 0; i-- {
		p := &g.in[i]
		closeFD(&p.tasks)
		closeFD(&p.dir)
		if p.made {
			_ = unix.Unlinkat(p.parent, p.name, unix.AT_REMOVEDIR) // an empty group of our own
		}
		for n := len(p.madeParents) - 1; n >= 0; n-- {
			// Fails, and has to, where another engine has moved in.
			_ = unix.Rmdir(join(g.layout.Hierarchies[i].Mount, p.madeParents[n]))
		}
	}
	g.Close()
}

// executor walks through a Set's actions.
type executor struct {
	g      *Group
	s      *cgroup.Set
	update bool

	fd     int // the last file written, for several writes to one file
	fdIn   int // its hierarchy
	fdFile string

	pending []int     // writes of the current batch that got EINVAL
	refused []refusal // controllers that could not be enabled
	cloned  bool      // the kernel has filled the cpuset files
}

type refusal struct{ controller, cause string }

func (x *executor) run(after func(i int)) error {
	defer closeFD(&x.fd)
	actions := x.s.Actions
	for i := range actions {
		a := &actions[i]
		if !x.g.in[a.Hierarchy].skip {
			if err := x.do(i); err != nil {
				return err
			}
		}
		last := i+1 == len(actions) || actions[i+1].Batch != a.Batch || actions[i+1].Hierarchy != a.Hierarchy
		if last && len(x.pending) > 0 {
			if err := x.finishBatch(); err != nil {
				return err
			}
		}
		if after != nil {
			after(i)
		}
	}
	return nil
}

func (x *executor) do(i int) error {
	a := &x.s.Actions[i]
	p := &x.g.in[a.Hierarchy]
	if x.update && !p.there {
		return fault.New(fault.NotFound, "update cgroup %s: no such group", x.g.target(a.Hierarchy))
	}
	switch a.Kind {
	case cgroup.Parent:
		return x.optional(a, p, x.parent(a, p))
	case cgroup.Enable:
		return x.enable(a, p)
	case cgroup.Mkdir:
		return x.optional(a, p, x.mkdir(a, p))
	case cgroup.Inherit:
		return x.inherit(a, p)
	case cgroup.Check:
		return x.check(a)
	case cgroup.Write:
		err := x.write(a)
		if a.Batch != 0 && errors.Is(err, unix.EINVAL) {
			x.pending = append(x.pending, i)
			return nil
		}
		return err
	case cgroup.Attach:
		if err := attachDevices(x.g.dir(a.Hierarchy), x.s.Devices, p.made && !x.update); err != nil {
			return fail("attach device program to", a.Target(), err)
		}
		return nil
	case cgroup.Tasks:
		var err error
		if p.tasks, err = openat(p.parent, p.name+"/tasks", unix.O_WRONLY); err != nil {
			return fail("open", a.Target(), err)
		}
		return nil
	case cgroup.Unified:
		if x.g.dir(a.Hierarchy) < 0 {
			return fail("open", a.Target(), unix.ENOENT)
		}
		return nil
	}
	return fault.New(fault.Internal, "execute cgroup action %d: unknown kind", a.Kind)
}

// optional leaves a hierarchy out that nobody needs and that is not ours; the
// error for one that is needed names the limit.
func (x *executor) optional(a *cgroup.Action, p *place, err error) error {
	if err == nil || !denied(err) {
		return err
	}
	if a.Optional {
		p.closeParent()
		p.skip = true
		return nil
	}
	for i := range x.s.Actions {
		if w := &x.s.Actions[i]; w.Hierarchy == a.Hierarchy && w.Kind == cgroup.Write && w.Resource != "" {
			return fault.New(fault.KindOf(err), "set %s: %w", w.Resource, err)
		}
	}
	return err
}

// parent opens the parent directory. On v1 that is one call in the usual case;
// v2 needs each ancestor's subtree_control too.
func (x *executor) parent(a *cgroup.Action, p *place) error {
	unified := x.s.Layout.Hierarchies[a.Hierarchy].Unified
	if !unified {
		fd, err := openat(unix.AT_FDCWD, a.Target(), unix.O_PATH|dirFlags)
		if err == nil {
			p.parent = fd
			return nil
		}
		if !errors.Is(err, unix.ENOENT) {
			return fail("open", a.Target(), err)
		}
	}
	// Another engine may remove an empty ancestor between our mkdir and open.
	for try := 0; ; try++ {
		err := p.walk(a.Mount, a.Path, true)
		if err == nil {
			break
		}
		p.closeParent()
		if try == 3 || !errors.Is(err, unix.ENOENT) {
			return fail("make", a.Target(), err)
		}
	}
	return x.checkMagic(a, p)
}

// checkMagic makes sure that nothing is mounted over the v2 hierarchy, where
// limits would end in absent files. On v1, opening tasks would fail.
func (x *executor) checkMagic(a *cgroup.Action, p *place) error {
	if !x.s.Layout.Hierarchies[a.Hierarchy].Unified {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(p.parent, &st); err != nil {
		return fail("stat", a.Target(), err)
	}
	if int64(st.Type) != unix.CGROUP2_SUPER_MAGIC {
		return fault.New(fault.Unsupported, "open %s: not a cgroup file system", a.Target())
	}
	return nil
}

// walk opens every directory from the mount to path into p.chain, making the
// missing ones if asked to.
func (p *place) walk(mount, path string, create bool) error {
	fd, err := openat(unix.AT_FDCWD, mount, unix.O_PATH|dirFlags)
	if err != nil {
		return err
	}
	p.chain = append(p.chain, fd)
	done := ""
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			break
		}
		dir := fd
		if fd, err = openat(dir, name, unix.O_PATH|dirFlags); errors.Is(err, unix.ENOENT) && create {
			err = unix.Mkdirat(dir, name, 0o755)
			if err == nil {
				p.madeParents = append(p.madeParents, strings.TrimPrefix(done+"/"+name, "/"))
			} else if !errors.Is(err, unix.EEXIST) {
				return err
			}
			fd, err = openat(dir, name, unix.O_PATH|dirFlags)
		}
		if err != nil {
			return err
		}
		p.chain = append(p.chain, fd)
		done += "/" + name
	}
	p.parent = fd
	return nil
}

// enable adds controllers to a subtree_control. Those already there cost a
// read instead of the kernel's global cgroup lock. A refusal is only noted:
// whoever needed the controller will find its file absent.
func (x *executor) enable(a *cgroup.Action, p *place) error {
	if p.chain == nil {
		closeFD(&p.parent)
		if err := p.walk(a.Mount, p.parentPath, false); err != nil {
			return fail("open", a.Mount+"/"+p.parentPath, err)
		}
	}
	depth := 0
	if a.Path != "" {
		depth = 1 + strings.Count(a.Path, "/")
	}
	fd, err := openat(p.chain[depth], a.File, unix.O_RDWR)
	if err != nil {
		x.refuse(a, a.Value, err)
		return nil
	}
	defer closeFD(&fd)
	text, err := read(fd, false)
	if err != nil {
		return fail("read", a.Target(), err)
	}
	var todo []string
	for c := range strings.FieldsSeq(a.Value) {
		if !hasField(text, c[1:]) {
			todo = append(todo, c)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	err = write(fd, strings.Join(todo, " "))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		// The group has processes. Taking the threaded controllers alone
		// would make it a threaded domain, and nobody could join below it.
		x.refuse(a, a.Value, err)
		return nil
	}
	// It is all or nothing; find out which one it was.
	for _, c := range todo {
		if err := write(fd, c); err != nil {
			x.refuse(a, c, err)
		}
	}
	return nil
}

func (x *executor) refuse(a *cgroup.Action, controllers string, err error) {
	cause := err.Error()
	if errors.Is(err, unix.EBUSY) { // the "no internal processes" rule
		cause = "the group has processes of its own"
	}
	for c := range strings.FieldsSeq(controllers) {
		c = c[1:] // "+memory"
		x.refused = append(x.refused, refusal{c, c + " controller cannot be enabled in " + a.Target() + ": " + cause})
	}
}

func hasField(text, word string) bool {
	for f := range strings.FieldsSeq(text) {
		if f == word {
			return true
		}
	}
	return false
}

// mkdir makes and opens the group's own directory.
func (x *executor) mkdir(a *cgroup.Action, p *place) error {
	err := unix.Mkdirat(p.parent, p.name, 0o755)
	for try := 0; try < 3 && errors.Is(err, unix.ENOENT); try++ {
		// Another engine removed our parent while it was still empty.
		p.closeParent()
		up := *a
		up.Path = p.parentPath
		if err = x.parent(&up, p); err != nil {
			return err
		}
		err = unix.Mkdirat(p.parent, p.name, 0o755)
	}
	switch {
	case err == nil:
		p.made = true
	case !errors.Is(err, unix.EEXIST):
		return fail("make", a.Target(), err)
	}
	p.there = true
	if p.made {
		return nil
	}
	if p.dir, err = openat(p.parent, p.name, unix.O_RDONLY|dirFlags); err != nil {
		return fail("open", a.Target(), err)
	}
	pids, err := procsBelow(p.dir, nil)
	if err != nil {
		return fail("read", a.Target()+"/cgroup.procs", err)
	}
	if len(pids) > 0 {
		return fault.New(fault.Conflict, "create cgroup %s: %d processes are in it", a.Target(), len(pids))
	}
	return p.thaw(a)
}

// thaw lets what joins a group of before run: a killed engine leaves frozen
// groups behind.
func (p *place) thaw(a *cgroup.Action) error {
	for _, f := range [...]struct{ file, value string }{{"freezer.state", "THAWED"}, {"cgroup.freeze", "0"}} {
		if err := writeAt(p.dir, f.file, f.value); err != nil && !absent(err) {
			return fail("thaw", a.Target(), err)
		}
	}
	return nil
}

// check refuses a limit below what is in use.
func (x *executor) check(a *cgroup.Action) error {
	text, err := readAt(x.g.dir(a.Hierarchy), a.File)
	if err != nil {
		return fail("read", a.Target(), err)
	}
	used, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return fault.New(fault.Internal, "read %s: %w", a.Target(), err)
	}
	limit, err := strconv.ParseUint(a.Value, 10, 64)
	if err == nil && used > limit {
		return fault.New(fault.Conflict, "set %s to %s: %d bytes are in use", a.Resource, a.Value, used)
	}
	return nil
}

// write does one write, or notes that its file is missing.
func (x *executor) write(a *cgroup.Action) error {
	err := x.writeFile(a.Hierarchy, a.File, a.Value)
	if absent(err) && a.AltFile != "" {
		err = x.writeFile(a.Hierarchy, a.AltFile, a.AltValue)
	}
	switch {
	case err == nil:
		return nil
	case absent(err):
		if a.Resource != "" {
			x.g.missing = append(x.g.missing, x.missing(a, err))
		}
		return nil
	case a.Resource == "":
		return fail("write", a.Target(), err)
	}
	return fail("set "+a.Resource+" to "+strconv.Quote(a.Value)+" in", a.Target(), err)
}

func (x *executor) writeFile(h int, file, value string) error {
	if x.fd < 0 || x.fdIn != h || x.fdFile != file {
		closeFD(&x.fd)
		var err error
		if x.fd, err = openat(x.g.dir(h), file, unix.O_WRONLY); err != nil {
			return err
		}
		x.fdIn, x.fdFile = h, file
	}
	return write(x.fd, value)
}

func (x *executor) missing(a *cgroup.Action, err error) cgroup.Missing {
	controller, _, _ := strings.Cut(a.File, ".")
	m := cgroup.Missing{Resource: a.Resource, Controller: controller, File: a.File, Cause: "the kernel lacks " + a.File}
	if !errors.Is(err, unix.ENOENT) {
		m.Cause = a.File + ": " + err.Error()
	}
	for _, r := range x.refused {
		if r.controller == controller {
			m.Cause = r.cause
		}
	}
	return m
}

// finishBatch tries the refused writes of a batch again, as long as one of
// them gets through.
func (x *executor) finishBatch() error {
	for {
		todo := x.pending
		x.pending = nil
		var last error
		for _, i := range todo {
			a := &x.s.Actions[i]
			err := x.write(a)
			switch {
			case errors.Is(err, unix.EINVAL):
				x.pending, last = append(x.pending, i), err
			case err != nil:
				return err
			}
		}
		if len(x.pending) == 0 {
			return nil
		}
		if len(x.pending) == len(todo) {
			x.pending = nil
			return last
		}
	}
}
