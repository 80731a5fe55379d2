package containers

import (
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// change loads a container under its lock and lets f change the record, and
// write it. A container that is being removed is a Conflict.
func (e *Room) change(ref string, f func(r *state.Record, st state.Status) error) error {
	id, err := e.State.Find(ref)
	if err != nil {
		return err
	}
	lock, err := e.State.Lock(id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, st, err := e.Load(id)
	if err != nil {
		return err
	}
	if st == state.Removing || st == state.Dead {
		return fault.New(fault.Conflict, "container is being removed")
	}
	return f(r, st)
}

// Rename gives a container another name.
func (e *Room) Rename(ref, name string) error {
	name = strings.TrimPrefix(name, "/")
	if name == "" {
		return fault.New(fault.Invalid, "neither old nor new names may be empty")
	}
	if !api.ValidName(name) {
		return fault.New(fault.Invalid, "invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	return e.change(ref, func(r *state.Record, _ state.Status) error {
		if r.Name == name {
			return fault.New(fault.Invalid, "the new name is the old one: %s", name)
		}
		old := r.Name
		if err := e.State.Rename(r, name); err != nil {
			return err
		}
		e.Note("rename", r, "oldName", "/"+old)
		return nil
	})
}
