package runc

import (
	"errors"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// runRows are those of run besides createRows.
var runRows = []flags.Flag{
	{Name: "detach", Short: 'd', Usage: "do not wait for the container's end", Set: func(o any, v string) error { return flags.Bool(&o.(*runOptions).detach, v) }},
	{Name: "keep", Usage: "leave the stopped container for `delete`", Set: func(o any, v string) error { return flags.Bool(&o.(*runOptions).keep, v) }},
	{Name: "no-subreaper", Usage: "do not adopt the container's processes; the default here", Set: ignoreBool},
}

type runOptions struct {
	createFlags
	detach, keep bool
}

func (o *runOptions) run(a *App, args []string) error {
	if err := o.check(a); err != nil {
		return err
	}
	m, err := a.make(args[0], &o.createFlags, &byClone{split: o.detach})
	if err != nil {
		return err
	}
	defer m.release()
	if o.detach {
		if err := m.leave(); err != nil {
			return err
		}
		if err := a.start(m.entry); err != nil {
			return errors.Join(err, a.destroy(m.entry))
		}
		return nil
	}
	return m.attend(o.keep)
}

// attend starts the container as a child, waits for its end and deletes it.
func (m *made) attend(keep bool) error {
	ran := false
	code, err := m.a.attend(m.box, m.bundle.spec.Process, func(int) error {
		ran = true
		m.release() // exec, kill and the rest are for other processes now
		return nil
	})
	if !ran {
		return errors.Join(err, m.forget())
	}
	if !keep {
		err = errors.Join(err, m.end())
	}
	if err != nil {
		m.a.log.warn(err.Error()) // the program's exit code is the answer
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// end deletes the container, unless somebody else has.
func (m *made) end() error {
	err := m.take(true)
	if err == nil {
		if err = m.read(); err == nil && m.box.Group != nil {
			err = m.removeGroup()
		}
		if err == nil {
			err = m.a.destroy(m.entry)
		}
	}
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// removeGroup removes the cgroup by the descriptors that its maker has, which
// is less work than to find it again.
func (m *made) removeGroup() error {
	g := m.box.Group
	if !m.rec.OwnPIDNS {
		if err := g.Kill(endTimeout); err != nil {
			return err
		}
	}
	m.rec.Cgroup = ""
	return g.Remove(endTimeout)
}
