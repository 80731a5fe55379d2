package engine

import (
	"context"
	"strings"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/state"
)

// change loads a container under its lock and lets f change the record, which
// is then written. A container that is being removed is a Conflict.
func (cs *Containers) change(ref string, f func(r *state.Record, st state.Status) error) error {
	e := cs.e
	id, err := e.state.Find(ref)
	if err != nil {
		return err
	}
	lock, err := e.state.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.load(id)
	if err != nil {
		return err
	}
	if st == state.Removing || st == state.Dead {
		return fault.New(fault.Conflict, "container is being removed")
	}
	return f(r, st)
}

// Rename gives a container another name.
func (cs *Containers) Rename(_ context.Context, ref, name string) error {
	name = strings.TrimPrefix(name, "/")
	if name == "" {
		return fault.New(fault.Invalid, "neither old nor new names may be empty")
	}
	if !ValidName(name) {
		return fault.New(fault.Invalid, "invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	return cs.change(ref, func(r *state.Record, _ state.Status) error {
		if r.Name == name {
			return fault.New(fault.Invalid, "the new name is the old one: %s", name)
		}
		old := r.Name
		if err := cs.e.state.Rename(r, name); err != nil {
			return err
		}
		cs.e.note("rename", r, "oldName", "/"+old)
		return nil
	})
}
