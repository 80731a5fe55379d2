package containers

import (
	"errors"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/image/store"

	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/state"
)

// ending is the end of a container's run on its way onto the disk. Whoever
// finds that the first process has ended goes through the one table of stages,
// in whatever process that is: the command in whose foreground it ran, the
// keeper's last act, a stop, or a command that finds the keeper killed.
type ending struct {
	e       *Room
	r       *state.Record // what is on disk; from the stage outcome on, ended
	c       *api.ContainerConfig
	seen    exit.Seen
	image   *store.Image    // it is of; nil: its record says
	group   *cgroupfs.Group // nil: it has none, or none any more
	kills   uint64          // of the kernel, for want of memory
	stats   *cgroup.Stats
	counted []byte     // the receipt of a walk that had the cgroup, which is gone
	starter state.Proc // who is here to start it again, or nobody
	asked   bool       // somebody starts it now: its policy has no say
	slotted bool       // a slot of this process's says what to clean up
	again   bool       // its policy starts it again
	warn    func(string)
}

// endStage is one stage of an end. One that fails ends the walk: the end is
// not written down, and whoever looks at the container next walks it again. So
// each can be done twice.
type endStage struct {
	name string
	used func(*ending) bool
	do   func(*ending) error
}

// endStages is their order. Counters are read before the cgroup goes; the
// journal may tell of an end twice, but does not miss it; the record is last.
var endStages = [...]endStage{
	{"kill", (*ending).outlived, (*ending).killRest},
	{"count", (*ending).grouped, (*ending).count},
	{"outcome", nil, (*ending).judge},
	{"receipt", nil, (*ending).writeReceipt},
	{"group", (*ending).grouped, (*ending).removeGroup},
	{"sandbox", (*ending).shares, (*ending).leaveSandbox},
	{"event", nil, (*ending).tell},
	{"policy", (*ending).stays, (*ending).consult},
	{"remove", (*ending).goes, (*ending).remove},
	{"put", (*ending).stays, (*ending).put},
}

// walk writes down the end of a run and does what follows it. It reports whether
// the container's policy starts it again.
//
// Precondition: the caller holds the container's lock, the record is what is on
// disk, and its first process has ended. A configuration and a group that are
// missing are looked for.
func (n *ending) walk() (again bool, err error) {
	e, r := n.e, n.r
	if n.c == nil {
		if n.c, err = ground.Config(r); err != nil {
			return false, err
		}
	}
	if n.group == nil && r.Cgroup != "" {
		if n.group, err = e.Group(r); err != nil && fault.KindOf(err) != fault.NotFound {
			return false, err
		}
	}
	if n.group != nil {
		defer n.group.Close()
	} else {
		n.kills, n.counted = e.State.Counted(r) // by a walk that got as far as the group
	}
	for i := range endStages {
		s := &endStages[i]
		if s.used != nil && !s.used(n) {
			continue
		}
		if err := s.do(n); err != nil {
			return false, err
		}
		e.Reached("end " + s.name)
	}
	return n.again, nil
}

// account tells of an end as the table does, of a container that is about to be
// removed: what follows takes away the rest, and there is no record to write.
//
// Precondition: that of walk.
func (n *ending) account() (err error) {
	if n.c, err = ground.Config(n.r); err != nil {
		return err
	}
	if n.r.Cgroup != "" {
		if n.group, err = n.e.Group(n.r); err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	if n.group != nil {
		defer n.group.Close()
		if err := n.count(); err != nil {
			return err
		}
	} else {
		n.kills, n.counted = n.e.State.Counted(n.r)
	}
	return errors.Join(n.judge(), n.writeReceipt(), n.tell())
}

// outlived reports whether a process may outlive the first one: with a pid
// namespace of its own, none does.
func (n *ending) outlived() bool {
	return n.group != nil && n.c.HostConfig.PidMode != "" && n.c.HostConfig.PidMode != "private"
}

func (n *ending) grouped() bool { return n.group != nil }
func (n *ending) goes() bool    { return n.r.Remove }
func (n *ending) stays() bool   { return !n.r.Remove }

// killRest ends what has outlived the first process.
func (n *ending) killRest() error { return n.group.Kill(ground.RemoveTimeout) }

// count reads what only the cgroup knows of the run. What it does not tell is
// missing from the receipt.
func (n *ending) count() error {
	s, err := n.group.Totals()
	if err == nil {
		n.stats = &s
		if s.Memory != nil {
			n.kills = s.Memory.OOMKills
		}
	}
	return nil //nolint:nilerr // a receipt with less in it
}

func (n *ending) judge() error {
	n.r.End(n.seen, n.kills, ground.Now())
	return nil
}

// writeReceipt puts the receipt into the record, and into the file that was
// asked for. A file that cannot be written keeps no end from being told.
func (n *ending) writeReceipt() error {
	if n.r.Receipt = n.counted; n.counted == nil {
		n.r.Receipt = appendReceipt(make([]byte, 0, 1024), n.e.receipt(n))
	}
	if n.group != nil {
		n.e.State.NoteCounted(n.r, n.kills)
	}
	if err := saveReceipt(n.c, n.r.Receipt); err != nil && n.warn != nil {
		n.warn(err.Error())
	}
	return nil
}

func (n *ending) removeGroup() error { return n.group.Remove(ground.RemoveTimeout) }

// shares reports whether it has a part in a sandbox that is recorded, or whose
// network knows of it.
func (n *ending) shares() bool {
	return n.r.Network != nil || len(n.r.Sandboxes) > 0
}

func (n *ending) leaveSandbox() error { return n.e.Sandboxes.Leave(n.r, n.c) }

func (n *ending) tell() error {
	n.e.noteEnd(n.r)
	return nil
}

// remove takes away the container, whose cgroup has gone already.
func (n *ending) remove() error {
	r := *n.r
	r.Cgroup = ""
	if !n.slotted {
		return n.e.remove(&r)
	}
	if err := n.e.discard(r.ID, r.Name, r.Remove); err != nil {
		return err
	}
	n.e.Note("destroy", &r)
	return nil
}

func (n *ending) put() error {
	if n.again {
		return n.e.State.Put(n.r)
	}
	return n.e.putAway(n.r)
}

// putAway writes the record of a container that does not run, and then removes
// what it needed while it did: where there is no room for the record, the note
// of its end stays.
func (e *Room) putAway(r *state.Record) error {
	if err := e.State.Put(r); err != nil {
		return fault.New(fault.KindOf(err), "write the record: %w", err)
	}
	return e.State.RemoveLive(r.ID)
}

// endHere is the end of a run for the process in whose foreground it was, and
// which has the record in memory: others may have changed it since.
func (s *start) endHere(seen exit.Seen) error {
	e, r, group := s.e, &s.record, s.container.Group
	lock, err := e.State.Lock(r.ID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	proc, config := r.Proc, r.Config
	there, err := e.State.Current(r)
	if err != nil {
		return err
	}
	if !there || r.Proc != proc || r.Exited {
		// Somebody was faster: what is left of it is the cgroup.
		if group == nil {
			return nil
		}
		defer group.Close()
		return errors.Join(group.Kill(ground.RemoveTimeout), group.Remove(ground.RemoveTimeout))
	}
	n := &ending{e: e, r: r, seen: seen, group: group, image: s.image, slotted: true, warn: s.q.Warn}
	if string(config) == string(r.Config) {
		n.c = s.config // as in the record
	}
	_, err = n.walk()
	return err
}
